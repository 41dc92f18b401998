//! Parameters of a request: `application/x-www-form-urlencoded`, names repeated as often as wanted.

/// Parameters in the order in which they were sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    pairs: Vec<(String, String)>,
}

/// Why parameters cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// A percent sign without two hexadecimal digits; worded as Go does.
    #[error("invalid URL escape {}", model::labels::quoted(.0))]
    Escape(String),
    /// What was encoded is not text.
    #[error("a parameter is not UTF-8")]
    Utf8,
}

impl Form {
    /// Appends the parameters that are encoded in `text`.
    ///
    /// # Errors
    /// [`FormError`] for the first one that cannot be decoded.
    pub fn add_encoded(&mut self, text: &[u8]) -> Result<(), FormError> {
        for pair in text.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = match pair.iter().position(|b| *b == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &b""[..]),
            };
            self.pairs.push((decode(name, b' ')?, decode(value, b' ')?));
        }
        Ok(())
    }

    /// Decodes a segment of a path, where a plus sign is one.
    ///
    /// # Errors
    /// [`FormError`] when it cannot be decoded.
    pub fn decode_path(segment: &str) -> Result<String, FormError> {
        decode(segment.as_bytes(), b'+')
    }

    /// Adds a parameter.
    pub fn add(&mut self, name: &str, value: String) {
        self.pairs.push((name.to_owned(), value));
    }

    /// Gives a parameter this value and no other.
    pub fn set(&mut self, name: &str, value: String) {
        self.pairs.retain(|(known, _)| known != name);
        self.add(name, value);
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of a parameter.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.pairs.iter().filter(move |(n, _)| n == name);
        named.map(|(_, value)| value.as_str())
    }
}

/// Decodes percent escapes, and a plus sign to `plus`.
fn decode(text: &[u8], plus: u8) -> Result<String, FormError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => bytes.push(plus),
            b'%' => match after {
                [a, b, after @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                    bytes.push(hex(*a) << 4 | hex(*b));
                    rest = after;
                }
                _ => {
                    let escape = &after[..after.len().min(2)];
                    let escape = String::from_utf8_lossy(escape);
                    return Err(FormError::Escape(format!("%{escape}")));
                }
            },
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).map_err(|_| FormError::Utf8)
}

/// The value of a hexadecimal digit.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Result<Form, FormError> {
        let mut form = Form::default();
        form.add_encoded(text.as_bytes()).map(|()| form)
    }

    #[test]
    fn names_repeat_and_values_are_decoded() {
        let form = form("match[]=up&match%5B%5D=a%7Bb%3D%22c+d%22%7D&&x&y=a=b").unwrap();
        let matches: Vec<_> = form.all("match[]").collect();
        assert_eq!(matches, ["up", "a{b=\"c d\"}"]);
        assert_eq!(form.get("x"), Some(""));
        assert_eq!(form.get("y"), Some("a=b"));
        assert_eq!(form.get("z"), None);
        assert_eq!(Form::decode_path("a+b%2Fc").unwrap(), "a+b/c");
    }

    #[test]
    fn what_is_badly_encoded_is_refused() {
        for (text, error) in [
            ("a=%", "invalid URL escape \"%\""),
            ("a=%4", "invalid URL escape \"%4\""),
            ("%zzz", "invalid URL escape \"%zz\""),
            ("a=%ff", "a parameter is not UTF-8"),
        ] {
            assert_eq!(form(text).unwrap_err().to_string(), error);
        }
    }
}
