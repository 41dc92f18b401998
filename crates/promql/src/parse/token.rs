//! Tokens, and how error messages call them.

use crate::ast::{AggregateOp, BinaryOp};

use super::quote;

/// What kind of token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// End of the input.
    Eof,
    Comma,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Colon,
    /// `=`
    Equal,
    /// `=~`
    EqualRegex,
    /// `!~`
    NotRegex,
    /// `=~|`, of the Lookout dialect
    InSet,
    /// `!~|`, of the Lookout dialect
    NotInSet,
    /// `@`
    At,
    /// `1.5`, `0x1f`, `Inf`
    Number,
    /// `1h30m`
    Duration,
    /// A string in any of the three quotes, quotes included.
    String,
    /// A name without colons that is no keyword.
    Identifier,
    /// A name with colons.
    MetricIdentifier,
    /// A binary operator, `!=` inside braces included.
    Op(BinaryOp),
    /// The name of an aggregator.
    Aggregate(AggregateOp),
    /// Any other word with a meaning.
    Keyword(Keyword),
}

/// Words with a meaning that depends on where they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    Anchored,
    Bool,
    By,
    Fill,
    FillLeft,
    FillRight,
    GroupLeft,
    GroupRight,
    Ignoring,
    Offset,
    On,
    Smoothed,
    Without,
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

impl Keyword {
    /// True for the words that are also functions: their name may be followed by `(`.
    pub(super) const fn is_function(self) -> bool {
        matches!(
            self,
            Self::Start | Self::End | Self::Step | Self::Range | Self::MaxOf | Self::MinOf
        )
    }
}

/// The token that `word` is outside braces and brackets; case does not matter.
pub(super) fn classify(word: &str) -> Kind {
    if word.contains([':', '.']) {
        return Kind::MetricIdentifier;
    }
    // The longest keyword is `count_values`.
    let mut lower = [0u8; 12];
    let Some(lower) = lower.get_mut(..word.len()) else {
        return Kind::Identifier;
    };
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    match &*lower {
        b"and" => Kind::Op(BinaryOp::And),
        b"or" => Kind::Op(BinaryOp::Or),
        b"unless" => Kind::Op(BinaryOp::Unless),
        b"atan2" => Kind::Op(BinaryOp::Atan2),
        b"sum" => Kind::Aggregate(AggregateOp::Sum),
        b"avg" => Kind::Aggregate(AggregateOp::Avg),
        b"count" => Kind::Aggregate(AggregateOp::Count),
        b"min" => Kind::Aggregate(AggregateOp::Min),
        b"max" => Kind::Aggregate(AggregateOp::Max),
        b"group" => Kind::Aggregate(AggregateOp::Group),
        b"stddev" => Kind::Aggregate(AggregateOp::Stddev),
        b"stdvar" => Kind::Aggregate(AggregateOp::Stdvar),
        b"topk" => Kind::Aggregate(AggregateOp::Topk),
        b"bottomk" => Kind::Aggregate(AggregateOp::Bottomk),
        b"count_values" => Kind::Aggregate(AggregateOp::CountValues),
        b"quantile" => Kind::Aggregate(AggregateOp::Quantile),
        b"limitk" => Kind::Aggregate(AggregateOp::Limitk),
        b"limit_ratio" => Kind::Aggregate(AggregateOp::LimitRatio),
        b"offset" => Kind::Keyword(Keyword::Offset),
        b"smoothed" => Kind::Keyword(Keyword::Smoothed),
        b"anchored" => Kind::Keyword(Keyword::Anchored),
        b"by" => Kind::Keyword(Keyword::By),
        b"without" => Kind::Keyword(Keyword::Without),
        b"on" => Kind::Keyword(Keyword::On),
        b"ignoring" => Kind::Keyword(Keyword::Ignoring),
        b"group_left" => Kind::Keyword(Keyword::GroupLeft),
        b"group_right" => Kind::Keyword(Keyword::GroupRight),
        b"fill" => Kind::Keyword(Keyword::Fill),
        b"fill_left" => Kind::Keyword(Keyword::FillLeft),
        b"fill_right" => Kind::Keyword(Keyword::FillRight),
        b"bool" => Kind::Keyword(Keyword::Bool),
        b"start" => Kind::Keyword(Keyword::Start),
        b"end" => Kind::Keyword(Keyword::End),
        b"inf" | b"nan" => Kind::Number,
        other => classify_in_duration(other).map_or(Kind::Identifier, Kind::Keyword),
    }
}

/// The function of duration expressions that the lower-case `word` names.
pub(super) fn classify_in_duration(word: &[u8]) -> Option<Keyword> {
    match word {
        b"step" => Some(Keyword::Step),
        b"range" => Some(Keyword::Range),
        b"max_of" => Some(Keyword::MaxOf),
        b"min_of" => Some(Keyword::MinOf),
        _ => None,
    }
}

/// A token and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Token {
    /// What error messages call the token, `text` being its bytes: `identifier "x"`, `<op:+>`.
    pub(super) fn describe(self, text: &str) -> String {
        match self.kind {
            Kind::Eof => "end of input".to_owned(),
            Kind::Identifier => format!("identifier {}", quote::quoted(text.as_bytes())),
            Kind::MetricIdentifier => {
                format!("metric identifier {}", quote::quoted(text.as_bytes()))
            }
            Kind::Number => format!("number {}", excerpt(text)),
            Kind::Duration => format!("duration {}", excerpt(text)),
            Kind::String => format!("string {}", excerpt(text)),
            Kind::Op(_)
            | Kind::EqualRegex
            | Kind::NotRegex
            | Kind::InSet
            | Kind::NotInSet
            | Kind::At => format!("<op:{text}>"),
            Kind::Aggregate(_) => format!("<aggr:{text}>"),
            Kind::Keyword(keyword) if keyword.is_function() => excerpt(text),
            Kind::Keyword(_) => format!("<{text}>"),
            _ => excerpt(text),
        }
    }
}

/// The first ten characters in quotes, with dots when the text is longer.
fn excerpt(text: &str) -> String {
    if text.len() <= 10 {
        return quote::quoted(text.as_bytes());
    }
    let end = text.char_indices().nth(10).map_or(text.len(), |(i, _)| i);
    format!("{}...", quote::quoted(&text.as_bytes()[..end]))
}
