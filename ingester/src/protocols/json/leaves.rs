//! The leaves of a JSON object, each with the path that leads to it: keys joined by dots.
//!
//! Documents of unknown shape are read in one pass without being built. Objects are walked, arrays
//! and nulls are checked and skipped. Numbers are handed out as their text, so that nothing of them
//! is lost before it is known what they are for.

use super::reader::{DEPTH_MAX, Leaf, Malformed, Reader};

/// Bytes of a path. Each leaf may be kept with its path, so that one long key above many leaves would
/// grow to many times its size.
const PATH_BYTES_MAX: usize = 1024;

/// Calls `visit` with the path of each leaf of `document` and with the leaf, in order. `path` is
/// memory for the paths.
///
/// # Errors
/// When `document` is not one JSON object; what was visited until then is of no worth.
pub(in crate::protocols) fn leaves<'a>(
    document: &'a str,
    path: &mut String,
    mut visit: impl FnMut(&str, Leaf<'a>),
) -> Result<(), Malformed> {
    path.clear();
    let mut reader = Reader::new(document);
    reader.blanks();
    reader.take(b'{', "an object was expected")?;
    // Lengths of the paths of the objects around the one that is read.
    let mut around = Vec::new();
    let mut is_first = true;
    loop {
        reader.blanks();
        if is_first && reader.is(b'}') || !is_first && !reader.is(b',') {
            reader.take(b'}', "a comma or the end of the object was expected")?;
            let Some(len) = around.pop() else { break };
            path.truncate(len);
            is_first = false;
            continue;
        }
        if !is_first {
            reader.at += 1;
            reader.blanks();
        }
        let outer = path.len();
        push_key(&mut reader, path)?;
        match value(&mut reader)? {
            Value::Leaf(leaf) => visit(path, leaf),
            Value::Skipped => {}
            Value::Object if around.len() + 1 < DEPTH_MAX => {
                around.push(outer);
                is_first = true;
                continue;
            }
            Value::Object => return Err(reader.wrong("an object too deep within others")),
        }
        path.truncate(outer);
        is_first = false;
    }
    reader.end()
}

/// Reads a key and its colon, and appends the key to the path.
#[inline]
fn push_key(reader: &mut Reader<'_>, path: &mut String) -> Result<(), Malformed> {
    let key = reader.key()?;
    if path.len() + key.len() >= PATH_BYTES_MAX {
        return Err(reader.wrong("the end of too long a path"));
    }
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(&key);
    Ok(())
}

#[inline]
fn value<'a>(reader: &mut Reader<'a>) -> Result<Value<'a>, Malformed> {
    Ok(match reader.peek() {
        Some(b'{') => {
            reader.at += 1;
            Value::Object
        }
        Some(b'[') => {
            reader.nested()?;
            Value::Skipped
        }
        _ => reader.scalar()?.map_or(Value::Skipped, Value::Leaf),
    })
}

/// What follows a key.
enum Value<'a> {
    Leaf(Leaf<'a>),
    /// Null, or an array that was skipped.
    Skipped,
    /// The beginning of an object.
    Object,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(document: &str) -> Result<String, Malformed> {
        let mut out = String::new();
        leaves(document, &mut String::new(), |path, leaf| {
            let leaf = match leaf {
                Leaf::Number(number) => number.to_owned(),
                Leaf::Bool(b) => b.to_string(),
                Leaf::Text(text) => format!("{text:?}"),
            };
            out.push_str(&format!("{path}={leaf};"));
        })
        .map(|()| out)
    }

    #[test]
    fn leaves_come_with_their_paths() {
        for (document, expected) in [
            ("{}", ""),
            (r#" { "a" : 1 , "b" : { } , "c" : [ ] } "#, "a=1;"),
            (
                r#"{"a":{"b":{"c":-1.5e+3,"d":true}},"e":"x"}"#,
                r#"a.b.c=-1.5e+3;a.b.d=true;e="x";"#,
            ),
            (r#"{"a":{"b":null},"c":false}"#, "c=false;"),
            (r#"{"a":[1,{"b":[[],{"c":2,"d":"]"}]}],"e":0}"#, "e=0;"),
            (r#"{"a\u002eb":{"\"":"\u00e9\\"}}"#, r#"a.b."="é\\";"#),
            (r#"{"":{"":1},"é":2}"#, "=1;é=2;"),
        ] {
            assert_eq!(read(document).as_deref(), Ok(expected), "{document}");
        }
    }

    #[test]
    fn anything_else_is_malformed() {
        for document in [
            "",
            "1",
            "[]",
            "{",
            "}",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{"a":1}x"#,
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"a":-}"#,
            r#"{"a":1e}"#,
            r#"{"a":+1}"#,
            r#"{"a":NaN}"#,
            r#"{"a":"b}"#,
            r#"{"a":"\x"}"#,
            "{\"a\":\"\n\"}",
            r#"{"a":[1,]}"#,
            r#"{"a":[}]}"#,
            r#"{"a":[{"b"}]}"#,
            r#"{"a":tru}"#,
            r#"{a:1}"#,
            r#"{"a":[1}"#,
            r#"{"a":"\"#,
        ] {
            assert!(read(document).is_err(), "{document}");
        }
        let deep = |n: usize| format!("{}1{}", r#"{"a":"#.repeat(n), "}".repeat(n));
        assert!(read(&deep(DEPTH_MAX)).is_ok());
        assert!(read(&deep(DEPTH_MAX + 1)).is_err());
        let array = |n: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(n), "]".repeat(n));
        assert!(read(&array(DEPTH_MAX)).is_ok());
        assert!(read(&array(DEPTH_MAX + 1)).is_err());
        assert!(read(&array(1 << 20)).is_err());
        let long = "k".repeat(PATH_BYTES_MAX);
        assert!(read(&format!(r#"{{"{long}":1}}"#)).is_err());
    }

    /// As [`read`], by a reader that builds the document.
    fn slow(value: &serde_json::Value, path: &str, out: &mut Vec<String>) {
        for (key, value) in value.as_object().into_iter().flatten() {
            let path = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            match value {
                serde_json::Value::Object(_) => slow(value, &path, out),
                serde_json::Value::String(text) => out.push(format!("{path}={text:?};")),
                serde_json::Value::Number(_) | serde_json::Value::Bool(_) => {
                    out.push(format!("{path}={value};"));
                }
                serde_json::Value::Null | serde_json::Value::Array(_) => {}
            }
        }
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let scalar = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "\\PC{0,8}".prop_map(Into::into),
        ];
        scalar.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                proptest::collection::btree_map("[a-z\"\\\\é]{1,4}", inner, 0..5)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_reads_as_the_slow_reader_does(value in value(), pretty in any::<bool>()) {
            let document = if pretty { format!("{value:#}") } else { value.to_string() };
            let mut expected = Vec::new();
            slow(&value, "", &mut expected);
            let read = read(&document);
            prop_assert_eq!(read.ok(), value.is_object().then(|| expected.concat()));
        }

        #[test]
        fn damage_is_judged_as_the_slow_reader_does(
            value in value(), at in any::<prop::sample::Index>(), byte in "[ -DF-df-~]",
        ) {
            let mut document = value.to_string();
            let at = document.floor_char_boundary(at.index(document.len() + 1));
            document.insert_str(at, &byte);
            let expected: Result<serde_json::Value, _> = serde_json::from_str(&document);
            let is_sound = expected.is_ok_and(|value| value.is_object());
            prop_assert_eq!(read(&document).is_ok(), is_sound, "{}", document);
        }
    }
}
