//! What became of the documents of a bulk request, one by one.

use serde::Deserialize;

use super::connection::shortened;

/// What became of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is there: now, or since it was sent before.
    Taken,
    /// It never will be.
    Refused {
        /// The type of the error.
        reason: String,
        /// What the server said.
        said: String,
    },
    /// The server cannot take it now.
    Later {
        /// What the server said.
        reason: String,
    },
    /// Its index is not there, and the server does not make it.
    NoIndex {
        /// What the server said.
        reason: String,
    },
}

/// An answer: an item for each document, in their order.
#[derive(Debug, Deserialize)]
struct Answer {
    errors: bool,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    #[serde(alias = "index")]
    create: Action,
}

#[derive(Debug, Deserialize)]
struct Action {
    status: u16,
    #[serde(default)]
    error: Option<ActionError>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ActionError {
    r#type: String,
    reason: String,
}

/// Reads the answer to a request with so many documents.
///
/// # Errors
/// What is wrong with an answer that does not say what became of each.
pub(super) fn fates(body: &[u8], documents: usize) -> Result<Vec<Fate>, String> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|error| format!("the answer to _bulk cannot be read: {error}"))?;
    if !answer.errors {
        return Ok(vec![Fate::Taken; documents]);
    }
    let items = answer.items.len();
    if items != documents {
        return Err(format!(
            "the answer to _bulk has {items} items for {documents} documents"
        ));
    }
    Ok(answer
        .items
        .into_iter()
        .map(|item| fate(item.create))
        .collect())
}

fn fate(action: Action) -> Fate {
    let status = action.status;
    let error = action.error.unwrap_or_default();
    let said = format!("{status}: {}: {}", error.r#type, shortened(&error.reason));
    match (status, &*error.r#type) {
        (0..300, _) => Fate::Taken,
        // Ids follow from what documents say.
        (409, _) => Fate::Taken,
        (404, "index_not_found_exception") => Fate::NoIndex { reason: said },
        // A disk that is too full makes indices read-only until there is room.
        (429 | 500.., _) | (_, "cluster_block_exception") => Fate::Later { reason: said },
        (status, kind) => Fate::Refused {
            reason: match kind {
                "" => status.to_string(),
                kind => kind.to_owned(),
            },
            said,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(items: &str, expected: &[&str]) {
        let body = format!(r#"{{"errors":true,"items":[{items}]}}"#);
        let fates = fates(body.as_bytes(), expected.len()).unwrap();
        let shown: Vec<_> = fates.iter().map(|fate| format!("{fate:?}")).collect();
        for (shown, expected) in shown.iter().zip(expected) {
            assert!(shown.starts_with(expected), "{shown} is not {expected}");
        }
    }

    #[test]
    fn each_item_says_what_became_of_its_document() {
        let item = |status: u16, kind: &str| {
            format!(
                r#"{{"create":{{"status":{status},"error":{{"type":"{kind}","reason":"r"}}}}}}"#
            )
        };
        let items = [
            r#"{"create":{"status":201}}"#.to_owned(),
            r#"{"index":{"status":200}}"#.to_owned(),
            item(409, "version_conflict_engine_exception"),
            item(429, "es_rejected_execution_exception"),
            item(503, "unavailable_shards_exception"),
            item(403, "cluster_block_exception"),
            item(404, "index_not_found_exception"),
            item(400, "mapper_parsing_exception"),
            r#"{"create":{"status":418}}"#.to_owned(),
        ];
        check(
            &items.join(","),
            &[
                "Taken",
                "Taken",
                "Taken",
                "Later { reason: \"429: es_rejected",
                "Later",
                "Later",
                "NoIndex",
                "Refused { reason: \"mapper_parsing_exception\", said: \"400: mapper_parsing_exception: r\" }",
                "Refused { reason: \"418\"",
            ],
        );
    }

    #[test]
    fn an_answer_that_does_not_tell_is_none() {
        assert_eq!(
            fates(br#"{"errors":false}"#, 2).unwrap(),
            [Fate::Taken, Fate::Taken]
        );
        for body in [
            "",
            "{}",
            "<html>",
            r#"{"errors":true}"#,
            r#"{"errors":true,"items":[{}]}"#,
        ] {
            assert!(fates(body.as_bytes(), 1).is_err(), "{body}");
        }
    }

    proptest::proptest! {
        #[test]
        fn damaged_answers_never_tell_of_more_documents_than_were_sent(
            at in 0usize..200,
            byte: u8,
            documents in 0usize..4,
        ) {
            let mut body = concat!(
                r#"{"errors":true,"items":[{"create":{"status":201}},"#,
                r#"{"create":{"status":400,"error":{"type":"t","reason":"r"}}}]}"#
            )
            .as_bytes()
            .to_vec();
            if let Some(damaged) = body.get_mut(at) {
                *damaged = byte;
            }
            if let Ok(fates) = fates(&body, documents) {
                proptest::prop_assert_eq!(fates.len(), documents);
            }
        }
    }
}
