//! In: the descriptors this process may have. Out: limits of connections that leave enough for files.

use anyhow::Context;
use lift_server::server::Options;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for the store, objects and fetches of keys, where there are plenty.
const FOR_FILES_MAX: u64 = 1_024;

/// Raises the limit as far as it goes, and lowers the limits of connections so that even clients
/// without number leave the store its files.
pub(crate) fn fit(options: &mut Options) -> anyhow::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).context("the limit of descriptors cannot be raised")?;
    let descriptors = maximum.unwrap_or(u64::MAX);
    let for_files = (descriptors / 4).min(FOR_FILES_MAX);
    let sockets = usize::try_from(descriptors - for_files).unwrap_or(usize::MAX);
    let http = &mut options.http;
    http.unupgraded_max = http.unupgraded_max.min(sockets / 4);
    let limits = &mut options.rules.limits;
    limits.connections_max = limits.connections_max.min(sockets - http.unupgraded_max);
    Ok(())
}
