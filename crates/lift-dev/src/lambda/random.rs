//! In: nothing. Out: ids nobody guesses, as Lambda writes them.

use std::fmt::Write as _;

/// N random bytes as lower-case hex.
pub(super) fn hex<const N: usize>() -> String {
    let mut bytes = [0; N];
    // Without randomness ids are all the same; nothing here depends on their being secret.
    _ = getrandom::fill(&mut bytes);
    let mut text = String::with_capacity(N * 2);
    for byte in bytes {
        _ = write!(text, "{byte:02x}");
    }
    text
}

/// A random UUID (RFC 9562, version 4).
pub(super) fn uuid() -> String {
    let mut bytes = [0; 16];
    _ = getrandom::fill(&mut bytes);
    let bits = u128::from_be_bytes(bytes);
    let bits = bits & !(0xf << 76) | (0x4 << 76);
    let bits = bits & !(0x3 << 62) | (0x2 << 62);
    let text = format!("{bits:032x}");
    let part = |from, to| text.get(from..to).unwrap_or_default();
    let (a, b, c) = (part(0, 8), part(8, 12), part(12, 16));
    format!("{a}-{b}-{c}-{}-{}", part(16, 20), part(20, 32))
}
