//! Generators that cannot keep up, servers that are not there and interrupts come in; a run that says so comes out.

use std::{
    net::TcpListener,
    sync::mpsc,
    time::{Duration, Instant},
};

use lift_bench::{
    report::{Outcome, Report, count},
    run::Error,
};

use crate::{
    load::{IDS, THIRTY, at, counted, load, plain, run},
    server::{Do, Rules, Server, Upgrade, id_of},
};

/// An invalid run, one of whose reasons says this.
fn is_invalid(report: &Report, reason: &str) {
    let verdict = &report.verdict;
    assert_eq!(verdict.outcome, Outcome::Invalid, "{verdict:?}");
    assert!(
        verdict.reasons.iter().any(|given| given.contains(reason)),
        "no `{reason}` in {verdict:?}"
    );
}

#[test]
fn a_generator_whose_clients_cannot_run_is_invalid() {
    let server = Server::start(Rules::echo());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let text = plain(
        IDS,
        "{ name: talk, duration: 1500ms, messages_per_second: 100 }",
        "drain: 5s",
    )
    .replace("lag: 1m", "lag: 200ms");
    let (release, released) = mpsc::channel::<()>();
    let report = runtime.block_on(async {
        let running = run(&text, at(&server.url));
        let block = async {
            while server.log().is_empty() {
                tokio::task::yield_now().await;
            }
            // The one thread that clients run on does nothing for a second.
            drop(runtime.spawn(async move { released.recv_timeout(Duration::from_secs(1)) }));
        };
        let (report, ()) = tokio::join!(running, block);
        report.unwrap()
    });
    drop(release);
    is_invalid(
        &report,
        "the generator was late: 1 % of what was due in `talk` was begun ",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_that_no_process_holds_is_invalid() {
    let server = Server::start(Rules::echo());
    let text = plain(
        IDS,
        "{ name: talk, duration: 150ms, messages_per_second: 1000000 }",
        "drain: 100ms",
    )
    .replace("lag: 1m", "lag: 20ms");
    let report = load(&text, &server).await;
    let counts = counted(&report.total.counts);
    assert_eq!(counts[count::DUE], 150_000, "{counts:?}");
    let begun = counts.get(count::SENT).unwrap_or(&0) + counts.get(count::MISSED).unwrap_or(&0);
    assert!(begun <= 150_000, "{counts:?}");
    is_invalid(
        &report,
        "the generator was late: 1 % of what was due in `talk` was begun ",
    );
    is_invalid(&report, "of 150000 messages that were due found no client");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_without_a_client_make_a_run_invalid() {
    let server = Server::start(Rules::echo());
    let alone = plain(IDS, THIRTY, "drain: 500ms")
        .replace("connections_per_second: 15", "connections_per_second: 0");
    is_invalid(
        &load(&alone, &server).await,
        "30 of 30 messages that were due found no client",
    );
    let allowed = alone.replace("cpu: 100%", "cpu: 100%, missed: 100%");
    assert_eq!(
        load(&allowed, &server).await.verdict.outcome,
        Outcome::Passed
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_of_data_makes_nothing_late() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rows.csv");
    let rows: String = (0..300_000).map(|n| format!("{n},a,b,c,d,e\n")).collect();
    std::fs::write(&file, format!("n,a,b,c,d,e\n{rows}")).unwrap();
    let server = Server::start(Rules::echo());
    let behaviour = IDS.replace("m {{ id }}", "{{ data.n }} {{ id }}");
    let text = plain(&behaviour, THIRTY, "drain: 5s").replace("lag: 1m", "lag: 500ms");
    let text = format!("data: {}\n{text}", file.display());
    let report = load(&text, &server).await;
    assert_eq!(report.verdict.reasons, Vec::<String>::new());
    let mut texts: Vec<String> = server.log().into_iter().map(|logged| logged.text).collect();
    texts.sort_by_key(|text| id_of(text));
    assert_eq!(
        (texts.len(), texts[0].as_str(), texts[29].as_str()),
        (30, "0 lift:0.1;", "2 lift:2.10;")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_ends_the_schedule_and_loses_nothing() {
    let server = Server::start(Rules::echo());
    let means = at(&server.url);
    let interrupt = means.interrupt.clone();
    let text = plain(
        IDS,
        "{ name: talk, duration: 1h, messages_per_second: 60 }",
        "drain: 10s",
    );
    let began = Instant::now();
    let interrupting = async {
        while server.log().len() < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        interrupt.cancel();
    };
    let (report, ()) = tokio::join!(run(&text, means), interrupting);
    let report = report.unwrap();
    assert_eq!(
        report.verdict.outcome,
        Outcome::Interrupted,
        "{:?}",
        report.verdict
    );
    let counts = counted(&report.total.counts);
    let sent = u64::try_from(server.log().len()).unwrap();
    let expected = [
        ("connections.begun", 3),
        ("connections.opened", 3),
        ("messages.answered", sent),
        ("messages.due", sent),
        ("messages.sent", sent),
    ];
    assert_eq!(counts, expected.into());
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_waits_for_no_answer_that_does_not_come() {
    let server = Server::start(Rules::new(|_, _| vec![]));
    let means = at(&server.url);
    let interrupt = means.interrupt.clone();
    let text = plain(
        IDS,
        "{ name: talk, duration: 1h, messages_per_second: 60 }",
        "drain: 300ms",
    );
    let interrupting = async {
        while server.log().len() < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        interrupt.cancel();
    };
    let (report, ()) = tokio::join!(run(&text, means), interrupting);
    let report = report.unwrap();
    assert_eq!(
        report.verdict.outcome,
        Outcome::Interrupted,
        "{:?}",
        report.verdict
    );
    let counts = counted(&report.total.counts);
    assert_eq!(counts[count::LOST], counts[count::DUE], "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_stop_talking_ends_no_run() {
    let answer = r#"{"type":"response","id":"9.9","data":null}"#;
    let server = Server::start(Rules::new(move |_, _| {
        vec![Do::Say(answer.to_owned()); 1_000_000]
    }));
    let text = "
name: flood
behaviours:
  asker: { steps: [connect, { send: { action: ask } }] }
phases: [{ name: arrive, duration: 100ms, connections_per_second: 40 }, { name: rest, duration: 1500ms }]
limits: { lag: 1m, cpu: 100%, drain: 500ms }
";
    let report = load(text, &server).await;
    let counts = counted(&report.total.counts);
    assert_eq!(
        (counts[count::LOST], counts.get(count::DROPPED)),
        (4, None),
        "{counts:?}"
    );
    assert!(counts[count::UNKNOWN] > 1000, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_or_refuses_is_one_error_and_no_run() {
    let text = plain(IDS, THIRTY, "drain: 500ms");
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("ws://{}/", free.local_addr().unwrap());
    drop(free);
    let error = run(&text, at(&nobody)).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");

    let server = Server::start(Rules::echo().upgrade(|_| Upgrade::HangUp));
    let error = run(&text, at(&server.url)).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");

    let server = Server::start(Rules::echo().upgrade(|_| Upgrade::Status(403)));
    for text in [
        text.clone(),
        text.replace("speaks: plain", "speaks: streamer")
            .replace("text: 'm {{ id }}'", "action: echo"),
    ] {
        let error = run(&text, at(&server.url)).await.unwrap_err();
        assert!(
            matches!(error, Error::Refused { status: 403, .. }),
            "{error:?}"
        );
    }
    assert_eq!(server.log().len(), 0);
}
