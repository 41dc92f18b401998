//! `absent` and `absent_over_time`: one series with 1 where the input has nothing.

use model::Labels;

use crate::columns::{Bitmap, StepSeries, Steps};
use crate::error::Error;

use super::{BoxedOperator, Operator};

pub(crate) struct Absent<'q> {
    input: Option<BoxedOperator<'q>>,
    labels: &'q Labels,
    steps: Steps,
}

impl<'q> Absent<'q> {
    pub(crate) fn new(input: BoxedOperator<'q>, labels: &'q Labels, steps: Steps) -> Self {
        Self {
            input: Some(input),
            labels,
            steps,
        }
    }
}

impl Operator for Absent<'_> {
    fn next(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        let Some(mut input) = self.input.take() else {
            return Ok(false);
        };
        let mut present = Bitmap::zeros(self.steps.count);
        while input.next(out)? {
            present.union(&out.column.present());
        }
        out.labels = self.labels.clone();
        out.drop_name = false;
        out.column.reset(self.steps.count);
        for i in (0..self.steps.count).filter(|&i| !present.get(i)) {
            out.column.set_float(i, 1.0);
        }
        Ok(!out.column.is_absent())
    }
}
