//! What is measured comes in; where it is on a plot, and the ticks beside it, go out.

use crate::report::figure::short;

/// How values become places between 0 and 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scale {
    /// From 0.
    Linear { to: f64 },
    /// Both above 0.
    Log { from: f64, to: f64 },
    /// Percentiles: as much room from 90 to 99 as from 99 to 99.9.
    Tail { nines: f64 },
}

/// Ticks on a linear axis, about.
const TICKS: f64 = 5.0;
/// Where the largest value is so many times the smallest, a linear axis shows the largest alone.
const LOG_FROM: f64 = 30.0;
/// What a tick is a power of ten times.
const PARTS: [f64; 3] = [1.0, 2.0, 5.0];
/// Percentiles that have a tick.
const PERCENTILES: [(f64, &str); 7] = [
    (0.0, "0"),
    (90.0, "90"),
    (99.0, "99"),
    (99.9, "99.9"),
    (99.99, "99.99"),
    (99.999, "99.999"),
    (99.9999, "99.9999"),
];

impl Scale {
    /// An axis for values that are never below 0: logarithmic where a linear one would hide the small ones.
    pub(super) fn fitting(values: impl Iterator<Item = f64>) -> Self {
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for value in values.filter(|value| value.is_finite() && *value > 0.0) {
            least = least.min(value);
            most = most.max(value);
        }
        if most > least * LOG_FROM {
            Self::Log {
                from: round(least, Rounded::Down),
                to: round(most, Rounded::Up),
            }
        } else {
            Self::up_to(most)
        }
    }

    /// A linear axis that ends at a tick.
    pub(super) fn up_to(most: f64) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let step = step(most);
        Self::Linear {
            to: (most / step).ceil() * step,
        }
    }

    /// An axis of percentiles that ends where one of `count` values is.
    pub(super) fn tail(count: f64) -> Self {
        Self::Tail {
            nines: count.max(100.0).log10().min(7.0),
        }
    }

    /// Where a value is, in 0–1.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = match self {
            Self::Linear { to } => value / to,
            Self::Log { from, to } => {
                (value.max(*from).log10() - from.log10()) / (to.log10() - from.log10())
            }
            Self::Tail { nines } => -(1.0 - value / 100.0).max(1e-9).log10() / nines,
        };
        place.clamp(0.0, 1.0)
    }

    /// Values that have a tick, and what it says.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        match self {
            Self::Linear { to } => {
                let step = step(*to);
                let ticks = std::iter::successors(Some(0.0), |tick| Some(tick + step));
                let ticks = ticks.take_while(|tick| *tick <= to + step / 2.0);
                ticks.map(|tick| (tick, number(tick, step))).collect()
            }
            Self::Log { from, to } => {
                let within: &[f64] = if (to / from).log10() > 2.5 {
                    &[1.0]
                } else {
                    &PARTS
                };
                let first = 10_f64.powf(from.log10().floor());
                let powers = std::iter::successors(Some(first), |power| Some(power * 10.0));
                let powers = powers.take_while(|power| *power < to * 1.01);
                let ticks = powers.flat_map(|power| within.iter().map(move |part| power * part));
                let ticks = ticks.filter(|tick| *tick > from * 0.99 && *tick < to * 1.01);
                ticks.map(|tick| (tick, number(tick, tick))).collect()
            }
            Self::Tail { nines } => {
                let ticks = PERCENTILES.into_iter();
                let ticks =
                    ticks.filter(|(percent, _)| -(1.0 - percent / 100.0).log10() <= nines + 0.01);
                ticks.map(|(tick, name)| (tick, name.to_owned())).collect()
            }
        }
    }

    pub(super) fn is_log(&self) -> bool {
        matches!(self, Self::Log { .. })
    }
}

fn step(most: f64) -> f64 {
    round(most / TICKS, Rounded::Up)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rounded {
    Up,
    Down,
}

/// The next 1, 2 or 5 of some power of ten.
fn round(value: f64, to: Rounded) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let mut parts = PARTS.into_iter().chain([10.0]).map(|part| part * power);
    let found = match to {
        Rounded::Up => parts.find(|part| value <= part * 1.001),
        Rounded::Down => parts.rev().find(|part| value >= part * 0.999),
    };
    found.unwrap_or(power)
}

