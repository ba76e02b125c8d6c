//! In: all scripts. Out: those that can be run so hold, and the others are known by name and reason.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use lift_aws_client::sigv4::Credentials;
use lift_dev::lambda::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, session_token};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::dev::Dev;
use crate::reach::{Endpoint, Reach};
use crate::real::{Stage, converse};
use crate::shape::{Script, Unfit, apis_of, scripts};
use crate::template;
use crate::verdict::{told, unfit};

/// What cannot be run behind `lift dev`, and why.
const UNFIT: [(Unfit, &[&str]); 3] = [
    (
        Unfit::RulesAlone,
        &[
            "integration_timeout_range",
            "route_key_reserved",
            "routes_max",
            "stage_name",
        ],
    ),
    (
        Unfit::Limit,
        &[
            "client_rate",
            "connection_rate",
            "in_flight_limit",
            "management_http_throttled",
            "message_rate",
            "message_rate_announcement",
            "message_rate_posts",
            "process_budget",
            "process_budget_not_read",
            "slow_reader_not_read",
        ],
    ),
    (
        Unfit::Host,
        &[
            "authorizer_too_many",
            "event_domain_name_set",
            "management_http_domain",
            "management_http_domain_stage",
            "management_http_off",
            "path_unknown",
        ],
    ),
];

/// The unverified rows that cannot be settled by running their script on an account.
const UNSETTLED: [&str; 3] = [
    "in_flight_limit",
    "message_rate",
    "management_http_domain_stage",
];

/// Names the one script to run.
const ONLY: &str = "CONVERSATION";
/// Conversations at a time, but for those that mostly wait.
const AT_A_TIME: usize = 8;
/// From this time on a conversation mostly waits, and is begun at once.
const LONG: Duration = Duration::from_secs(12);
const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);
/// How long nothing more must come after a conversation.
const QUIET: Duration = Duration::from_millis(300);

/// How one `lift dev` runs, for the scripts that want it so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mode {
    speed: u32,
    relaxed: BTreeSet<String>,
    /// The one script that ends it.
    ended_by: Option<String>,
}

impl Mode {
    /// As on AWS.
    const PLAIN: Self = Self {
        speed: 1,
        relaxed: BTreeSet::new(),
        ended_by: None,
    };

    fn of(script: &Script) -> Self {
        let relaxed: BTreeSet<_> = script.relaxed().into_iter().map(str::to_owned).collect();
        let is_scaled = script.setup.rules.limits.speed.get() > 1;
        let speed = match (relaxed.contains("idle"), relaxed.contains("lifetime")) {
            // Neither ends a connection, and a day passes in seconds.
            (true, true) => 10_000,
            // Two hours in half a minute.
            (true, false) => 240,
            // An hour in half a minute.
            _ if script.waits() > HALF_AN_HOUR => 120,
            // Ten minutes in ten seconds, two of which a busy machine may take for itself.
            _ if is_scaled || script.waits() > Duration::from_secs(60) => 60,
            _ => 1,
        };
        let ended_by = script.drains().then(|| script.name.clone());
        Self {
            speed,
            relaxed,
            ended_by,
        }
    }

