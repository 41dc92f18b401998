//! Targets that want a token, and servers that give them out.

use super::http::{Fake, TEXT, answer};
use super::*;

const JSON: &str = "Content-Type: application/json\r\n";
/// `me` and `s e&`, as they stand in a header.
const IN_HEADER: &str = "authorization: Basic bWU6cytlJTI2";
const IN_FORM: &str = "client_id=me&client_secret=s+e%26";

/// What the token server says to the head and form of a request.
type Script = fn(&[String]) -> Result<String, &'static str>;

/// A server of tokens and of metrics for whom the last one is shown; what it was asked for tokens.
fn server(script: Script) -> (Fake, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let forms = Arc::clone(&asked);
    let fake = Fake::start(move |path, head| {
        let mut asked = forms.lock();
        match path {
            "/token" => {
                asked.push(head.last().expect("a form").clone());
                match script(head) {
                    Ok(body) => answer(
                        "200 OK",
                        JSON,
                        body.replace("N", &asked.len().to_string()).as_bytes(),
                    ),
                    Err(why) => answer("401 Unauthorized", JSON, why.as_bytes()),
                }
            }
            _ => {
                let expected = format!("authorization: Bearer token-{}", asked.len());
                let shown = head.contains(&expected);
                let status = if shown { "200 OK" } else { "403 Forbidden" };
                answer(status, TEXT, b"a 1\n")
            }
        }
    });
    (fake, asked)
}

/// Scrapes so many times, with this after each; the last error.
fn scrapes(fake: &Fake, lines: &str, times: i64, after: impl Fn()) -> String {
    let oauth2 = format!(
        "oauth2:\n  client_id: me\n  token_url: http://{}/token\n{lines}",
        fake.address
    );
    let Hand { scraped, .. } = Hand::at(&oauth2, &fake.address);
    let scraped = Arc::new(scraped);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    for t in 1..=times {
        runtime.block_on(Arc::clone(&scraped).scrape(t * 1000));
        after();
    }
    scraped.status.lock().last_error.clone()
}

fn token(expires_in: &str) -> String {
    format!(r#"{{"access_token":"token-N","token_type":"bearer"{expires_in}}}"#)
}

#[test]
fn a_token_is_kept_until_it_ends() {
    let check = |script: Script, lines: &str, expected: &[&str]| {
        let (fake, asked) = server(script);
        assert_eq!(scrapes(&fake, lines, 3, || {}), "", "{lines}");
        assert_eq!(*asked.lock(), expected, "{lines}");
    };
    let secret = "  client_secret: s e&\n";
    let plain = "grant_type=client_credentials";
    let in_header: Script = |head| {
        assert!(head.iter().any(|line| line == IN_HEADER), "{head:?}");
        Ok(token(r#","expires_in":3600"#))
    };
    check(in_header, secret, &[plain]);
    check(
        in_header,
        &format!("{secret}  scopes: [x, 'y/z']\n  endpoint_params: {{audience: us}}"),
        &["grant_type=client_credentials&scope=x+y%2Fz&audience=us"],
    );
    check(|_| Ok(token("")), secret, &[plain]);
    check(|_| Ok(token(r#","expires_in":"3600""#)), secret, &[plain]);
    // It is given up ten seconds before.
    check(|_| Ok(token(r#","expires_in":9"#)), secret, &[plain; 3]);
}

#[test]
fn servers_that_refuse_the_header_get_a_form() {
    let script: Script = |head| match head.last().is_some_and(|form| form.ends_with(IN_FORM)) {
        true => Ok(token(r#","expires_in":5"#)),
        false => Err("no"),
    };
    let (fake, asked) = server(script);
    let secret = "  client_secret: s e&\n";
    assert_eq!(scrapes(&fake, secret, 2, || {}), "");
    let in_form = format!("grant_type=client_credentials&{IN_FORM}");
    // What works is remembered.
    assert_eq!(
        *asked.lock(),
        ["grant_type=client_credentials", &in_form, &in_form]
    );
}

#[test]
fn another_secret_in_the_file_brings_another_token() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("secret");
    std::fs::write(&file, "one\n").expect("writable");
    let (fake, asked) = server(|_| Ok(token("")));
    let lines = format!("  client_secret_file: {}\n", file.display());
    let change = || std::fs::write(&file, "two\n").expect("writable");
    assert_eq!(scrapes(&fake, &lines, 3, change), "");
    assert_eq!(asked.lock().len(), 2);
}

#[test]
fn refusals_fail_the_scrape() {
    let check = |script: Script, expected: &str| {
        let (fake, _) = server(script);
        let error = scrapes(&fake, "", 1, || {});
        assert!(error.ends_with(expected), "{error}");
    };
    check(
        |_| Err("{\"error\":\"invalid_client\"}"),
        "oauth2: cannot fetch token: 401 Unauthorized: {\"error\":\"invalid_client\"}",
    );
    check(
        |_| Ok("{}".to_owned()),
        "oauth2: cannot fetch token: server response missing access_token",
    );
    check(
        |_| Ok("<html>".to_owned()),
        "oauth2: cannot fetch token: the answer is not the JSON of a token at line 1, column 1",
    );
    // What is not understood may be the token itself.
    check(
        |_| Ok("\"eyJhbGciOi\"".to_owned()),
        "oauth2: cannot fetch token: the answer is not the JSON of a token at line 1, column 12",
    );
}
