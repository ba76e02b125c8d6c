//! In: the descriptors this process may have. Out: limits of connections that leave enough for files.

use anyhow::Context;
use lift_server::server::Options;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use streamer::descriptors::for_clients;

/// Raises the limit as far as it goes, and lowers the limits of connections so that even clients
/// without number leave the store its files.
pub(crate) fn fit(options: &mut Options) -> anyhow::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).context("the limit of descriptors cannot be raised")?;
    let clients = for_clients(maximum.unwrap_or(u64::MAX));
    let at_most = |limit: &mut usize, most: u64| {
        *limit = (*limit).min(usize::try_from(most).unwrap_or(usize::MAX));
    };
    at_most(&mut options.http.unupgraded_max, clients.unupgraded);
    at_most(
        &mut options.rules.limits.connections_max,
        clients.connections,
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use lift_server::server::Options;
    use streamer::descriptors::{CONNECTIONS_MAX, UNUPGRADED_MAX};

    #[test]
    fn what_is_divided_is_what_a_server_takes() {
        let options = Options::new("nowhere");
        let taken = (
            options.rules.limits.connections_max,
            options.http.unupgraded_max,
        );
        let divided = [CONNECTIONS_MAX, UNUPGRADED_MAX].map(|max| usize::try_from(max).unwrap());
        assert_eq!(taken, divided.into());
    }
}
