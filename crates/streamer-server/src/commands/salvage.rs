//! `salvage`: a damaged store comes in, one with all that could be read goes out, the old one beside it.

use anyhow::{Context, ensure};
use lift_server::server;

use crate::config::Config;

pub(crate) fn run(config: &Config) -> anyhow::Result<()> {
    let dir = &config.server.data_dir;
    ensure!(
        dir.join("store/store").is_dir(),
        "`{}` holds no store: --data-dir names the data directory of a server that has run",
        dir.display()
    );
    let report = server::salvage(dir)
        .with_context(|| format!("the store in `{}` cannot be salvaged", dir.display()))?;
    eprintln!("{report}");
    Ok(())
}
