//! Functions of the Lookout dialect, apart from Prometheus' table.

use super::ValueType::{Matrix, Scalar, Vector};
use super::function::{Function, FunctionId, function};

/// The functions, in order of ids.
pub(super) static FUNCTIONS: [Function; 3] = [
    function(FunctionId::Increase2, "increase2", &[Matrix], Vector),
    function(
        FunctionId::Sum2OverTime,
        "sum2_over_time",
        &[Matrix],
        Vector,
    ),
    function(
        FunctionId::ZhistogramQuantile,
        "zhistogram_quantile",
        &[Scalar, Vector],
        Vector,
    ),
];

impl Function {
    /// The function that only the Lookout dialect has under this name. One of them is written with
    /// a capital in Lookout's documentation, and without in its code.
    pub fn find_lookout(name: &str) -> Option<&'static Self> {
        let name = match name {
            "Increase2" => "increase2",
            name => name,
        };
        FUNCTIONS.iter().find(|function| function.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_those_of_prometheus() {
        for (i, function) in FUNCTIONS.iter().enumerate() {
            assert_eq!(function.id as usize, FunctionId::COUNT + i);
            assert_eq!(Function::get(function.id), function);
            assert!(Function::find(function.name).is_none());
        }
        assert_eq!(Function::find_lookout("Increase2"), Some(&FUNCTIONS[0]));
        assert_eq!(Function::find_lookout("rate"), None);
    }
}
