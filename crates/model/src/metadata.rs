//! Metadata of metrics: type, unit and help.

/// The type of a metric. The numbers are those that write-ahead logs hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum MetricType {
    /// Not known, or untyped.
    #[default]
    Unknown = 0,
    /// A value that only goes up, or restarts at zero.
    Counter = 1,
    /// A value that goes up and down.
    Gauge = 2,
    /// A distribution that grows by observations.
    Histogram = 3,
    /// A distribution that goes up and down.
    GaugeHistogram = 4,
    /// Quantiles computed by the producer.
    Summary = 5,
    /// Facts in labels; the value is always 1.
    Info = 6,
    /// Booleans, one series each.
    StateSet = 7,
}

impl MetricType {
    /// All types in order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Unknown,
        Self::Counter,
        Self::Gauge,
        Self::Histogram,
        Self::GaugeHistogram,
        Self::Summary,
        Self::Info,
        Self::StateSet,
    ];

    /// The name in OpenMetrics and in Prometheus' API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }

    /// The type of that name, if there is one; `untyped`, from Prometheus' text format, is unknown.
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "untyped" {
            return Some(Self::Unknown);
        }
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The type of that number, where any other is unknown.
    pub fn from_number(number: u8) -> Self {
        let kind = Self::ALL.get(usize::from(number));
        kind.copied().unwrap_or_default()
    }

    /// The number in write-ahead logs.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl std::fmt::Display for MetricType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known of a metric beside its series.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Metadata {
    /// The type.
    pub kind: MetricType,
    /// The unit, such as `seconds`; empty if unknown.
    pub unit: String,
    /// What the metric means; empty if unknown.
    pub help: String,
}

impl Metadata {
    /// True when nothing is known.
    pub fn is_empty(&self) -> bool {
        self.kind == MetricType::Unknown && self.unit.is_empty() && self.help.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_names_and_numbers() {
        for (i, kind) in MetricType::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(kind.number()), i);
            assert_eq!(MetricType::from_number(kind.number()), kind);
            assert_eq!(MetricType::from_name(kind.as_str()), Some(kind));
        }
        assert_eq!(MetricType::from_number(8), MetricType::Unknown);
        assert_eq!(MetricType::from_name("untyped"), Some(MetricType::Unknown));
        assert_eq!(MetricType::from_name("Counter"), None);
    }

    #[test]
    fn emptiness() {
        assert!(Metadata::default().is_empty());
        let unit = Metadata {
            unit: "seconds".to_owned(),
            ..Metadata::default()
        };
        assert!(!unit.is_empty());
    }
}
