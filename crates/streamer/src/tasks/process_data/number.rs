//! A cell's text comes in; an exact decimal to compare, to add, or to write goes out.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde_json::value::RawValue;

/// Most decimal places of a number that is summed.
pub const SUM_PLACES_MAX: u64 = 18;
/// Most digits of an exact sum, decimal places included.
pub const SUM_DIGITS_MAX: u64 = 38;
/// Decimal places of a mean whose sum has fewer.
pub const MEAN_PLACES: u32 = 12;

/// A number's parts: sign, digits before and after the point, exponent of ten.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i32,
}

/// `[+-]digits[.digits][e[+-]digits]`, digits on one side of the point at least, no space, and an
/// exponent of three digits at most: `inf`, `nan` and `0x1` are text.
fn parts(text: &str) -> Option<Parts<'_>> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        b'0'..=b'9' | b'.' => (false, text),
        _ => return None,
    };
    let (digits, exponent) = match rest.find(['e', 'E']) {
        None => (rest, 0),
        Some(at) => (rest.get(..at)?, exponent(rest.get(at + 1..)?)?),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    let shaped = all(whole) && all(fraction) && !(whole.is_empty() && fraction.is_empty());
    shaped.then_some(Parts {
        negative,
        whole,
        fraction,
        exponent,
    })
}

fn exponent(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let shaped = (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    shaped.then(|| text.parse().ok())?
}

/// A number as it stands in text, normalized to 0.`head` `tail` × 10^`point`; zero has no digits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number<'a> {
    negative: bool,
    head: &'a str,
    tail: &'a str,
    point: i64,
}

impl<'a> Number<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let Parts {
            negative,
            whole,
            fraction,
            exponent,
        } = parts(text)?;
        let whole = whole.trim_start_matches('0');
        let tail = fraction.trim_end_matches('0');
        let mut point = i64::try_from(whole.len()).ok()? + i64::from(exponent);
        let (head, tail) = match (whole.is_empty(), tail.is_empty()) {
            (true, true) => {
                return Some(Self {
                    negative: false,
                    head: "",
                    tail: "",
                    point: 0,
                });
            }
            (true, false) => {
                let digits = tail.trim_start_matches('0');
                point -= i64::try_from(tail.len() - digits.len()).ok()?;
                ("", digits)
            }
            (false, true) => (whole.trim_end_matches('0'), ""),
            (false, false) => (whole, tail),
        };
        Some(Self {
            negative,
            head,
            tail,
            point,
        })
    }

    fn digits(self) -> impl Iterator<Item = u8> {
        self.head.bytes().chain(self.tail.bytes())
    }

    fn is_zero(self) -> bool {
        self.head.is_empty() && self.tail.is_empty()
    }

    /// Exact, however many digits either has.
    pub(super) fn compare(self, other: Self) -> Ordering {
        let sign = |number: Self| match (number.is_zero(), number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let magnitude = || {
            let digits = || self.digits().cmp(other.digits());
            self.point.cmp(&other.point).then_with(digits)
        };
        match (sign(self), sign(other)) {
            (-1, -1) => magnitude().reverse(),
            (1, 1) => magnitude(),
            (left, right) => left.cmp(&right),
        }
    }
}

/// A number's text where JSON allows it (RFC 8259 §6), else the same number in JSON's shape.
pub(super) fn as_json(text: &str) -> Cow<'_, str> {
    if serde_json::from_str::<&RawValue>(text).is_ok() {
        return text.into();
    }
    let Some(Parts {
        negative,
        whole,
        fraction,
        exponent,
    }) = parts(text)
    else {
        return text.into();
    };
    let mut json = String::from(if negative { "-" } else { "" });
    let whole = whole.trim_start_matches('0');
    json.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        json.push('.');
        json.push_str(fraction);
    }
    if exponent != 0 {
        json.push_str(&format!("e{exponent}"));
    }
    json.into()
}

/// An exact sum: `mantissa` / 10^`scale`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Decimal {
    pub(super) mantissa: i128,
    pub(super) scale: u32,
}

/// Why a number or a sum does not fit a [`Decimal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    Places,
    Digits,
}

impl Decimal {
    pub(super) fn from_number(number: Number<'_>) -> Result<Self, Unfit> {
        let length = number.head.len() + number.tail.len();
        let places = i64::try_from(length).ok().ok_or(Unfit::Digits)? - number.point;
        let scale = u32::try_from(places.max(0)).ok().ok_or(Unfit::Places)?;
        if u64::from(scale) > SUM_PLACES_MAX && !number.is_zero() {
            return Err(Unfit::Places);
        }
        let mut mantissa: i128 = 0;
        let zeros = usize::try_from((-places).max(0))
            .ok()
            .ok_or(Unfit::Digits)?;
        for digit in number.digits().chain(std::iter::repeat_n(b'0', zeros)) {
            let digit = i128::from(digit - b'0');
            mantissa = mantissa
                .checked_mul(10)
                .and_then(|mantissa| mantissa.checked_add(digit))
                .ok_or(Unfit::Digits)?;
        }
        Ok(Self {
            mantissa: if number.negative { -mantissa } else { mantissa },
            scale,
        })
    }

    fn rescaled(self, scale: u32) -> Option<i128> {
        self.mantissa
            .checked_mul(10_i128.checked_pow(scale.checked_sub(self.scale)?)?)
    }

    pub(super) fn plus(self, other: Self) -> Result<Self, Unfit> {
        let scale = self.scale.max(other.scale);
        let sum = || self.rescaled(scale)?.checked_add(other.rescaled(scale)?);
        Ok(Self {
            mantissa: sum().ok_or(Unfit::Digits)?,
            scale,
        })
    }

    /// This over `count`, with [`MEAN_PLACES`] places or as many as this has; halves go to even.
    pub(super) fn over(self, count: u64) -> Result<Self, Unfit> {
        let scale = self.scale.max(MEAN_PLACES);
        let divisor = i128::from(count.max(1));
        let (mut quotient, mut rest) = (self.mantissa / divisor, self.mantissa % divisor);
        for _ in self.scale..scale {
            let digit = rest * 10 / divisor;
            rest = rest * 10 % divisor;
            let next = quotient.checked_mul(10).and_then(|q| q.checked_add(digit));
            quotient = next.ok_or(Unfit::Digits)?;
        }
        match (rest.abs() * 2).cmp(&divisor) {
            Ordering::Greater => quotient += self.mantissa.signum(),
            Ordering::Equal if quotient % 2 != 0 => quotient += self.mantissa.signum(),
            Ordering::Less | Ordering::Equal => {}
        }
        Ok(Self {
            mantissa: quotient,
            scale,
        })
    }
}

/// No exponent, no trailing zeros after the point, no point without digits after it, no `-0`.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let unit = 10_u128.pow(self.scale.min(38));
        let (whole, part) = (
            self.mantissa.unsigned_abs() / unit,
            self.mantissa.unsigned_abs() % unit,
        );
        if part == 0 {
            return write!(f, "{sign}{whole}");
        }
        let width = usize::try_from(self.scale).unwrap_or(usize::MAX);
        let part = format!("{part:0width$}");
        write!(f, "{sign}{whole}.{}", part.trim_end_matches('0'))
    }
}
