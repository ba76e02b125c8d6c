//! In: milliseconds since the epoch. Out: the two ways in which API Gateway writes a time.

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// The common log format of `requestTime`: `21/Nov/2025:20:39:29 +0000`.
///
/// ```
/// assert_eq!(lift_apigw::time::clf(1_763_757_569_117), "21/Nov/2025:20:39:29 +0000");
/// ```
#[must_use]
pub fn clf(epoch_ms: u64) -> String {
    let Civil {
        year,
        month,
        day,
        hour,
        minute,
        second,
        ..
    } = civil(epoch_ms);
    let name = usize::try_from(month - 1)
        .ok()
        .and_then(|at| MONTHS.get(at))
        .unwrap_or(&"");
    // By hand: every event has one, and a formatter would be a fifth of what a message costs.
    let mut text = String::with_capacity("21/Nov/2025:20:39:29 +0000".len());
    two_digits(day, &mut text);
    text.push('/');
    text.push_str(name);
    text.push('/');
    two_digits(year / 100, &mut text);
    two_digits(year % 100, &mut text);
    for part in [hour, minute, second] {
        text.push(':');
        two_digits(part, &mut text);
    }
    text.push_str(" +0000");
    text
}

/// The last two digits of a number.
fn two_digits(number: u64, text: &mut String) {
    let digit = |at: u64| char::from_digit(u32::try_from(at % 10).unwrap_or_default(), 10);
    text.extend([digit(number / 10), digit(number)].into_iter().flatten());
}

/// ISO-8601 in UTC with milliseconds, as `GET @connections/{id}` has it.
///
/// ```
/// assert_eq!(lift_apigw::time::iso8601(1_763_757_569_117), "2025-11-21T20:39:29.117Z");
/// ```
#[must_use]
pub fn iso8601(epoch_ms: u64) -> String {
    let Civil {
        year,
        month,
        day,
        hour,
        minute,
        second,
        ms,
    } = civil(epoch_ms);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

struct Civil {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    ms: u64,
}

/// Days to a date by Howard Hinnant's `civil_from_days`, for dates from 1970 on.
fn civil(epoch_ms: u64) -> Civil {
    let (seconds, ms) = (epoch_ms / 1000, epoch_ms % 1000);
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Years are counted from 1 March of year 0, so that the leap day is a year's last.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    Civil {
        year: year_of_era + era * 400 + u64::from(month <= 2),
        month,
        day: day_of_year - (153 * march_month + 2) / 5 + 1,
        hour: of_day / 3600,
        minute: of_day % 3600 / 60,
        second: of_day % 60,
        ms,
    }
}
