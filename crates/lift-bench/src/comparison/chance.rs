//! How often something was measured comes in; how noise is told from change goes out, in words.

use crate::report::{float, short};

/// The rule, and how often it is wrong.
pub(super) fn rule(baseline: usize, now: usize) -> String {
    if baseline < 2 || now < 2 {
        return "Noise is unknown: it takes at least two runs of each side to see how much figures differ by themselves."
            .to_owned();
    }
    format!(
        "A difference is noise where the ranges of the repeats overlap. With {baseline} and {now} runs of the same thing, \
         ranges lie apart by chance in {} of 100 rows.",
        short(100.0 * apart(baseline, now))
    )
}

/// How likely the ranges of two samples of one continuous distribution lie apart: all orders are equally likely,
/// and in two of them one sample comes before the other.
fn apart(one: usize, other: usize) -> f64 {
    let (one, other) = (number(one), number(other));
    let mut orders = 1.0;
    let mut taken = 1.0;
    while taken <= one {
        orders *= (other + taken) / taken;
        taken += 1.0;
    }
    2.0 / orders
}

fn number(count: usize) -> f64 {
    u64::try_from(count).map_or(f64::MAX, float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_says_how_often_it_is_wrong() {
        for (one, other, expected) in [(2, 2, 1.0 / 3.0), (3, 3, 0.1), (5, 5, 2.0 / 252.0)] {
            assert!(
                (apart(one, other) - expected).abs() < 1e-12,
                "{one} {other}"
            );
        }
        assert!(rule(3, 3).ends_with(
            "With 3 and 3 runs of the same thing, ranges lie apart by chance in 10.0 of 100 rows."
        ));
        assert!(rule(1, 5).starts_with("Noise is unknown"));
    }
}
