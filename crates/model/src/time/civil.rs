//! Dates of the proleptic Gregorian calendar, in UTC.

/// Seconds in a day.
const DAY: i64 = 86_400;
/// Days in 400 years, after which the calendar repeats.
const ERA_DAYS: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

/// An instant as people read it, in UTC, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Civil {
    /// Year; 0 is the year before 1.
    pub year: i64,
    /// Month, 1 to 12.
    pub month: u32,
    /// Day of the month, 1 to 31.
    pub day: u32,
    /// Hour, 0 to 23.
    pub hour: u32,
    /// Minute, 0 to 59.
    pub minute: u32,
    /// Second, 0 to 59.
    pub second: u32,
    /// Day of the week; Sunday is 0.
    pub day_of_week: u32,
}

impl Civil {
    /// The instant `seconds` after the Unix epoch.
    ///
    /// The calendar is computed with years that start in March, so that a leap day is a year's
    /// last day: <https://howardhinnant.github.io/date_algorithms.html>.
    pub fn from_unix_seconds(seconds: i64) -> Self {
        let days = seconds.div_euclid(DAY);
        let second_of_day = seconds.rem_euclid(DAY) as u32;
        let shifted = days + EPOCH_DAYS;
        let era = shifted.div_euclid(ERA_DAYS);
        let day_of_era = shifted.rem_euclid(ERA_DAYS);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        Self {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month: month as u32,
            day: (day_of_year - (153 * march_month + 2) / 5 + 1) as u32,
            hour: second_of_day / 3600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
            day_of_week: (days + 4).rem_euclid(7) as u32,
        }
    }

    /// Day of the year, 1 to 366.
    pub fn day_of_year(&self) -> u32 {
        (1..self.month)
            .map(|m| days_in_month(self.year, m))
            .sum::<u32>()
            + self.day
    }

    /// Number of days of this month.
    pub fn days_in_month(&self) -> u32 {
        days_in_month(self.year, self.month)
    }
}

/// True for years with a 29 February.
pub const fn is_leap_year(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Number of days of a month, 1 to 12.
pub const fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if is_leap_year(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the Unix epoch to a date; the inverse of [`Civil::from_unix_seconds`].
pub(super) fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let march_year = year - i64::from(month <= 2);
    let era = march_year.div_euclid(400);
    let year_of_era = march_year.rem_euclid(400);
    let march_month = i64::from((month + 9) % 12);
    let day_of_year = (153 * march_month + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * ERA_DAYS + day_of_era - EPOCH_DAYS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn splits_instants() {
        // (seconds, date and time, day of week, day of year, days in month)
        for (seconds, date, time, rest) in [
            (0, (1970, 1, 1), (0, 0, 0), (4, 1, 31)),
            (-1, (1969, 12, 31), (23, 59, 59), (3, 365, 31)),
            (951_827_696, (2000, 2, 29), (12, 34, 56), (2, 60, 29)),
            (1_078_012_800, (2004, 2, 29), (0, 0, 0), (0, 60, 29)),
            (4_107_542_399, (2100, 2, 28), (23, 59, 59), (0, 59, 28)),
            (1_735_603_200, (2024, 12, 31), (0, 0, 0), (2, 366, 31)),
            (-62_167_219_200, (0, 1, 1), (0, 0, 0), (6, 1, 31)),
        ] {
            let c = Civil::from_unix_seconds(seconds);
            assert_eq!((c.year, c.month, c.day), date, "{seconds}");
            assert_eq!((c.hour, c.minute, c.second), time, "{seconds}");
            let got = (c.day_of_week, c.day_of_year(), c.days_in_month());
            assert_eq!(got, rest, "{seconds}");
        }
    }

    #[test]
    fn walks_the_calendar_day_by_day() {
        let (mut year, mut month, mut day) = (-401, 1, 1);
        let first = days_from_civil(year, month, day);
        for n in first..first + 2 * ERA_DAYS {
            let c = Civil::from_unix_seconds(n * DAY);
            assert_eq!((c.year, c.month, c.day), (year, month, day));
            assert_eq!(days_from_civil(year, month, day), n);
            day += 1;
            if day > days_in_month(year, month) {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    proptest! {
        #[test]
        fn holds_for_every_instant(seconds: i64) {
            let c = Civil::from_unix_seconds(seconds);
            let of_day = i64::from(c.hour * 3600 + c.minute * 60 + c.second);
            let days = days_from_civil(c.year, c.month, c.day);
            prop_assert_eq!(i128::from(days) * i128::from(DAY) + i128::from(of_day), i128::from(seconds));
        }
    }
}
