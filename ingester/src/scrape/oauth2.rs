//! Tokens of OAuth 2 for requests: asked for by the client credentials grant (RFC 6749, section 4.4),
//! kept until shortly before they end, and asked for again when the client's secret changes.
//!
//! Servers differ in where they want a client's name and secret. The header is tried first; a server that
//! refuses it is given them in the form, then and from then on.

use std::time::Duration;

use form_urlencoded::{Serializer, byte_serialize, parse};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Response};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::client::{Clients, Error, HttpClient, read_body, secret, sensitive};
use crate::config::{OAuth2, Secret};

/// An answer longer than this holds no token.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// A token is given up this long before it ends.
const BEFORE_END: Duration = Duration::from_secs(10);
/// How long a server may take to give one.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// How much of a refusal is shown.
const SHOWN_CHARS: usize = 200;

/// Where tokens come from, and the one that was given last.
#[derive(Debug)]
pub(super) struct Tokens {
    config: OAuth2,
    client: HttpClient,
    known: Mutex<Known>,
}

/// What was learnt of the server. Who asks holds the lock: others wait for that answer.
#[derive(Debug, Default)]
struct Known {
    /// The server takes name and secret from the form, not from the header; nothing if neither has
    /// worked yet.
    in_form: Option<bool>,
    token: Option<Token>,
}

#[derive(Debug)]
struct Token {
    /// The secret that it was given for.
    secret: Secret,
    header: HeaderValue,
    /// When another is asked for; nothing if it does not end.
    until: Option<Instant>,
}

/// What a server answers, RFC 6749, section 5.1.
#[derive(Deserialize)]
struct Granted {
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    token_type: String,
    #[serde(default)]
    expires_in: Option<Seconds>,
}

/// Some servers write numbers as texts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

impl Tokens {
    pub(super) fn new(config: &OAuth2, clients: &Clients) -> Result<Self, Error> {
        Ok(Self {
            client: clients.client(&config.http, true)?,
            config: config.clone(),
            known: Mutex::default(),
        })
    }

    /// The value of a request's `Authorization` header.
    pub(super) async fn header(&self) -> Result<HeaderValue, Error> {
        let secret = secret(&self.config.client_secret).await?;
        let mut known = self.known.lock().await;
        let good = |token: &&Token| {
            token.secret.0 == secret && token.until.is_none_or(|until| Instant::now() < until)
        };
        if let Some(token) = known.token.as_ref().filter(good) {
            return Ok(token.header.clone());
        }
        let granted = match known.in_form {
            Some(in_form) => self.ask(&secret, in_form).await?,
            None => {
                let (granted, in_form) = match self.ask(&secret, false).await {
                    Ok(granted) => (granted, false),
                    Err(_) => (self.ask(&secret, true).await?, true),
                };
                known.in_form = Some(in_form);
                granted
            }
        };
        let header = granted.header()?;
        known.token = Some(Token {
            secret: Secret(secret),
            header: header.clone(),
            until: granted.until(Instant::now()),
        });
        Ok(header)
    }

    async fn ask(&self, secret: &str, in_form: bool) -> Result<Granted, Error> {
        let config = &self.config;
        let request = self.client.request(Method::POST, &config.token_url).await?;
        let mut request = request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json");
        if !in_form {
            request = request.basic_auth(escaped(&config.client_id), Some(escaped(secret)));
        }
        let request = request
            .timeout(ANSWER_TIME_MAX)
            .body(self.form(secret, in_form));
        let response = request.send().await?;
        granted(response).await
    }

    fn form(&self, secret: &str, in_form: bool) -> String {
        let config = &self.config;
        let mut form = Serializer::new(String::new());
        let given = |name| config.endpoint_params.iter().any(|(key, _)| key == name);
        if !given("grant_type") {
            form.append_pair("grant_type", "client_credentials");
        }
        if !config.scopes.is_empty() {
            form.append_pair("scope", &config.scopes.join(" "));
        }
        form.extend_pairs(&config.endpoint_params);
        if in_form {
            form.append_pair("client_id", &config.client_id);
            if !secret.is_empty() {
                form.append_pair("client_secret", secret);
            }
        }
        form.finish()
    }
}

/// A name or secret as it stands in the header, RFC 6749, section 2.3.1.
fn escaped(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

async fn granted(response: Response) -> Result<Granted, Error> {
    let status = response.status();
    let content_type = response.headers().get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next());
    let is_form = matches!(
        media_type.map(str::trim),
        Some("application/x-www-form-urlencoded" | "text/plain")
    );
    let body = read_body(response, ANSWER_BYTES_MAX, 0).await?;
    if !status.is_success() {
        let text = String::from_utf8_lossy(&body);
        let shown: String = text.trim().chars().take(SHOWN_CHARS).collect();
        return Err(Error::Token(format!("{status}: {shown}")));
    }
    let granted = if is_form {
        Granted::of_form(&body)
    } else {
        // What the parser says may quote the token.
        serde_json::from_slice(&body).map_err(|why| {
            let place = format!("line {}, column {}", why.line(), why.column());
            Error::Token(format!("the answer is not the JSON of a token at {place}"))
        })?
    };
    if granted.access_token.is_empty() {
        return Err(Error::Token(
            "server response missing access_token".to_owned(),
        ));
    }
    Ok(granted)
}

impl Granted {
    fn of_form(body: &[u8]) -> Self {
        let field = |name: &str| {
            let mut fields = parse(body);
            fields
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        Self {
            access_token: field("access_token").unwrap_or_default(),
            token_type: field("token_type").unwrap_or_default(),
            expires_in: field("expires_in").map(Seconds::Text),
        }
    }

    /// The header that shows the token. Some servers write `bearer`, which others then refuse.
    fn header(&self) -> Result<HeaderValue, Error> {
        let scheme = match self.token_type.to_ascii_lowercase().as_str() {
            "" | "bearer" => "Bearer",
            "basic" => "Basic",
            "mac" => "MAC",
            _ => self.token_type.as_str(),
        };
        sensitive(&format!("{scheme} {}", self.access_token))
    }

    fn until(&self, now: Instant) -> Option<Instant> {
        let seconds = match self.expires_in.as_ref()? {
            Seconds::Number(seconds) => *seconds,
            Seconds::Text(text) => text.trim().parse().ok()?,
        };
        let life = Duration::try_from_secs_f64(seconds).ok()?;
        let life = (!life.is_zero()).then_some(life)?;
        now.checked_add(life.saturating_sub(BEFORE_END))
    }
}
