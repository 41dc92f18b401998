//! Parts of a date in UTC, found by counting years and months.

use promql::ast::FunctionId as F;

const DAY: i64 = 86_400;

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in(year: i64, month: usize) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

const fn days_of(year: i64) -> i64 {
    if is_leap(year) { 366 } else { 365 }
}

/// The part of the date that the function asks for; `None` when it asks for none, or the time is
/// some hundred years away.
pub(super) fn part(f: F, seconds: f64) -> Option<f64> {
    if seconds.is_nan() || seconds.abs() > 2e10 {
        return None;
    }
    let seconds = seconds as i64;
    let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (mut year, mut day) = (1970, days);
    while day < 0 {
        year -= 1;
        day += days_of(year);
    }
    while day >= days_of(year) {
        day -= days_of(year);
        year += 1;
    }
    let day_of_year = day + 1;
    let mut month = 1;
    while day >= days_in(year, month) {
        day -= days_in(year, month);
        month += 1;
    }
    let part = match f {
        F::Minute => second / 60 % 60,
        F::Hour => second / 3600,
        F::DayOfMonth => day + 1,
        // The first day of 1970 was a Thursday.
        F::DayOfWeek => (days + 4).rem_euclid(7),
        F::DayOfYear => day_of_year,
        F::DaysInMonth => days_in(year, month),
        F::Month => month as i64,
        F::Year => year,
        _ => return None,
    };
    Some(part as f64)
}
