//! The endpoints: all there is to routing, and what `openapi.yaml` is made of.

use runtime::http::Cost;

use super::answer::{Answer, ApiError};
use super::{
    Api, Call, empty, explain, format_query, label_values, labels, metadata, parse_query, query,
    query_exemplars, query_range, rules, series, status, status_tsdb, stores, targets,
};

/// Answers a call.
pub(super) type Endpoint = fn(&Api, &Call<'_>) -> Result<Answer, ApiError>;

/// An endpoint: where it is, which methods it takes, and whether it may compute for long.
pub(super) struct Route {
    /// What follows `/api/v1/`; a part in braces stands for anything.
    pub(super) name: &'static str,
    pub(super) takes_post: bool,
    pub(super) cost: Cost,
    pub(super) endpoint: Endpoint,
    /// What it answers, in a sentence.
    pub(super) about: &'static str,
    pub(super) parameters: &'static [&'static [Parameter]],
}

/// What may be said of a call, in the URL or in a form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) is_required: bool,
    pub(super) about: &'static str,
}

/// What a parameter may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any text.
    Text,
    /// Texts, each said for itself.
    Texts,
    /// Seconds since the Unix epoch, or a time of RFC 3339.
    Time,
    /// Seconds, or a duration of PromQL.
    Duration,
    /// A whole number from 0.
    Count,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Flag,
    /// One of these.
    OneOf(&'static [&'static str]),
}

impl Route {
    const fn get(name: &'static str, cost: Cost, endpoint: Endpoint) -> Self {
        Self {
            name,
            takes_post: false,
            cost,
            endpoint,
            about: "",
            parameters: &[],
        }
    }

    const fn get_or_post(name: &'static str, cost: Cost, endpoint: Endpoint) -> Self {
        Self {
            takes_post: true,
            ..Self::get(name, cost, endpoint)
        }
    }