    fn flags(&self) -> Vec<String> {
        let relaxed = self.relaxed.iter();
        let relaxed = relaxed.flat_map(|quota| ["--relax".to_owned(), quota.clone()]);
        let speed = ["--time-scale".to_owned(), self.speed.to_string()];
        speed.into_iter().chain(relaxed).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_hold_through_lift_dev() {
    let began = Instant::now();
    let all = scripts().unwrap();
    let mut counts = format!("{} scripts through `lift dev`", all.len());
    for (why, names) in unfit(&all, Script::unfit) {
        counts += &format!(", {} not run (each {why})", names.len());
        let known = UNFIT.iter().find(|(known, _)| *known == why);
        assert_eq!(
            known.map(|(_, names)| *names),
            Some(names.as_slice()),
            "{why}"
        );
    }
    let only = std::env::var_os(ONLY);
    let is_wanted = |script: &Script| match &only {
        Some(only) => only == script.name.as_str(),
        None => script.unfit().is_none(),
    };
    let wanted: Vec<_> = all.into_iter().filter(is_wanted).collect();
    let run = wanted.len();
    let failures = converse_all(wanted).await;
    let (failed, took) = (failures.len(), began.elapsed().as_secs_f64());
    let passed = run - failed;
    say(&format!(
        "{counts}, {run} run: {passed} passed, {failed} failed; {took:.0} s"
    ));
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn unverified_rows_can_be_settled_on_an_account() {
    let unverified: Vec<_> = scripts()
        .unwrap()
        .into_iter()
        .filter(|script| script.mark == "unverified")
        .collect();
    let unsettled: Vec<_> = unfit(&unverified, Script::unfit_on_aws)
        .into_values()
        .flatten()
        .collect();
    let (all, not) = (unverified.len(), unsettled.len());
    say(&format!(
        "{all} unverified rows, {} run on an account",
        all - not
    ));
    assert_eq!(unsettled, UNSETTLED);
}

/// Runs all scripts, each behind a `lift dev` of its mode; what failed.
async fn converse_all(scripts: Vec<Script>) -> Vec<String> {
    let mut by_mode: BTreeMap<Mode, Vec<Arc<Script>>> = BTreeMap::new();
    for script in scripts {
        let mode = by_mode.entry(Mode::of(&script)).or_default();
        mode.push(script.into());
    }
    // The relay is there first, and its time must pass as it does for us.
    let plain = by_mode.remove(&Mode::PLAIN).unwrap_or_default();
    let modes = [(Mode::PLAIN, plain)].into_iter().chain(by_mode);
    let (home, host) = (tempfile::tempdir().unwrap(), host());
    let turns = Arc::new(Semaphore::new(AT_A_TIME));
    let (mut devs, mut conversations) = (Vec::new(), JoinSet::new());
    let mut relay: Option<Endpoint> = None;
    for (index, (mode, scripts)) in modes.enumerate() {
        let directory = home.path().join(index.to_string());
        let apis = apis_of(
            scripts.iter().map(AsRef::as_ref),
            scripts.iter().map(AsRef::as_ref),
        );
        let at = relay.as_ref().map(|relay| &relay.management);
        template::write(&directory, &apis, at).unwrap();
        let dev = Dev::start(&directory, host, &mode.flags()).await;
        let relay = relay.get_or_insert_with(|| plainly(&dev.apis[template::RELAY]));
        let reach = reach(&directory);
        for script in &scripts {
            let mut named = apis.iter();
            let (name, _) = named.find(|(_, shape)| **shape == &script.shape).unwrap();
            let stage = Stage {
                reach: Arc::clone(&reach),
                api: dev.apis[name].clone(),
                relay: relay.clone(),
                speed: mode.speed,
                quiet: QUIET,
                process: dev.process().filter(|_| mode.ended_by.is_some()),
            };
            conversations.spawn(turn(Arc::clone(script), stage, Arc::clone(&turns)));
        }
        devs.push(dev);
    }
    let outcomes = conversations.join_all().await;
    let mut failures: Vec<_> = outcomes.into_iter().flatten().collect();
    failures.sort();
    failures
}

/// Runs a script when it is its turn; what is wrong.
async fn turn(script: Arc<Script>, stage: Stage, turns: Arc<Semaphore>) -> Option<String> {
    let mostly_waits = script.waits() / stage.speed >= LONG;
    let _turn = match mostly_waits {
        true => None,
        false => Some(turns.acquire_owned().await.unwrap()),
    };
    let outcome = converse(&script, &stage).await;
    outcome.is_err().then(|| told(&script, &outcome))
}

/// The same without TLS: another process's functions do not trust the certificate.
fn plainly(relay: &Endpoint) -> Endpoint {
    let plain = |uri: &Uri, from: &str, to: &str| uri.to_string().replacen(from, to, 1).parse();
    Endpoint {
        clients: plain(&relay.clients, "wss:", "ws:").unwrap(),
        management: plain(&relay.management, "https:", "http:").unwrap(),
    }
}

/// With the certificate of the `lift dev` in a directory, and its functions' credentials.
fn reach(directory: &Path) -> Arc<Reach> {
    let credentials = Credentials {
        access_key: ACCESS_KEY_ID.to_owned(),
        secret_key: SECRET_ACCESS_KEY.to_owned(),
        session_token: Some(session_token("Puppet")),
    };
    let authority = directory.join(".lift/ca.pem");
    let reach = Reach::new(Some(&authority), Some(credentials), "us-east-1");
    reach.unwrap().into()
}

/// A loopback address of this process's own: the APIs need ports in a row.
fn host() -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 1 + high % 250, low, 1)
}

fn say(line: &str) {
    // Not `println!`, which a passing test keeps to itself.
    let line = format!("conversations: {line}\n");
    io::stderr().write_all(line.as_bytes()).unwrap();
}
