//! The id of a process comes in; what it and all that it started have used goes out.

use std::{collections::BTreeMap, fs, io, time::Duration};

use rustix::param::{clock_ticks_per_second, page_size};

/// Longest line of ancestors that is followed.
const ANCESTORS_MAX: usize = 64;

/// What some processes have used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Family {
    /// Processor time of those that run, and of their children that ended and were waited for.
    pub(crate) cpu: Duration,
    /// Resident memory of all. What two of them share counts twice.
    pub(crate) memory_bytes: u64,
    /// How many run.
    pub(crate) running: usize,
}

/// The process, its process group and its descendants.
///
/// # Errors
/// The system has no `/proc`.
pub(crate) fn family(leader: u32) -> io::Result<Family> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        // Those that end meanwhile are left out.
        let Ok(entry) = entry else { continue };
        let Some(id) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat"));
        if let Some(process) = stat.ok().as_deref().and_then(Process::parse) {
            all.insert(id, process);
        }
    }
    Ok(used(leader, &all))
}

fn used(leader: u32, all: &BTreeMap<u32, Process>) -> Family {
    let members: Vec<_> = all
        .iter()
        .filter(|(id, process)| is_member(leader, **id, process, all))
        .map(|(_, process)| process)
        .collect();
    let ticks: u64 = members.iter().map(|process| process.ticks).sum();
    let pages: u64 = members.iter().map(|process| process.pages).sum();
    let micros = ticks.saturating_mul(1_000_000) / clock_ticks_per_second().max(1);
    let page_bytes = u64::try_from(page_size()).unwrap_or(0);
    Family {
        cpu: Duration::from_micros(micros),
        memory_bytes: pages.saturating_mul(page_bytes),
        running: members.iter().filter(|process| process.runs).count(),
    }
}

fn is_member(leader: u32, id: u32, process: &Process, all: &BTreeMap<u32, Process>) -> bool {
    let next = |(_, process): &(u32, &Process)| {
        let parent = process.parent;
        all.get(&parent).map(|process| (parent, process))
    };
    std::iter::successors(Some((id, process)), next)
        .take(ANCESTORS_MAX)
        .any(|(id, process)| id == leader || process.group == leader)
}

/// A line of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    parent: u32,
    group: u32,
    /// Whether it has not ended; one that has is kept until its parent has seen it.
    runs: bool,
    /// In user mode and in the kernel, of itself and of children that it waited for.
    ticks: u64,
    pages: u64,
}

impl Process {
    /// The name in parentheses may hold spaces and parentheses. Fields are counted behind it, from 0 (proc(5) from 3).
    fn parse(stat: &str) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(") ")?;
        let fields: Vec<_> = fields.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let id = |index: usize| fields.get(index)?.parse::<u32>().ok();
        Some(Self {
            parent: id(1)?,
            group: id(2)?,
            runs: !matches!(*fields.first()?, "Z" | "X"),
            ticks: number(11)? + number(12)? + number(13)? + number(14)?,
            pages: number(21)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "42 (a) b (c) S 7 42 42 0 -1 4194560 100 200 0 0 11 22 33 44 20 0 5 0 999 1000000 321 18446744073709551615 1 1";

    #[test]
    fn a_line_of_a_process_with_an_odd_name_is_read() {
        let process = Process {
            parent: 7,
            group: 42,
            runs: true,
            ticks: 110,
            pages: 321,
        };
        assert_eq!(Process::parse(STAT), Some(process));
        let ended = Process::parse(&STAT.replace(") S", ") Z")).unwrap();
        assert!(!ended.runs);
        assert_eq!(Process::parse("42 (a) S 7"), None);
    }

    #[test]
    fn descendants_belong_to_it_and_so_do_orphans_of_its_group() {
        let process = |parent, group| Process {
            parent,
            group,
            runs: true,
            ticks: 1,
            pages: 1,
        };
        let all = BTreeMap::from([
            (1, process(0, 1)),
            (10, process(1, 10)),
            (11, process(10, 10)),
            // Another group, but a child's child.
            (12, process(11, 12)),
            // Its parent has ended.
            (13, process(1, 10)),
            (20, process(1, 20)),
        ]);
        let family = used(10, &all);
        assert_eq!(family.running, 4);
        assert_eq!(
            family.cpu * u32::try_from(clock_ticks_per_second()).unwrap(),
            Duration::from_secs(4)
        );
        assert_eq!(family.memory_bytes, 4 * page_size() as u64);
    }

    #[test]
    fn this_process_uses_memory() {
        let family = family(std::process::id()).unwrap();
        assert!(family.running >= 1);
        assert!(family.memory_bytes > 100_000, "{family:?}");
    }
}
