//! A share of one CPU such as Lambda gives 128 MB: a process comes in, the kernel holds it to that share.

use std::fs;
use std::path::{Path, PathBuf};

/// Lambda gives one vCPU for each 1,769 MB (Lambda developer guide, "Configure Lambda function memory").
pub(crate) const SHARE_PER_CENT: f64 = 128.0 / 1_769.0 * 100.0;
const PERIOD_US: &str = "20000";
/// That share of the period.
const QUOTA_US: &str = "1447";

/// A control group; it is removed with this value.
pub(crate) struct Quota {
    group: PathBuf,
}

impl Quota {
    /// Makes one, or says why there is none.
    pub(crate) fn make() -> Result<Self, String> {
        let name = format!("bench-lambda-{}", std::process::id());
        let second = Path::new("/sys/fs/cgroup");
        let controllers = fs::read_to_string(second.join("cgroup.controllers"));
        let has_cpu = controllers.is_ok_and(|all| all.split_whitespace().any(|one| one == "cpu"));
        let (root, settings) = if has_cpu {
            // Where it is delegated already this changes nothing; where it cannot be, the next write fails.
            _ = fs::write(second.join("cgroup.subtree_control"), "+cpu");
            (
                second.to_owned(),
                vec![("cpu.max", format!("{QUOTA_US} {PERIOD_US}"))],
            )
        } else {
            let settings = vec![
                ("cpu.cfs_period_us", PERIOD_US.to_owned()),
                ("cpu.cfs_quota_us", QUOTA_US.to_owned()),
            ];
            (second.join("cpu"), settings)
        };
        let group = root.join(name);
        let said = |what: &Path, error: std::io::Error| format!("`{}`: {error}", what.display());
        fs::create_dir(&group).map_err(|error| said(&group, error))?;
        let quota = Self { group };
        for (file, value) in settings {
            let file = quota.group.join(file);
            fs::write(&file, value).map_err(|error| said(&file, error))?;
        }
        Ok(quota)
    }

    /// The file that takes the ids of processes.
    pub(crate) fn processes(&self) -> PathBuf {
        self.group.join("cgroup.procs")
    }

    /// Holds a process to it from now on.
    pub(crate) fn take(&self, process: u32) -> std::io::Result<()> {
        fs::write(self.processes(), process.to_string())
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // One that a killed process has not left yet stays behind, and holds nobody.
        _ = fs::remove_dir(&self.group);
    }
}
