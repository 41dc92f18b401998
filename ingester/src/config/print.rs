//! The configuration as people and other programs see it: the YAML, without its secrets.

use model::Labels;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::yaml::{Node, Value};

const EXTERNAL_LABELS: &str = "external_labels";
/// Its values are secrets, whatever they are called.
const PROXY_CONNECT_HEADER: &str = "proxy_connect_header";

/// What stands where a secret is.
const SECRET: &str = "<secret>";

/// Fields of all of Prometheus' configuration whose values are secrets.
const SECRET_FIELDS: &[&str] = &[
    "account_token",
    "api_key",
    "application_credential_secret",
    "application_secret",
    "bearer_token",
    "client_certificate_key",
    "client_secret",
    "consumer_key",
    "credentials",
    "key",
    "password",
    "private_key",
    "refresh_token",
    "secret",
    "secret_key",
    "secrets",
    "service_key",
    "token",
];

/// Writes the tree as YAML with these external labels, secrets hidden.
pub(super) fn printed(root: &Node, external_labels: &Labels) -> String {
    let mut root = root.clone();
    if !external_labels.is_empty() {
        let labels = external_labels.iter();
        let labels = labels.map(|(name, value)| {
            let value = Value::Text(value.to_owned());
            (name.to_owned(), Node { at: root.at, value })
        });
        let labels = Value::Map(labels.collect());
        root.field_mut("global").field_mut(EXTERNAL_LABELS).value = labels;
    }
    if root.is_null() {
        return String::new();
    }
    let shown = Shown {
        node: &root,
        field: "",
    };
    serde_saphyr::to_string(&shown).unwrap_or_default()
}

/// A node, and the name of the field that it is the value of.
struct Shown<'a> {
    node: &'a Node,
    field: &'a str,
}

impl Shown<'_> {
    fn is_secret(&self) -> bool {
        SECRET_FIELDS.contains(&self.field)
    }

    fn text(&self, text: &str) -> String {
        if self.is_secret() && !text.is_empty() {
            return SECRET.to_owned();
        }
        without_password(text).unwrap_or_else(|| text.to_owned())
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.node.value {
            Value::Null => serializer.serialize_unit(),
            Value::Text(text) => serializer.serialize_str(&self.text(text)),
            Value::List(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for node in items {
                    let field = self.field;
                    seq.serialize_element(&Shown { node, field })?;
                }
                seq.end()
            }
            Value::Map(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, node) in fields {
                    // Their names are the user's, and other programs read them.
                    let field = match self.field {
                        EXTERNAL_LABELS => "",
                        PROXY_CONNECT_HEADER => "secrets",
                        _ => name,
                    };
                    map.serialize_entry(name, &Shown { node, field })?;
                }
                map.end()
            }
            _ if self.is_secret() => serializer.serialize_str(SECRET),
            Value::Bool(v) => serializer.serialize_bool(*v),
            Value::Integer(v) => serializer.serialize_i64(*v),
            Value::Unsigned(v) => serializer.serialize_u64(*v),
            Value::Float(v) => serializer.serialize_f64(*v),
        }
    }
}

/// A URL with the password of its user hidden; `None` for what has none.
fn without_password(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user_info, _) = authority.rsplit_once('@')?;
    let (user, _) = user_info.split_once(':')?;
    Some(format!(
        "{scheme}://{user}:xxxxx{}",
        &rest[user_info.len()..]
    ))
}

#[cfg(test)]
mod tests {
    use super::super::yaml::parse;
    use super::*;

    #[test]
    fn secrets_are_hidden_and_the_rest_is_kept() {
        let root = parse(concat!(
            "global: {external_labels: {region: eu, key: x}}\n",
            "scrape_configs:\n",
            "- job_name: a\n",
            "  basic_auth: {username: u, password: 12345}\n",
            "  proxy_url: http://me:hidden@proxy:3128/x\n",
            "  tls_config: {key: PEM, key_file: /k}\n",
            "  http_headers: {X-A: {secrets: [one, two], values: [three]}}\n",
            "  oauth2: {client_id: four, client_secret: five, proxy_connect_header: {X-B: [six]}}\n",
        ))
        .unwrap();
        let labels = Labels::from_pairs([("region", "eu"), ("secret", "of all"), ("t", "7")]);
        let text = printed(&root, &labels);
        for hidden in ["12345", "hidden", "PEM", "one", "two", "five", "six"] {
            assert!(!text.contains(hidden), "{hidden} in {text}");
        }
        for kept in [
            "region: eu",
            "secret: of all",
            "t: \"7\"",
            "username: u",
            "me:xxxxx@proxy:3128/x",
            "/k",
            "three",
            "four",
        ] {
            assert!(text.contains(kept), "{kept} not in {text}");
        }
        assert!(parse(&text).is_ok());
    }
}
