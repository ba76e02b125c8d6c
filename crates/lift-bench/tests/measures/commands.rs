//! Faults that run commands come in; how often these ran and failed comes out.

use std::fs;

use crate::{
    load::{IDS, THIRTY, load, plain},
    server::{Rules, Server},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_says_how_often_a_command_ran_and_how_often_it_failed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("runs");
    let script = format!("echo >> {}", file.display());
    // Not the last phase, so that all end before the run does.
    let phase = "{ name: settle, duration: 1s";
    let faults = format!(
        "faults: [{{ run: {{ command: [sh, -c, '{script}'], every: 50ms }} }}, \
         {{ run: {{ command: [sh, -c, 'echo no >&2; exit 3'], every: 50ms }} }}, \
         {{ run: {{ command: ['true'] }} }}, {{ cut: {{ at: 10ms }} }}]"
    );
    let text = plain(IDS, THIRTY, "drain: 5s").replace(phase, &format!("{phase}, {faults}"));
    let report = load(&text, &Server::start(Rules::echo())).await;
    let lines = u64::try_from(fs::read_to_string(&file).unwrap().lines().count()).unwrap();
    let [good, bad, once, cut] = &report.faults[..] else {
        panic!("{:?}", report.faults);
    };
    assert!(lines > 1, "it ran again");
    assert_eq!((good.ran, good.failed), (lines, 0), "{good:?}");
    assert!(bad.ran > 1 && bad.failed == bad.ran, "{bad:?}");
    assert!(bad.failure.as_ref().unwrap().contains("no"), "{bad:?}");
    assert_eq!(
        [(once.ran, once.failed), (cut.ran, cut.failed)],
        [(1, 0), (0, 0)]
    );
}
