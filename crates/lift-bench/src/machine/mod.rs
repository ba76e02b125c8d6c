//! Nothing comes in; what this machine is, and what processes have used of it, goes out.

mod processes;

use std::{fs, num::NonZeroUsize, thread::available_parallelism, time::Duration};

use rustix::time::{ClockId, clock_gettime};

pub(crate) use self::processes::{Family, family};
use crate::report::Machine;

/// What this machine is. What the system does not say is empty or zero.
#[must_use]
pub fn machine() -> Machine {
    let processors = available_parallelism().map_or(0, NonZeroUsize::get);
    Machine {
        system: system(),
        processor: processor(&read("/proc/cpuinfo")),
        processors: u32::try_from(processors).unwrap_or(u32::MAX),
        memory_bytes: memory_bytes(&read("/proc/meminfo")).unwrap_or(0),
        tool: tool(),
    }
}

/// Processor time that this process has used, all threads together. What it grew by in a second, over that second
/// and the number of processors, is its share of the machine.
#[must_use]
pub fn own_cpu() -> Duration {
    // It counts nanoseconds, where /proc/self/stat has the same in hundredths of a second.
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// `Debian GNU/Linux 12 (bookworm), Linux 6.1.0 x86_64`.
fn system() -> String {
    let kernel = rustix::system::uname();
    let parts = [kernel.sysname(), kernel.release(), kernel.machine()];
    let kernel = parts.map(|part| part.to_string_lossy()).join(" ");
    match pretty_name(&read("/etc/os-release")) {
        Some(name) => format!("{name}, {kernel}"),
        None => kernel,
    }
}

fn pretty_name(release: &str) -> Option<&str> {
    let mut lines = release.lines();
    let name = lines.find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"'))
}

/// ARM's have no `model name`; the kernel's word for the architecture is in the system's.
fn processor(cpuinfo: &str) -> String {
    ["model name", "Model", "Hardware"]
        .iter()
        .find_map(|key| field(cpuinfo, key))
        .unwrap_or_default()
        .to_owned()
}

fn memory_bytes(meminfo: &str) -> Option<u64> {
    let kib = field(meminfo, "MemTotal")?.strip_suffix(" kB")?;
    kib.parse::<u64>().ok()?.checked_mul(1024)
}

/// Out of lines of `key : value`.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = pairs.find(|(name, _)| name.trim() == key)?;
    Some(value.trim())
}

/// `LIFT_COMMIT` is what a build is told of its commit.
fn tool() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match option_env!("LIFT_COMMIT") {
        Some(commit) => format!("lift {version} ({commit})"),
        None => format!("lift {version}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_linux_says_is_read() {
        let cpuinfo = "processor\t: 0\nmodel name\t: AMD EPYC 9R14: 4th\nprocessor\t: 1\nmodel name\t: other\n";
        assert_eq!(processor(cpuinfo), "AMD EPYC 9R14: 4th");
        let arm = "processor\t: 0\nBogoMIPS\t: 108\n\nModel\t\t: Raspberry Pi 4\n";
        assert_eq!(processor(arm), "Raspberry Pi 4");
        assert_eq!(processor(""), "");
        let meminfo = "MemTotal:       16314288 kB\nMemFree: 1 kB\n";
        assert_eq!(memory_bytes(meminfo), Some(16_314_288 * 1024));
        assert_eq!(memory_bytes("MemFree: 1 kB"), None);
        let release = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n";
        assert_eq!(pretty_name(release), Some("Debian GNU/Linux 12"));
    }

    #[test]
    fn this_machine_has_a_name_and_processors() {
        let machine = machine();
        assert!(
            machine.system.contains(std::env::consts::ARCH),
            "{machine:?}"
        );
        assert!(machine.processors > 0);
        assert!(machine.tool.starts_with(env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn work_shows_in_the_own_processor_time_and_waiting_does_not() {
        let (began, used) = (Instant::now(), own_cpu());
        let mut sum = 0_u64;
        while own_cpu() < used + Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_add(1));
            assert!(began.elapsed() < Duration::from_secs(30), "{sum}");
        }
    }
}
