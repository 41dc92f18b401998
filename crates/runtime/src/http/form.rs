//! Parameters of a request: `application/x-www-form-urlencoded` or `multipart/form-data`, names repeated
//! as often as wanted.

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
    /// A body of several parts that is not one.
    #[error("the body of several parts {0}")]
    Multipart(&'static str),
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

    /// Appends the parameters in a body of parts, which `boundary` separates; files are left out.
    ///
    /// # Errors
    /// [`FormError`] when the body is cut or a part cannot be read.
    pub fn add_parts(&mut self, body: &[u8], boundary: &str) -> Result<(), FormError> {
        let delimiter = format!("\r\n--{boundary}");
        let delimiter = delimiter.as_bytes();
        // The first delimiter may begin the body.
        let mut rest = match body.strip_prefix(&delimiter[2..]) {
            Some(rest) => rest,
            None => {
                split_at(body, delimiter)
                    .ok_or(FormError::Multipart("lacks its boundary"))?
                    .1
            }
        };
        while !rest.starts_with(b"--") {
            let end = FormError::Multipart("ends in the middle");
            let (_, part) = split_at(rest, b"\r\n").ok_or(end.clone())?;
            let (part, after) = split_at(part, delimiter).ok_or(end.clone())?;
            let (head, value) = match part.strip_prefix(b"\r\n") {
                Some(value) => (&b""[..], value),
                None => split_at(part, b"\r\n\r\n").ok_or(end)?,
            };
            if let Some(name) = field_name(head)? {
                let value = std::str::from_utf8(value).map_err(|_| FormError::Utf8)?;
                self.pairs.push((name, value.to_owned()));
            }
            rest = after;
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

/// What is before and after the first `needle`.
fn split_at<'a>(text: &'a [u8], needle: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = memchr::memmem::find(text, needle)?;
    Some((&text[..at], &text[at + needle.len()..]))
}

/// The name of the field that a part is, by its headers; nothing for a file.
fn field_name(head: &[u8]) -> Result<Option<String>, FormError> {
    let head = std::str::from_utf8(head).map_err(|_| FormError::Utf8)?;
    let disposition = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.trim().eq_ignore_ascii_case("content-disposition");
        is_it.then_some(value)
    });
    let Some(disposition) = disposition else {
        return Ok(None);
    };
    if header_parameter(disposition, "filename").is_some() {
        return Ok(None);
    }
    Ok(header_parameter(disposition, "name"))
}

/// A parameter of a header's value, such as `boundary` of `multipart/form-data; boundary="x"`.
pub(super) fn header_parameter(value: &str, name: &str) -> Option<String> {
    let (_, mut rest) = value.split_once(';')?;
    loop {
        let (key, after) = rest.split_once('=')?;
        let mut said = String::new();
        let mut characters = after.trim_start().chars();
        if after.trim_start().starts_with('"') {
            characters.next();
            while let Some(c) = characters.next() {
                match c {
                    '"' => break,
                    '\\' => said.extend(characters.next()),
                    c => said.push(c),
                }
            }
        } else {
            let end = after.find(';').unwrap_or(after.len());
            said.push_str(after[..end].trim());
            characters = after[end..].chars();
        }
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(said);
        }
        (_, rest) = characters.as_str().split_once(';')?;
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
    fn parts_are_parameters() {
        let parts = |body: &str| {
            let mut form = Form::default();
            form.add_parts(body.as_bytes(), "B").map(|()| form)
        };
        let field = |name: &str, value: &str| {
            format!(
                "--B\r\nContent-Type: text/plain\r\ncontent-disposition: form-data; {name}\r\n\r\n{value}\r\n"
            )
        };
        let body = [
            "before\r\n".to_owned(),
            field("name=\"match[]\"", "up\r\n--C"),
            field("name=\"match[]\"", ""),
            field("name=\"f\"; filename=\"a;name=b\"", "left out"),
            field("filenames=x; name=\"a\\\"b\"", "1"),
            "--B--after".to_owned(),
        ];
        let form = parts(&body.concat()).unwrap();
        assert_eq!(form.all("match[]").collect::<Vec<_>>(), ["up\r\n--C", ""]);
        assert_eq!(form.get("a\"b"), Some("1"));
        assert_eq!(form.pairs.len(), 3);
        assert_eq!(parts(&body[1..].concat()).unwrap(), form);
        for cut in [
            "",
            "--C\r\n",
            "--B",
            "--B\r\nx",
            "--B\r\n\r\nvalue",
            "--B\r\n\r\n\r\n--B",
        ] {
            assert!(parts(cut).is_err(), "{cut:?}");
        }
        assert_eq!(parts("--B--").unwrap(), Form::default());
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
