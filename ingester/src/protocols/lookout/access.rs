//! Who may push: tokens, and how many requests a second an application may send.

use std::collections::BTreeMap;

use base64::Engine as _;
use runtime::http::{HeaderMap, header};

use crate::protocols::pushgateway::path::URL_BASE64;

/// Tokens and rates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// Whoever pushes must have a token.
    pub require_token: bool,
    /// Applications by their tokens; where there are none any token will do.
    pub tokens: BTreeMap<String, String>,
    /// Requests a second.
    pub rates: Rates,
}

/// Why a request may not be sent, in the gateway's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It has no token.
    #[error("token is empty")]
    NoToken,
    /// Its token is unknown.
    #[error("TOKEN_IS_INVALID")]
    Token,
    /// Its application sends too many.
    #[error("RATE_LIMITED")]
    Rate,
}

impl Access {
    /// The application that the token of a request belongs to, where tokens are known.
    ///
    /// # Errors
    /// [`Denied::NoToken`] and [`Denied::Token`].
    pub fn app(&self, headers: &HeaderMap) -> Result<Option<&str>, Denied> {
        let token = token(headers).filter(|token| !token.is_empty());
        let Some(token) = token else {
            let is_needed = self.require_token || !self.tokens.is_empty();
            return if is_needed {
                Err(Denied::NoToken)
            } else {
                Ok(None)
            };
        };
        if self.tokens.is_empty() {
            return Ok(None);
        }
        let app = self.tokens.get(&token).ok_or(Denied::Token)?;
        Ok(Some(app))
    }
}

/// The token of a request: in a header of its own, or in the place of user or password.
fn token(headers: &HeaderMap) -> Option<String> {
    if let Some(token) = headers.get("x-lookout-token") {
        return token.to_str().ok().map(str::to_owned);
    }
    let basic = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = basic.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    // Clients use the common alphabet, the gateway that for URLs.
    let encoded = encoded.trim().replace('+', "-").replace('/', "_");
    let pair = String::from_utf8(URL_BASE64.decode(encoded).ok()?).ok()?;
    let (user, password) = pair.split_once(':')?;
    Some(if user == "lookout" { password } else { user }.to_owned())
}

/// Reads a file of tokens: a token and its application on each line, with blanks between them.
///
/// # Errors
/// The number of a line that is something else.
pub fn parse_tokens(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut tokens = BTreeMap::new();
    for (i, line) in text.lines().enumerate() {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next(), words.next()) {
            (None, ..) => {}
            (Some(comment), ..) if comment.starts_with('#') => {}
            (Some(token), Some(app), None) => {
                tokens.insert(token.to_owned(), app.to_owned());
            }
            _ => return Err(format!("line {} is not a token and an application", i + 1)),
        }
    }
    Ok(tokens)
}

/// Requests a second by application, in the gateway's notation: `app1=100|app2=200|all=-1`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rates {
    by_app: BTreeMap<String, u64>,
    /// 0 for any number.
    default: u64,
}

impl Rates {
    /// Requests a second that an application may send; 0 for any number.
    pub fn of(&self, app: &str) -> u64 {
        self.by_app.get(app).copied().unwrap_or(self.default)
    }
}

impl std::str::FromStr for Rates {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut rates = Self::default();
        for pair in text
            .split('|')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
        {
            let parsed = pair.split_once('=').and_then(|(app, rate)| {
                let rate: i64 = rate.trim().parse().ok()?;
                Some((app.trim(), u64::try_from(rate).unwrap_or(0)))
            });
            match parsed {
                Some(("all" | "*", rate)) => rates.default = rate,
                Some((app, rate)) if !app.is_empty() => {
                    rates.by_app.insert(app.to_owned(), rate);
                }
                _ => {
                    return Err(format!(
                        "{pair:?} is not APP=REQUESTS; separate several by |"
                    ));
                }
            }
        }
        Ok(rates)
    }
}

#[cfg(test)]
mod tests {
    use runtime::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut map = HeaderMap::new();
        map.insert(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        );
        map
    }

    #[test]
    fn tokens_are_found_where_clients_put_them() {
        for (name, value, expected) in [
            ("x-lookout-token", "t1", Some("t1")),
            // lookout:t1, t1:x, and a token with characters of both alphabets.
            ("authorization", "Basic bG9va291dDp0MQ==", Some("t1")),
            ("authorization", "basic dDE6eA", Some("t1")),
            ("authorization", "Basic Pz8+Ojo=", Some("??>")),
            ("authorization", "Bearer t1", None),
            ("authorization", "Basic !", None),
            ("authorization", "Basic dDE=", None),
        ] {
            assert_eq!(token(&headers(name, value)).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn tokens_may_be_demanded_and_known() {
        let with = headers("x-lookout-token", "t1");
        let any = Access::default();
        assert_eq!(any.app(&HeaderMap::new()), Ok(None));
        let some = Access {
            require_token: true,
            ..Access::default()
        };
        assert_eq!(some.app(&HeaderMap::new()), Err(Denied::NoToken));
        assert_eq!(
            some.app(&headers("x-lookout-token", "")),
            Err(Denied::NoToken)
        );
        assert_eq!(some.app(&with), Ok(None));
        let tokens = parse_tokens("# of teams\n\nt1 orders\n t2\tpay\n").unwrap();
        let known = Access {
            tokens,
            ..Access::default()
        };
        assert_eq!(known.app(&HeaderMap::new()), Err(Denied::NoToken));
        assert_eq!(known.app(&with), Ok(Some("orders")));
        assert_eq!(
            known.app(&headers("x-lookout-token", "t3")),
            Err(Denied::Token)
        );
        assert!(parse_tokens("t1").is_err() && parse_tokens("a b c").is_err());
    }

    #[test]
    fn rates_are_read() {
        let rates: Rates = "app1=100|app2=-1|all=7".parse().unwrap();
        assert_eq!(["app1", "app2", "x"].map(|app| rates.of(app)), [100, 0, 7]);
        assert_eq!("*=3".parse::<Rates>().unwrap().of("x"), 3);
        assert_eq!("".parse::<Rates>().unwrap().of("x"), 0);
        for text in ["a", "a=x", "=1"] {
            assert!(text.parse::<Rates>().is_err(), "{text}");
        }
    }
}
