//! What every process measured comes in, the report and its verdict go out.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use jiff::Timestamp;

use super::{Means, Partial, site::Ran};
use crate::{
    books::{Cell, Place, Second, Sketch},
    diary::micros,
    machine,
    report::{
        FORMAT, FaultReport, Generator, Judged, Measures, Moment, Outcome, PhaseReport, Report,
        ServerUse, Verdict, count, float,
    },
    scenario::Scenario,
    threshold::Threshold,
};

#[cfg(test)]
mod tests;

/// Most entries of a timeline.
const MOMENTS_MAX: usize = 600;

/// What is known of a run before it begins.
#[derive(Debug)]
pub(super) struct Facts {
    target: String,
    began: String,
}

impl Facts {
    pub(super) fn now(scenario: &Scenario, means: &Means) -> Self {
        let target = means.target.as_ref().or(scenario.target.as_ref());
        let target = target.map(String::as_str).unwrap_or_default();
        Self {
            target: target.split('?').next().unwrap_or_default().to_owned(),
            began: Timestamp::now().strftime("%FT%TZ").to_string(),
        }
    }
}

/// The report of a whole run.
pub(super) fn report(
    scenario: &Scenario,
    facts: Facts,
    partials: Vec<Partial>,
    (server, ran): (Option<ServerUse>, Ran),
    thresholds: &[Threshold],
    interrupted: bool,
) -> Report {
    let whole = merged(partials);
    let sums = Sums::new(scenario, &whole.cells, whole.took_us);
    let mut report = Report {
        format: FORMAT.to_owned(),
        name: scenario.name.clone(),
        about: scenario.about.clone(),
        target: facts.target,
        began: facts.began,
        took_us: whole.took_us,
        seed: scenario.seed,
        machine: machine::machine(),
        verdict: Verdict {
            outcome: Outcome::Passed,
            reasons: Vec::new(),
        },
        thresholds: Vec::new(),
        total: sums.total,
        behaviours: sums.behaviours,
        phases: sums.phases,
        timeline: timeline(&whole.seconds),
        faults: faults(scenario, whole.took_us, &ran),
        generator: Generator {
            processes: scenario.processes,
            lag: all(&whole.lag).latency(),
            cpu_median: median(&whole.shares),
            cpu_max: whole.shares.iter().copied().fold(0.0, f64::max),
            cpu_us: whole.cpu_us,
        },
        server,
    };
    report.thresholds = thresholds
        .iter()
        .map(|threshold| threshold.judge(&report))
        .collect();
    report.verdict = verdict(&report, scenario, &whole, interrupted);
    report
}

#[derive(Default)]
struct Whole {
    cells: HashMap<Place, Cell>,
    seconds: Vec<Second>,
    /// By phase.
    lag: BTreeMap<u16, Sketch>,
    unwritten: u64,
    /// The part of the machine's processors that all used, in each second.
    shares: Vec<f64>,
    cpu_us: u64,
    took_us: u64,
}

fn all(lag: &BTreeMap<u16, Sketch>) -> Sketch {
    let mut sum = Sketch::default();
    for of_phase in lag.values() {
        sum.merge(of_phase);
    }
    sum
}

fn merged(partials: Vec<Partial>) -> Whole {
    let mut whole = Whole::default();
    for partial in partials {
        for (place, cell) in &partial.cells {
            whole.cells.entry(*place).or_default().merge(cell);
        }
        if whole.seconds.len() < partial.seconds.len() {
            whole
                .seconds
                .resize_with(partial.seconds.len(), Second::default);
        }
        for (second, other) in whole.seconds.iter_mut().zip(&partial.seconds) {
            second.merge(other);
        }
        for (phase, lag) in &partial.lag {
            whole.lag.entry(*phase).or_default().merge(lag);
        }
        whole.unwritten += partial.unwritten;
        // All of them use the same processors.
        if whole.shares.len() < partial.cpu.len() {
            whole.shares.resize(partial.cpu.len(), 0.0);
        }
        for (all, one) in whole.shares.iter_mut().zip(&partial.cpu) {
            *all += one;
        }
        whole.cpu_us += partial.cpu_us;
        whole.took_us = whole.took_us.max(partial.took_us);
    }
    for share in &mut whole.shares {
        // Clocks of several processes are read a moment apart.
        *share = share.min(1.0);
    }
    whole
}

