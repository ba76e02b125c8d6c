//! A number comes in, the text that people read it as goes out.

/// The nearest number that a calculation can use; exact up to 2⁵³.
pub(crate) fn float(number: u64) -> f64 {
    const HALF: u64 = 1 << 32;
    let half = |part: u64| u32::try_from(part).map(f64::from).unwrap_or_default();
    half(number / HALF) * 4_294_967_296.0 + half(number % HALF)
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    commas(&number.to_string())
}

/// A number with as many decimals as say something: `0.84`, `3.1`, `1,234`.
pub(crate) fn short(number: f64) -> String {
    let size = number.abs();
    if size >= 100.0 {
        commas(&format!("{number:.0}"))
    } else if size >= 1.0 {
        format!("{number:.1}")
    } else if size > 0.0 {
        format!("{number:.2}")
    } else {
        "0".to_owned()
    }
}

/// Microseconds as milliseconds, without the unit.
pub(crate) fn milliseconds(us: u64) -> String {
    short(float(us) / 1000.0)
}

/// A share of a whole in percent, which is 100 or 0 only where it is all or none.
pub(crate) fn percent(percent: f64) -> String {
    if percent >= 100.0 || percent <= 0.0 {
        return format!("{percent:.0}");
    }
    let shown = (1..=6).map(|decimals| format!("{percent:.decimals$}"));
    let mut telling = shown.filter(|shown| {
        let read = shown.parse::<f64>().unwrap_or_default();
        read < 100.0 && read > 0.0
    });
    telling.next().unwrap_or_else(|| percent.to_string())
}

/// A length of time as people say it.
pub(crate) fn spoken(us: u64) -> String {
    let seconds = float(us) / 1_000_000.0;
    if seconds < 120.0 {
        return format!("{seconds:.1} s");
    }
    let whole = us / 1_000_000;
    if whole < 7200 {
        return format!("{} min {} s", whole / 60, whole % 60);
    }
    format!("{} h {} min", whole / 3600, whole % 3600 / 60)
}

/// Bytes as people read them.
pub(crate) fn sized(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = UNITS.into_iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or_else(
        || format!("{bytes} bytes"),
        |(unit, name)| format!("{:.1} {name}", float(bytes) / float(unit)),
    )
}

/// Text of a file that neither a terminal nor a table takes for more than text.
pub(crate) fn harmless(text: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(plain).collect()
}

fn commas(digits: &str) -> String {
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits),
    };
    let mut text = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_with_the_digits_that_say_something() {
        for (number, text) in [
            (0.0, "0"),
            (0.844, "0.84"),
            (3.12, "3.1"),
            (12.0, "12.0"),
            (-1234.5, "-1,234"),
            (1_000_000.0, "1,000,000"),
        ] {
            assert_eq!(short(number), text);
        }
        assert_eq!(
            [0, 999, 1000, 600_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "600,000", "1,234,567"]
        );
        assert_eq!(float(u64::from(u32::MAX) + 2), 4_294_967_297.0);
    }

    #[test]
    fn a_share_that_is_not_all_is_not_shown_as_all() {
        assert_eq!(
            [100.0, 99.999_6, 99.95, 50.0, 0.0].map(percent),
            ["100", "99.9996", "99.95", "50.0", "0"]
        );
    }
}
