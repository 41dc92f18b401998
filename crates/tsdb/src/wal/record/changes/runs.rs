//! Columns of integers of which most equal the one before: each as a varint, and after two that are
//! equal how many more of them follow, as a uvarint.

use crate::cursor::{Cursor, put_uvarint, put_varint};
use crate::error::Corruption;

/// Appends a column.
pub(super) fn put(out: &mut Vec<u8>, column: impl Iterator<Item = i64>) {
    let mut before = None;
    // Set after two that are equal.
    let mut more: Option<u64> = None;
    for value in column {
        let is_same = before == Some(value);
        match &mut more {
            Some(more) if is_same => *more += 1,
            ended => {
                if let Some(more) = ended.take() {
                    put_uvarint(out, more);
                }
                put_varint(out, value);
                *ended = is_same.then_some(0);
                before = Some(value);
            }
        }
    }
    if let Some(more) = more {
        put_uvarint(out, more);
    }
}

/// Reads a column.
#[derive(Debug, Clone)]
pub(super) struct Runs<'a> {
    cursor: Cursor<'a>,
    before: Option<i64>,
    /// How many more equal the one before.
    more: u64,
    what: &'static str,
}

impl<'a> Runs<'a> {
    /// The column of `rows` rows that begins at `cursor`, which goes on behind it. `what` is the name
    /// of a value, for errors.
    pub(super) fn of(
        cursor: &mut Cursor<'a>,
        rows: usize,
        what: &'static str,
    ) -> Result<Self, Corruption> {
        let column = Self {
            cursor: cursor.clone(),
            before: None,
            more: 0,
            what,
        };
        let mut runs = column.clone();
        let mut left = rows as u64;
        while left > 0 {
            runs.read()?;
            left = (left - 1)
                .checked_sub(runs.more)
                .ok_or_else(|| runs.cursor.corrupt("a run within the rows of the record"))?;
        }
        *cursor = runs.cursor;
        Ok(column)
    }

    /// The next value.
    #[inline]
    pub(super) fn next(&mut self) -> Result<i64, Corruption> {
        match (self.before, self.more) {
            (Some(before), 1..) => {
                self.more -= 1;
                Ok(before)
            }
            _ => self.read(),
        }
    }

    fn read(&mut self) -> Result<i64, Corruption> {
        let value = self.cursor.varint(self.what)?;
        let before = self.before.replace(value);
        self.more = match before {
            Some(before) if before == value => self.cursor.uvarint("how long a run is")?,
            _ => 0,
        };
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_column_is_read_as_it_was_written(
            runs in prop::collection::vec((prop_oneof![-2..3i64, any::<i64>()], 1..6usize), 0..20),
        ) {
            let column: Vec<i64> =
                runs.iter().flat_map(|(value, n)| std::iter::repeat_n(*value, *n)).collect();
            let mut bytes = Vec::new();
            put(&mut bytes, column.iter().copied());
            bytes.push(7);
            let mut cursor = Cursor::new(&bytes);
            let mut runs = Runs::of(&mut cursor, column.len(), "a value").unwrap();
            prop_assert_eq!(cursor.pos(), bytes.len() - 1);
            for value in column {
                prop_assert_eq!(runs.next().unwrap(), value);
            }
        }
    }

    #[test]
    fn runs_say_how_many_more_there_are() {
        let mut bytes = Vec::new();
        put(&mut bytes, [1, 1, 1, 1, -1, -1, 3].into_iter());
        assert_eq!(bytes, [2, 2, 2, 1, 1, 0, 6]);
        let too_short = Runs::of(&mut Cursor::new(&bytes), 3, "a value");
        assert!(too_short.is_err(), "the run has four");
    }
}
