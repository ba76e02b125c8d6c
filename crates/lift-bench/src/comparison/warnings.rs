//! All runs of a comparison come in; what should be the same in them and is not goes out, a line each.

use std::collections::BTreeSet;

use super::Run;
use crate::report::{Machine, Outcome, PhaseReport, Report, count, grouped, spoken};

pub(super) fn of(runs: &[&Run]) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut differ = |what: &str, of: &dyn Fn(&Report) -> String| {
        let found: BTreeSet<String> = runs.iter().map(|run| of(&run.report)).collect();
        let differs = found.len() > 1;
        if differs {
            let found: Vec<_> = found.into_iter().collect();
            warnings.push(format!("{what}: {}", found.join(" / ")));
        }
        differs
    };
    differ("the runs are of different machines", &|report| {
        machine(&report.machine)
    });
    differ("the runs are of different seeds", &|report| {
        report.seed.to_string()
    });
    let other_phases = differ("the scenario has other phases", &|report| {
        let phases = report.phases.iter();
        let names: Vec<_> = phases.map(|phase| phase.name.clone()).collect();
        names.join(", ")
    });
    if !other_phases {
        warnings.extend(sizes(runs));
    }
    let broken = runs
        .iter()
        .filter(|run| run.report.verdict.outcome == Outcome::Broken);
    let broken: Vec<_> = broken.map(|run| format!("`{}`", run.label)).collect();
    if !broken.is_empty() {
        warnings.push(format!("thresholds were broken in {}", broken.join(", ")));
    }
    warnings
}

fn machine(machine: &Machine) -> String {
    let Machine {
        system,
        processor,
        processors,
        memory_bytes,
        ..
    } = machine;
    let gib = memory_bytes / (1 << 30);
    format!("{processors} of {processor}, {gib} GiB, {system}")
}

/// Phases that are of one name, and not of one length or load.
fn sizes(runs: &[&Run]) -> Option<String> {
    let (first, others) = runs.split_first()?;
    let phases = first.report.phases.iter().enumerate();
    let differing = phases.filter_map(|(place, phase)| {
        let others = others.iter();
        let others = others.filter_map(|run| run.report.phases.get(place));
        let all: Vec<_> = std::iter::once(phase).chain(others).collect();
        let apart = apart(&all);
        (!apart.is_empty()).then(|| format!("`{}` {}", phase.name, apart.join(", ")))
    });
    let differing: Vec<_> = differing.collect();
    let what = "the phases are of different length or load";
    (!differing.is_empty()).then(|| format!("{what}: {}", differing.join("; ")))
}

fn apart(all: &[&PhaseReport]) -> Vec<String> {
    let range = |of: &dyn Fn(&PhaseReport) -> u64| {
        let values = || all.iter().map(|phase| of(phase));
        Some((values().min()?, values().max()?))
    };
    let took = range(&|phase| phase.took_us).filter(|(least, most)| tenth_apart(*least, *most));
    let took = took.map(|(least, most)| format!("{} to {}", spoken(least), spoken(most)));
    let counts = [
        (count::CONNECTIONS, "connections"),
        (count::DUE, "messages"),
    ];
    let counts = counts.into_iter().filter_map(|(name, what)| {
        let (least, most) = range(&|phase| phase.measures.counted(name))
            .filter(|(least, most)| tenth_apart(*least, *most) && !chance(*least, *most))?;
        Some(format!("{} to {} {what}", grouped(least), grouped(most)))
    });
    took.into_iter().chain(counts).collect()
}

fn tenth_apart(least: u64, most: u64) -> bool {
    most - least > most / 10
}

/// What clients do by themselves differs between repeats by about the root of how often they do it; four times that is
/// seldom seen.
fn chance(least: u64, most: u64) -> bool {
    (most - least).saturating_pow(2) <= most.saturating_mul(16)
}
