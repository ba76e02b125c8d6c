//! A data directory and a URL come in; what was checked of them and of this machine goes out, a line each.

mod local;
mod certificate;
mod remote;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{
    args::DoctorArgs,
    failure::{Exit, Failure, harmless},
    output::{now_ms, print},
};

/// Where a server keeps its data if it is not told.
const DATA_DIR: &str = ".streamer";

/// How one check came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    check: &'static str,
    status: Status,
    /// What was found; the cause where it is not good.
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warning,
    Failed,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            status: Status::Ok,
            found: found.into(),
            help: None,
        }
    }

    fn warning(check: &'static str, found: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            status: Status::Warning,
            help: Some(help.into()),
            ..Self::ok(check, found)
        }
    }

    fn failed(check: &'static str, found: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            status: Status::Failed,
            help: Some(help.into()),
            ..Self::ok(check, found)
        }
    }

    fn failure(check: &'static str, failure: &Failure) -> Self {
        Self::failed(check, failure.said(), failure.help())
    }

    fn lines(&self) -> String {
        let status = match self.status {
            Status::Ok => "ok",
            Status::Warning => "warning",
            Status::Failed => "FAILED",
        };
        let found = harmless(&self.found);
        let mut lines = format!("{status:<9}{:<16}{found}\n", self.check);
        if let Some(help) = &self.help {
            lines.push_str(&format!("           help: {}\n", harmless(help)));
        }
        lines
    }
}

pub(crate) fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let data_dir = data_dir(args);
    let mut findings = Vec::new();
    let mut server = None;
    if let Some(dir) = &data_dir {
        server = local::data(dir, now_ms(), &mut findings);
    }
    findings.push(local::open_files(server));
    findings.push(local::backlog());
    if let Some(file) = &args.tls_cert {
        findings.push(certificate::finding(file, now_ms()));
    }
    if let Some(url) = &args.url {
        remote::check(url, args.ca.as_deref(), data_dir.as_deref(), &mut findings)?;
    }
    let count = |status| {
        findings
            .iter()
            .filter(|finding| finding.status == status)
            .count()
    };
    let (failed, warnings) = (count(Status::Failed), count(Status::Warning));
    print(&if args.json {
        format!(
            "{}\n",
            serde_json::json!({ "failed": failed, "warnings": warnings, "checks": findings })
        )
    } else {
        findings.iter().map(Finding::lines).collect()
    })?;
    if failed == 0 {
        return Ok(());
    }
    let names: Vec<_> = findings
        .iter()
        .filter(|f| f.status == Status::Failed)
        .map(|f| f.check)
        .collect();
    Err(Failure::new(
        Exit::Failed,
        format!("{failed} of {} checks failed", findings.len()),
        names.join(", "),
        "each line above that says FAILED has its own help",
    ))
}

fn data_dir(args: &DoctorArgs) -> Option<PathBuf> {
    let default = || Path::new(DATA_DIR).is_dir().then(|| DATA_DIR.into());
    args.data_dir.clone().or_else(default)
}