/// A tick's number, with no more decimals than its step has.
fn number(tick: f64, step: f64) -> String {
    if tick.abs() < step / 1000.0 {
        return "0".to_owned();
    }
    if tick >= 1_000_000.0 {
        return format!("{}M", trimmed(tick / 1_000_000.0));
    }
    if tick >= 10_000.0 {
        return format!("{}k", trimmed(tick / 1000.0));
    }
    match step {
        step if step >= 1.0 && tick >= 100.0 => short(tick),
        step if step >= 1.0 => format!("{tick:.0}"),
        _ => trimmed(tick),
    }
}

fn trimmed(number: f64) -> String {
    let text = format!("{number:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Seconds that have a tick on an axis of time, what it says, and the axis's unit.
pub(super) fn times(most_s: f64) -> (Vec<(f64, String)>, &'static str) {
    const STEPS: [f64; 16] = [
        1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0,
        21_600.0, 86_400.0,
    ];
    let fits = |step: &f64| most_s / step <= 7.0;
    let step = STEPS.into_iter().find(fits).unwrap_or(most_s / 7.0);
    let unit = if most_s <= 120.0 {
        "s"
    } else if most_s <= 7200.0 {
        "min:s"
    } else {
        "h:min"
    };
    let ticks = std::iter::successors(Some(0.0), |tick| Some(tick + step));
    let ticks = ticks.take_while(|tick| *tick <= most_s);
    let named = ticks.map(|tick| {
        let name = match unit {
            "s" => format!("{tick:.0}"),
            "min:s" => format!("{:.0}:{:02.0}", (tick / 60.0).floor(), tick % 60.0),
            _ => {
                let minutes = (tick % 3600.0 / 60.0).floor();
                format!("{:.0}:{minutes:02.0}", (tick / 3600.0).floor())
            }
        };
        (tick, name)
    });
    (named.collect(), unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(ticks: Vec<(f64, String)>) -> Vec<String> {
        ticks.into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn ticks_are_numbers_that_people_count_in() {
        for (scale, expected) in [
            (
                Scale::up_to(0.0),
                vec!["0", "0.2", "0.4", "0.6", "0.8", "1"],
            ),
            (Scale::up_to(3.7), vec!["0", "1", "2", "3", "4"]),
            (
                Scale::up_to(9_991.5),
                vec!["0", "2,000", "4,000", "6,000", "8,000", "10k"],
            ),
            (
                Scale::up_to(1_000_000.0),
                vec!["0", "200k", "400k", "600k", "800k", "1M"],
            ),
            (
                Scale::fitting([0.7, 80.0].into_iter()),
                vec!["0.5", "1", "2", "5", "10", "20", "50", "100"],
            ),
            (
                Scale::fitting([0.07, 800.0].into_iter()),
                vec!["0.1", "1", "10", "100", "1,000"],
            ),
            (
                Scale::fitting([1.0, 90.0].into_iter()),
                vec!["1", "2", "5", "10", "20", "50", "100"],
            ),
            (
                Scale::fitting(std::iter::empty()),
                vec!["0", "0.2", "0.4", "0.6", "0.8", "1"],
            ),
            (
                Scale::tail(50_000.0),
                vec!["0", "90", "99", "99.9", "99.99"],
            ),
            (Scale::tail(3.0), vec!["0", "90", "99"]),
        ] {
            assert_eq!(names(scale.ticks()), expected, "{scale:?}");
        }
    }

    #[test]
    fn every_value_has_a_place_within_the_plot() {
        for scale in [
            Scale::up_to(10.0),
            Scale::fitting([0.001, 5000.0].into_iter()),
            Scale::tail(1000.0),
        ] {
            for value in [0.0, 1e-9, 1.0, 99.999, 100.0, 1e12] {
                assert!(
                    (0.0..=1.0).contains(&scale.place(value)),
                    "{scale:?} {value}"
                );
            }
        }
        let tail = Scale::tail(10_000.0);
        let (ninety, more) = (tail.place(90.0), tail.place(99.0));
        assert!((more - 2.0 * ninety).abs() < 1e-9, "{ninety} {more}");
    }

    #[test]
    fn times_are_in_the_unit_that_fits() {
        let (ticks, unit) = times(70.0);
        assert_eq!(
            (names(ticks), unit),
            (
                ["0", "10", "20", "30", "40", "50", "60", "70"]
                    .map(str::to_owned)
                    .to_vec(),
                "s"
            )
        );
        let (ticks, unit) = times(900.0);
        assert_eq!(ticks[1], (300.0, "5:00".to_owned()));
        assert_eq!(unit, "min:s");
        let (ticks, unit) = times(14_400.0);
        assert_eq!((ticks[1].1.as_str(), unit), ("1:00", "h:min"));
        assert!(times(0.0).0.len() == 1);
    }
}
