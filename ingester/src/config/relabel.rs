//! Relabelling rules within the configuration.

use model::labels::NameScheme;
use model::relabel::{RelabelAction, RelabelConfig};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::Error;
use super::yaml::Node;

/// The rules of a list, each checked by compiling it.
pub(super) fn rules(list: &Node, scheme: NameScheme) -> Result<Vec<RelabelConfig>, Error> {
    list.list()?.iter().map(|node| rule(node, scheme)).collect()
}

fn rule(node: &Node, scheme: NameScheme) -> Result<RelabelConfig, Error> {
    if node.is_null() {
        return Err(Error::at(
            node.at,
            "empty or null target relabeling rule in scrape config",
        ));
    }
    let mut section = node.section("relabel.plain")?;
    let mut rule = RelabelConfig {
        source_labels: section.optional("source_labels", Node::texts)?,
        // An empty text is a value of its own here, null is not.
        separator: section.optional("separator", Node::text)?,
        regex: section.optional("regex", Node::text)?,
        modulus: section.optional("modulus", Node::unsigned)?,
        target_label: section.optional("target_label", Node::text)?,
        replacement: section.optional("replacement", Node::text)?,
        ..RelabelConfig::default()
    };
    section.set("action", &mut rule.action, action)?;
    let line = section.at;
    section.finish()?;
    match rule.compile(scheme) {
        Ok(_) => Ok(rule),
        Err(error) => Err(Error::at(line, error.to_string())),
    }
}

fn action(node: &Node) -> Result<RelabelAction, Error> {
    let text = node.text()?;
    let name: StrDeserializer<'_, ValueError> = text.as_str().into_deserializer();
    RelabelAction::deserialize(name).map_err(|error| Error::at(node.at, error.to_string()))
}
