//! Numbers and texts come in; what people read goes out, safe to stand in HTML.

/// Text as HTML character data and as a quoted attribute's value (HTML §13.1.2).
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A count with a thin space between thousands.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

/// Milliseconds in the unit that fits; a dash for none.
pub(super) fn duration(millis: Option<u64>) -> String {
    let Some(millis) = millis else {
        return "–".to_owned();
    };
    let (seconds, minutes) = (millis / 1000, millis / 60_000);
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{seconds}.{} s", millis % 1000 / 100),
        60_000..3_600_000 => format!("{minutes} min {} s", seconds % 60),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        let text = r#"<script>alert("x & 'y'")</script>"#;
        let safe = "&lt;script&gt;alert(&quot;x &amp; &#39;y&#39;&quot;)&lt;/script&gt;";
        assert_eq!(escaped(text), safe);
    }

    #[test]
    fn figures_read_well() {
        let counts = [0, 999, 1_000, 1_234_567].map(count);
        assert_eq!(
            counts,
            ["0", "999", "1\u{2009}000", "1\u{2009}234\u{2009}567"]
        );
        let millis = [
            None,
            Some(0),
            Some(999),
            Some(1_250),
            Some(61_000),
            Some(7_260_000),
        ];
        let durations = millis.map(duration);
        assert_eq!(
            durations,
            ["–", "0 ms", "999 ms", "1.2 s", "1 min 1 s", "2 h 1 min"]
        );
    }
}