fn median(shares: &[f64]) -> f64 {
    let mut sorted = shares.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Where the generator used most of the machine, and what part of it: in a phase, or over all, the drain and phases of
/// less than a second included.
fn busiest(scenario: &Scenario, shares: &[f64]) -> (String, f64) {
    let mut ends = Duration::ZERO;
    let phases = scenario.phases.iter().map(|phase| {
        let began = ends;
        ends += phase.duration;
        let middle = |second: usize| {
            Duration::from_secs(u64::try_from(second).unwrap_or(u64::MAX))
                .saturating_add(Duration::from_millis(500))
        };
        let its = shares.iter().enumerate();
        let its = its.filter(|(second, _)| (began..ends).contains(&middle(*second)));
        let its: Vec<f64> = its.map(|(_, share)| *share).collect();
        (format!("in `{}`", phase.name), median(&its))
    });
    let all = ("over all".to_owned(), median(shares));
    phases.fold(all, |most, one| if one.1 > most.1 { one } else { most })
}

/// Where the generator was latest, and how late 1 % of what was due there was begun, or later.
///
/// A phase that is short, or calm, says nothing of another. Of less than `TELLING`, 1 % is the one that a hiccup of the
/// machine met: such a phase is judged with all the others, and alone only where all of them have less.
fn latest(scenario: &Scenario, lag: &BTreeMap<u16, Sketch>) -> Option<(String, u64)> {
    const TELLING: u64 = 100;
    let is_telling = |lag: &Sketch| lag.latency().count >= TELLING;
    let whole = all(lag);
    let over_all = Some(&whole).filter(|whole| is_telling(whole));
    let alone = lag
        .iter()
        .filter(|(_, lag)| over_all.is_none() || is_telling(lag))
        .filter_map(|(phase, lag)| {
            let phase = scenario.phases.get(usize::from(*phase));
            let name = phase.map_or("", |phase| &phase.name);
            Some((format!("in `{name}`"), lag.at(99.0)?))
        });
    let over_all = over_all.and_then(|whole| Some(("over all".to_owned(), whole.at(99.0)?)));
    // Of two that are as late, the last one: a phase rather than the whole.
    let places = over_all.into_iter().chain(alone);
    places.max_by_key(|(_, late)| *late)
}

struct Sums {
    total: Measures,
    behaviours: BTreeMap<String, Measures>,
    phases: Vec<PhaseReport>,
}

impl Sums {
    fn new(scenario: &Scenario, cells: &HashMap<Place, Cell>, all_us: u64) -> Self {
        let sum = |wanted: &dyn Fn(&Place) -> bool| {
            let mut sum = Cell::default();
            for (_, cell) in cells.iter().filter(|(place, _)| wanted(place)) {
                sum.merge(cell);
            }
            sum.measures()
        };
        let measured = |place: &Place| {
            let phase = scenario.phases.get(usize::from(place.phase));
            phase.is_some_and(|phase| phase.measured)
        };
        let behaviours = scenario
            .behaviours
            .keys()
            .enumerate()
            .map(|(number, name)| {
                let is_its =
                    |place: &Place| usize::from(place.behaviour) == number && measured(place);
                (name.clone(), sum(&is_its))
            });
        let mut began_us = 0;
        let phases = scenario.phases.iter().enumerate().map(|(number, phase)| {
            let took_us = micros(phase.duration);
            let report = PhaseReport {
                name: phase.name.clone(),
                began_us,
                // A run that was stopped did not do all of it.
                took_us: took_us.min(all_us.saturating_sub(began_us)),
                measured: phase.measured,
                measures: sum(&|place| usize::from(place.phase) == number),
            };
            began_us += took_us;
            report
        });
        Self {
            total: sum(&measured),
            behaviours: behaviours.collect(),
            phases: phases.collect(),
        }
    }
}

/// What went wrong as the scenario says, as far as the run came.
fn faults(scenario: &Scenario, all_us: u64, ran: &Ran) -> Vec<FaultReport> {
    let mut begins = Duration::ZERO;
    let mut faults = Vec::new();
    for (number, phase) in scenario.phases.iter().enumerate() {
        faults.extend(phase.faults.iter().enumerate().map(|(place, fault)| {
            let runs = ran.get(&(number, place));
            FaultReport {
                phase: phase.name.clone(),
                began_us: micros(begins + fault.at()),
                what: fault.to_string(),
                ran: runs.map_or(0, |runs| runs.all),
                failed: runs.map_or(0, |runs| runs.failed),
                failure: runs.and_then(|runs| runs.said.clone()),
            }
        }));
        begins += phase.duration;
    }
    faults.retain(|fault| fault.began_us < all_us);
    faults
}

fn timeline(seconds: &[Second]) -> Vec<Moment> {
    let width = seconds.len().div_ceil(MOMENTS_MAX).max(1);
    let moments = seconds.chunks(width).enumerate().map(|(number, chunk)| {
        Moment::of(u64::try_from(number * width).unwrap_or(u64::MAX), chunk)
    });
    moments.collect()
}

/// Whether the figures are to be believed, and then whether they are good enough.
fn verdict(report: &Report, scenario: &Scenario, whole: &Whole, interrupted: bool) -> Verdict {
    let limits = &scenario.limits;
    let mut reasons = Vec::new();
    let lag_us = micros(limits.lag);
    let latest = latest(scenario, &whole.lag);
    if let Some((place, late_us)) = latest.filter(|(_, late)| *late > lag_us) {
        reasons.push(format!(
            "the generator was late: 1 % of what was due {place} was begun {} ms late or more, and {} ms are allowed",
            late_us / 1000,
            lag_us / 1000
        ));
    }
    let (place, used) = busiest(scenario, &whole.shares);
    if used > limits.cpu.part() {
        reasons.push(format!(
            "the generator was short of processor time: it used {:.0} % of the machine {place}, and {} are allowed",
            used * 100.0,
            limits.cpu
        ));
    }
    let counted = |name| report.total.counted(name);
    let (due, missed) = (counted(count::DUE), counted(count::MISSED));
    if due > 0 && float(missed) / float(due) > limits.missed.part() {
        reasons.push(format!(
            "{missed} of {due} messages that were due found no client: none was connected, or each had too many waiting"
        ));
    }
    if whole.unwritten > 0 {
        let unwritten = whole.unwritten;
        reasons.push(format!(
            "{unwritten} observations were not written down: the books are not whole"
        ));
    }
    let outcome = if !reasons.is_empty() {
        Outcome::Invalid
    } else if interrupted {
        Outcome::Interrupted
    } else if report.thresholds.iter().all(|judged| judged.held) {
        Outcome::Passed
    } else {
        Outcome::Broken
    };
    if outcome == Outcome::Broken {
        reasons.extend(
            report
                .thresholds
                .iter()
                .filter(|judged| !judged.held)
                .map(broken),
        );
    }
    Verdict { outcome, reasons }
}

fn broken(judged: &Judged) -> String {
    match &judged.measured {
        Some(measured) => format!("`{}` does not hold: it is {measured}", judged.threshold),
        None => format!(
            "`{}` cannot be judged: nothing was measured",
            judged.threshold
        ),
    }
}
