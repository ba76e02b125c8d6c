//! In: a template in a directory and flags. Out: `lift dev` as a process, and where its APIs are.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use http::Uri;
use rustix::process::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::reach::Endpoint;

/// Time until the last API accepts connections.
const PATIENCE: Duration = Duration::from_secs(60);

/// A `lift dev` that accepts connections; killed by its drop.
pub(crate) struct Dev {
    pub(crate) apis: BTreeMap<String, Endpoint>,
    child: Child,
    _drain: JoinSet<()>,
}

impl Dev {
    pub(crate) async fn start(directory: &Path, host: Ipv4Addr, flags: &[String]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lift"));
        let mut child = command
            .args(["dev", "--json", "--watch", "off", "--signatures", "checked"])
            .args(["--listen", &format!("{host}:0"), "--template"])
            .arg(directory.join("template.json"))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let template = std::fs::read(directory.join("template.json")).unwrap();
        let template: Value = serde_json::from_slice(&template).unwrap();
        let expected = template["Outputs"].as_object().unwrap().len();
        let mut apis = BTreeMap::new();
        let listening = async {
            while apis.len() < expected {
                let line = lines.next_line().await.unwrap();
                let line = line.expect("lift dev ended before all its APIs accepted");
                let line: Value = serde_json::from_str(&line).unwrap();
                let text = |name: &str| line[name].as_str().unwrap_or_default();
                if let Ok(clients) = text("tls_url").parse::<Uri>()
                    && line.get("management_url").is_some()
                {
                    let management = text("management_url").parse().unwrap();
                    let endpoint = Endpoint {
                        clients,
                        management,
                    };
                    apis.insert(text("api").to_owned(), endpoint);
                }
            }
        };
        let listening = tokio::time::timeout(PATIENCE, listening).await;
        listening.expect("the APIs accept in time");
        let mut drain = JoinSet::new();
        drain.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            apis,
            child,
            _drain: drain,
        }
    }

    pub(crate) fn process(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.id()?).ok()?)
    }
}
