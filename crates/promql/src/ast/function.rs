//! The functions: a table of names and types. What they compute is the engine's business.

mod id;

pub use id::FunctionId;

use super::ValueType;
use super::ValueType::{Matrix, Scalar, String, Vector};

/// Name and types of a function.
#[derive(Debug)]
pub struct Function {
    /// Which one it is.
    pub id: FunctionId,
    /// The name as it is written.
    pub name: &'static str,
    /// Types of the arguments; the last one is that of all further arguments of a variadic function.
    pub arg_types: &'static [ValueType],
    /// How many arguments may be given.
    pub variadic: Variadic,
    /// Type of the result.
    pub return_type: ValueType,
    /// True when it must be enabled (`promql-experimental-functions`).
    pub is_experimental: bool,
}

/// How many arguments a function takes, `n` being the length of [`Function::arg_types`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variadic {
    /// Exactly `n`.
    No,
    /// At least `n - 1`, and at most this many more.
    UpTo(usize),
    /// At least `n - 1`.
    Unbounded,
}

/// Two functions are the same when they have the same name.
impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Function {
    /// The function called `name`; names are case-sensitive.
    pub fn find(name: &str) -> Option<&'static Self> {
        FUNCTIONS
            .binary_search_by(|f| f.name.cmp(name))
            .ok()
            .map(|i| &FUNCTIONS[i])
    }

    /// The function with this id.
    pub fn get(id: FunctionId) -> &'static Self {
        let beyond = (id as usize).checked_sub(FunctionId::COUNT);
        beyond.map_or_else(
            || &FUNCTIONS[id as usize],
            |i| &super::lookout::FUNCTIONS[i],
        )
    }

    const fn experimental(mut self) -> Self {
        self.is_experimental = true;
        self
    }

    const fn variadic(mut self, variadic: Variadic) -> Self {
        self.variadic = variadic;
        self
    }
}

pub(super) const fn function(
    id: FunctionId,
    name: &'static str,
    arg_types: &'static [ValueType],
    return_type: ValueType,
) -> Function {
    Function {
        id,
        name,
        arg_types,
        variadic: Variadic::No,
        return_type,
        is_experimental: false,
    }
}