    const fn about(self, about: &'static str, parameters: &'static [&'static [Parameter]]) -> Self {
        Self {
            about,
            parameters,
            ..self
        }
    }
}

const fn may(name: &'static str, kind: Kind, about: &'static str) -> Parameter {
    Parameter {
        name,
        kind,
        is_required: false,
        about,
    }
}

const fn must(name: &'static str, kind: Kind, about: &'static str) -> Parameter {
    Parameter {
        is_required: true,
        ..may(name, kind, about)
    }
}

const EXPRESSION: &[Parameter] = &[must("query", Kind::Text, "Expression of PromQL.")];
const LIMIT: &[Parameter] = &[may(
    "limit",
    Kind::Count,
    "Most items of the answer; 0 for all.",
)];
const INSTANT: &[Parameter] = &[may("time", Kind::Time, "Instant; now unless said.")];
const STEPS: &[Parameter] = &[
    must("start", Kind::Time, "First instant."),
    must("end", Kind::Time, "Last instant."),
    may(
        "step",
        Kind::Duration,
        "Distance of the instants. A querier over endpoints chooses one that is not said.",
    ),
];
const ENGINE: &[Parameter] = &[
    may(
        "timeout",
        Kind::Duration,
        "Most time, up to --query.timeout.",
    ),
    may("lookback_delta", Kind::Duration, "How old a sample may be."),
    may(
        "engine",
        Kind::OneOf(&["prometheus", "thanos"]),
        "Taken for Thanos' clients; there is one engine.",
    ),
    may(
        "max_source_resolution",
        Kind::Text,
        "Coarsest resolution of downsampled data: auto, seconds, or a duration.",
    ),
    may("shard_info", Kind::Text, "Shard that is wanted, as JSON."),
];
const FIGURES: &[Parameter] = &[
    may(
        "stats",
        Kind::Text,
        "Shows statistics, and with all also those of each step.",
    ),
    may("analyze", Kind::Flag, "Shows what each operator did."),
];
const SERIES: &[Parameter] = &[
    may(
        "dedup",
        Kind::Flag,
        "Whether replicas become one series; they do unless said.",
    ),
    may(
        "replicaLabels[]",
        Kind::Texts,
        "Labels that tell replicas apart, in place of --query.replica-label.",
    ),
];
const WHOM: &[Parameter] = &[
    may(
        "storeMatch[]",
        Kind::Texts,
        "Selectors of the stores to ask, by __address__ and external labels.",
    ),
    PARTIAL[0],
];
const PARTIAL: &[Parameter; 1] = &[may(
    "partial_response",
    Kind::Flag,
    "Whether an answer may lack what a store should have said.",
)];
const RANGE: &[Parameter] = &[
    may("start", Kind::Time, "Begin of the range; none unless said."),
    may("end", Kind::Time, "End of the range; none unless said."),
];
const MATCH: &[Parameter] = &[may("match[]", Kind::Texts, "Selectors of series.")];
const MUST_MATCH: &[Parameter] = &[must("match[]", Kind::Texts, "Selectors of series.")];

/// All endpoints under `/api/v1/` that answer in the envelope of Prometheus.
pub(super) const ROUTES: &[Route] = &[
    Route::get_or_post("query", Cost::Large, query::answer).about(
        "Evaluates an expression at an instant.",
        &[EXPRESSION, INSTANT, LIMIT, ENGINE, FIGURES, SERIES, WHOM],
    ),
    Route::get_or_post("query_range", Cost::Large, query_range::answer).about(
        "Evaluates an expression at instants of a range.",
        &[EXPRESSION, STEPS, LIMIT, ENGINE, FIGURES, SERIES, WHOM],
    ),
    Route::get_or_post("query_explain", Cost::Small, explain::instant).about(
        "How an expression would be evaluated at an instant.",
        &[EXPRESSION, INSTANT, ENGINE],
    ),
    Route::get_or_post("query_range_explain", Cost::Small, explain::range).about(
        "How an expression would be evaluated over a range.",
        &[EXPRESSION, STEPS, ENGINE],
    ),
    Route::get_or_post("query_exemplars", Cost::Small, query_exemplars::answer).about(
        "Exemplars of the series that an expression selects.",
        &[EXPRESSION, RANGE, PARTIAL],
    ),
    Route::get_or_post("format_query", Cost::Small, format_query::answer)
        .about("An expression, laid out for reading.", &[EXPRESSION]),
    Route::get_or_post("parse_query", Cost::Small, parse_query::answer)
        .about("The syntax tree of an expression.", &[EXPRESSION]),
    Route::get_or_post("labels", Cost::Large, labels::answer)
        .about("Names of labels.", &[MATCH, RANGE, LIMIT, WHOM]),
    Route::get("label/{name}/values", Cost::Large, label_values::answer)
        .about("Values of a label.", &[MATCH, RANGE, LIMIT, WHOM]),
    Route::get_or_post("series", Cost::Large, series::answer).about(
        "Label sets of series.",
        &[MUST_MATCH, RANGE, LIMIT, SERIES, WHOM],
    ),
    Route::get("metadata", Cost::Small, metadata::answer).about(
        "Type, unit and help of metrics.",
        &[
            &[
                may("metric", Kind::Text, "The metric; all unless said."),
                may("limit", Kind::Integer, "Most metrics; less than 0 for all."),
                may(
                    "limit_per_metric",
                    Kind::Integer,
                    "Most entries of a metric.",
                ),
            ],
            PARTIAL,
        ],
    ),
    Route::get("targets", Cost::Small, targets::answer).about(
        "Targets of all endpoints that scrape.",
        &[
            &[
                may("state", Kind::Text, "any, active or dropped."),
                may("scrapePool", Kind::Text, "Only those of this pool."),
            ],
            PARTIAL,
        ],
    ),
    Route::get("scrape_pools", Cost::Small, targets::pools)
        .about("Names of scrape pools.", &[PARTIAL]),
    Route::get("stores", Cost::Small, stores::answer).about("The stores, and how they are.", &[]),
    Route::get("rules", Cost::Small, rules::rules).about(
        "Rules of all endpoints that have some.",
        &[
            &[
                may(
                    "type",
                    Kind::OneOf(&["alert", "record"]),
                    "Only those of this type.",
                ),
                may("rule_name[]", Kind::Texts, "Only rules of these names."),
                may("rule_group[]", Kind::Texts, "Only rules of these groups."),
                may("file[]", Kind::Texts, "Only rules of these files."),
                may(
                    "exclude_alerts",
                    Kind::Flag,
                    "Leaves out what alerts are active.",
                ),
                may("group_limit", Kind::Count, "Most groups of a page."),
                may(
                    "group_next_token",
                    Kind::Text,
                    "The page, as the one before says.",
                ),
            ],
            MATCH,
            PARTIAL,
        ],
    ),
    Route::get("alerts", Cost::Small, rules::alerts).about("Active alerts.", &[PARTIAL]),
    Route::get("alertmanagers", Cost::Small, empty::alertmanagers)
        .about("Where alerts are sent, which is nowhere.", &[]),
    Route::get("features", Cost::Small, status::features)
        .about("What the API and the engine can do.", &[]),
    Route::get("status/buildinfo", Cost::Small, status::build_info).about("Versions.", &[]),
    Route::get("status/config", Cost::Small, status::config).about("The configuration file.", &[]),
    Route::get("status/flags", Cost::Small, status::flags).about("Flags as they took effect.", &[]),
    Route::get("status/runtimeinfo", Cost::Small, status::runtime_info)
        .about("How the process runs.", &[]),
    Route::get("status/walreplay", Cost::Small, status::wal_replay)
        .about("How far the log is replayed.", &[]),
    Route::get("status/tsdb", Cost::Large, status_tsdb::answer).about(
        "What is in the heads of all endpoints that have some.",
        &[
            &[
                may("limit", Kind::Count, "Entries of each ranking, from 1."),
                may("all_tenants", Kind::Flag, "An entry for each tenant."),
            ],
            PARTIAL,
        ],
    ),
    Route::get("status/tsdb/blocks", Cost::Small, status_tsdb::blocks)
        .about("Blocks of the data directory.", &[]),
];

/// The endpoint by what follows `/api/v1/`.
pub(super) fn find(name: &str) -> Option<&'static Route> {
    let pattern = match label_values::name_in(name) {
        Some(_) => "label/{name}/values",
        None => name,
    };
    ROUTES.iter().find(|route| route.name == pattern)
}
