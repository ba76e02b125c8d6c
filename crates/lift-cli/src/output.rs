//! Text, sizes and times come in; what stdout shows of them goes out.

use std::io::{self, Write};

use jiff::Timestamp;

use crate::failure::{Exit, Failure};

/// Writes data to stdout, all of it.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| {
            Failure::file(
                Exit::Failed,
                "stdout cannot be written",
                &error,
                "check where it goes to",
            )
        })
}

/// Says something to people.
pub(crate) fn say(text: &str) {
    // A closed stderr is no failure.
    let _ = writeln!(io::stderr(), "{text}");
}

pub(crate) fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default()
}

/// A time in milliseconds since 1970, as people read it.
pub(crate) fn moment(ms: u64) -> String {
    let time = i64::try_from(ms).ok();
    let time = time.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| format!("{ms} ms since 1970"), |time| time.to_string())
}

/// A span as people say it.
pub(crate) fn spoken(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Bytes as people read them, rounded down.
pub(crate) fn sized(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = UNITS.into_iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or_else(
        || format!("{bytes} bytes"),
        |(unit, name)| format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
    )
}