/// All functions, in order of names and of ids.
pub static FUNCTIONS: [Function; FunctionId::COUNT] = [
    function(FunctionId::Abs, "abs", &[Vector], Vector),
    function(FunctionId::Absent, "absent", &[Vector], Vector),
    function(
        FunctionId::AbsentOverTime,
        "absent_over_time",
        &[Matrix],
        Vector,
    ),
    function(FunctionId::Acos, "acos", &[Vector], Vector),
    function(FunctionId::Acosh, "acosh", &[Vector], Vector),
    function(FunctionId::Asin, "asin", &[Vector], Vector),
    function(FunctionId::Asinh, "asinh", &[Vector], Vector),
    function(FunctionId::Atan, "atan", &[Vector], Vector),
    function(FunctionId::Atanh, "atanh", &[Vector], Vector),
    function(FunctionId::AvgOverTime, "avg_over_time", &[Matrix], Vector),
    function(FunctionId::Ceil, "ceil", &[Vector], Vector),
    function(FunctionId::Changes, "changes", &[Matrix], Vector),
    function(
        FunctionId::Clamp,
        "clamp",
        &[Vector, Scalar, Scalar],
        Vector,
    ),
    function(FunctionId::ClampMax, "clamp_max", &[Vector, Scalar], Vector),
    function(FunctionId::ClampMin, "clamp_min", &[Vector, Scalar], Vector),
    function(FunctionId::Cos, "cos", &[Vector], Vector),
    function(FunctionId::Cosh, "cosh", &[Vector], Vector),
    function(
        FunctionId::CountOverTime,
        "count_over_time",
        &[Matrix],
        Vector,
    ),
    function(FunctionId::DayOfMonth, "day_of_month", &[Vector], Vector).variadic(Variadic::UpTo(1)),
    function(FunctionId::DayOfWeek, "day_of_week", &[Vector], Vector).variadic(Variadic::UpTo(1)),
    function(FunctionId::DayOfYear, "day_of_year", &[Vector], Vector).variadic(Variadic::UpTo(1)),
    function(FunctionId::DaysInMonth, "days_in_month", &[Vector], Vector)
        .variadic(Variadic::UpTo(1)),
    function(FunctionId::Deg, "deg", &[Vector], Vector),
    function(FunctionId::Delta, "delta", &[Matrix], Vector),
    function(FunctionId::Deriv, "deriv", &[Matrix], Vector),
    function(
        FunctionId::DoubleExponentialSmoothing,
        "double_exponential_smoothing",
        &[Matrix, Scalar, Scalar],
        Vector,
    )
    .experimental(),
    function(FunctionId::End, "end", &[], Scalar).experimental(),
    function(FunctionId::Exp, "exp", &[Vector], Vector),
    function(
        FunctionId::FirstOverTime,
        "first_over_time",
        &[Matrix],
        Vector,
    ),
    function(FunctionId::Floor, "floor", &[Vector], Vector),
    function(FunctionId::HistogramAvg, "histogram_avg", &[Vector], Vector),
    function(
        FunctionId::HistogramCount,
        "histogram_count",
        &[Vector],
        Vector,
    ),
    function(
        FunctionId::HistogramFraction,
        "histogram_fraction",
        &[Scalar, Scalar, Vector],
        Vector,
    ),
    function(
        FunctionId::HistogramQuantile,
        "histogram_quantile",
        &[Scalar, Vector],
        Vector,
    ),
    function(
        FunctionId::HistogramQuantiles,
        "histogram_quantiles",
        &[Vector, String, Scalar, Scalar],
        Vector,
    )
    .variadic(Variadic::UpTo(9))
    .experimental(),
    function(
        FunctionId::HistogramStddev,
        "histogram_stddev",
        &[Vector],
        Vector,
    ),
    function(
        FunctionId::HistogramStdvar,
        "histogram_stdvar",
        &[Vector],
        Vector,
    ),
    function(FunctionId::HistogramSum, "histogram_sum", &[Vector], Vector),
    function(FunctionId::Hour, "hour", &[Vector], Vector).variadic(Variadic::UpTo(1)),
    function(FunctionId::Idelta, "idelta", &[Matrix], Vector),
    function(FunctionId::Increase, "increase", &[Matrix], Vector),
    function(FunctionId::Info, "info", &[Vector, Vector], Vector)
        .variadic(Variadic::UpTo(1))
        .experimental(),
    function(FunctionId::Irate, "irate", &[Matrix], Vector),
    function(
        FunctionId::LabelJoin,
        "label_join",
        &[Vector, String, String, String],
        Vector,
    )
    .variadic(Variadic::Unbounded),
    function(
        FunctionId::LabelReplace,
        "label_replace",
        &[Vector, String, String, String, String],
        Vector,
    ),
    function(
        FunctionId::LastOverTime,
        "last_over_time",
        &[Matrix],
        Vector,
    ),
    function(FunctionId::Ln, "ln", &[Vector], Vector),
    function(FunctionId::Log10, "log10", &[Vector], Vector),
    function(FunctionId::Log2, "log2", &[Vector], Vector),
    function(FunctionId::MadOverTime, "mad_over_time", &[Matrix], Vector).experimental(),
    function(FunctionId::MaxOf, "max_of", &[Scalar, Scalar], Scalar).experimental(),
    function(FunctionId::MaxOverTime, "max_over_time", &[Matrix], Vector),
    function(FunctionId::MinOf, "min_of", &[Scalar, Scalar], Scalar).experimental(),
    function(FunctionId::MinOverTime, "min_over_time", &[Matrix], Vector),
    function(FunctionId::Minute, "minute", &[Vector], Vector).variadic(Variadic::UpTo(1)),
    function(FunctionId::Month, "month", &[Vector], Vector).variadic(Variadic::UpTo(1)),
    function(FunctionId::Pi, "pi", &[], Scalar),
    function(
        FunctionId::PredictLinear,
        "predict_linear",
        &[Matrix, Scalar],
        Vector,
    ),
    function(
        FunctionId::PresentOverTime,
        "present_over_time",
        &[Matrix],
        Vector,
    ),
    function(
        FunctionId::QuantileOverTime,
        "quantile_over_time",
        &[Scalar, Matrix],
        Vector,
    ),
    function(FunctionId::Rad, "rad", &[Vector], Vector),
    function(FunctionId::Range, "range", &[], Scalar).experimental(),
    function(FunctionId::Rate, "rate", &[Matrix], Vector),
    function(FunctionId::Resets, "resets", &[Matrix], Vector),
    function(FunctionId::Round, "round", &[Vector, Scalar], Vector).variadic(Variadic::UpTo(1)),
    function(FunctionId::Scalar, "scalar", &[Vector], Scalar),
    function(FunctionId::Sgn, "sgn", &[Vector], Vector),
    function(FunctionId::Sin, "sin", &[Vector], Vector),
    function(FunctionId::Sinh, "sinh", &[Vector], Vector),
    function(FunctionId::Sort, "sort", &[Vector], Vector),
    function(
        FunctionId::SortByLabel,
        "sort_by_label",
        &[Vector, String],
        Vector,
    )
    .variadic(Variadic::Unbounded)
    .experimental(),
    function(
        FunctionId::SortByLabelDesc,
        "sort_by_label_desc",
        &[Vector, String],
        Vector,
    )
    .variadic(Variadic::Unbounded)
    .experimental(),
    function(FunctionId::SortDesc, "sort_desc", &[Vector], Vector),
    function(FunctionId::Sqrt, "sqrt", &[Vector], Vector),
    function(FunctionId::Start, "start", &[], Scalar).experimental(),
    function(
        FunctionId::StartTimestamp,
        "start_timestamp",
        &[Vector],
        Vector,
    )
    .experimental(),
    function(
        FunctionId::StddevOverTime,
        "stddev_over_time",
        &[Matrix],
        Vector,
    ),
    function(
        FunctionId::StdvarOverTime,
        "stdvar_over_time",
        &[Matrix],
        Vector,
    ),
    function(FunctionId::Step, "step", &[], Scalar).experimental(),
    function(FunctionId::SumOverTime, "sum_over_time", &[Matrix], Vector),
    function(FunctionId::Tan, "tan", &[Vector], Vector),
    function(FunctionId::Tanh, "tanh", &[Vector], Vector),
    function(FunctionId::Time, "time", &[], Scalar),
    function(FunctionId::Timestamp, "timestamp", &[Vector], Vector),
    function(
        FunctionId::TsOfFirstOverTime,
        "ts_of_first_over_time",
        &[Matrix],
        Vector,
    )
    .experimental(),
    function(
        FunctionId::TsOfLastOverTime,
        "ts_of_last_over_time",
        &[Matrix],
        Vector,
    )
    .experimental(),
    function(
        FunctionId::TsOfMaxOverTime,
        "ts_of_max_over_time",
        &[Matrix],
        Vector,
    )
    .experimental(),
    function(
        FunctionId::TsOfMinOverTime,
        "ts_of_min_over_time",
        &[Matrix],
        Vector,
    )
    .experimental(),
    function(FunctionId::Vector, "vector", &[Scalar], Vector),
    function(FunctionId::Year, "year", &[Vector], Vector).variadic(Variadic::UpTo(1)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_of_ids_and_names() {
        for (i, f) in FUNCTIONS.iter().enumerate() {
            assert_eq!(f.id as usize, i, "{}", f.name);
            assert_eq!(Function::find(f.name).map(|f| f.id), Some(f.id));
        }
    }

    #[test]
    fn counts_are_those_of_prometheus_3_14() {
        assert_eq!(FUNCTIONS.len(), 90);
        let experimental = FUNCTIONS.iter().filter(|f| f.is_experimental).count();
        assert_eq!(experimental, 17);
    }
}
