//! Data directories of servers come in; what `lift store` says of them, and copies that can be served, go out.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::{Value, json};
use streamer_client::{
    Client,
    options::Terms,
    request::{Outcome, Request, Submitted, Update},
};

use crate::{
    live::Live,
    run::{Transcript, alone, block_on, ended, lift, printed},
};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn store(command: &str, data: &Path, more: &[&str]) -> Transcript {
    alone(
        &[&["store", command, "--data-dir", text(data)], more].concat(),
        "",
    )
}

/// The same while a server of this process runs.
async fn store_beside(command: &str, data: &Path, more: &[&str]) -> Transcript {
    let args = [&["store", command, "--data-dir", text(data)], more].concat();
    ended(lift(&args).spawn().unwrap()).await
}

fn input(data: &Path, name: &str, rows: u64) {
    let folder = data.join("objects/acme");
    fs::create_dir_all(&folder).unwrap();
    let file = fs::File::create(folder.join(name)).unwrap();
    streamer::generate::generate_csv(rows, 1, std::io::BufWriter::new(file)).unwrap();
}

async fn submit(client: &Client, input: &str, output: &str) -> Request {
    let payload = json!({
        "input": input, "operations": [{"op": "deduplicate", "by": ["order_id"]}], "output": {"name": output},
    });
    match client
        .submit("process_data", &payload, Terms::default())
        .await
        .unwrap()
    {
        Submitted::Accepted(request) => request,
        Submitted::Answered { data, .. } => panic!("answered: {data}"),
    }
}

async fn complete(request: &mut Request) {
    let outcome = request.outcome().await.unwrap();
    assert!(matches!(outcome, Outcome::Complete(_)), "{outcome:?}");
}

/// A request past its first checkpoint takes the copy of its input for another file, and says so.
async fn ends(request: &mut Request) {
    match request.outcome().await.unwrap() {
        Outcome::Complete(_) => {}
        Outcome::Failed(error) if error.message.contains("was changed") => {}
        other => panic!("{other:?}"),
    }
}

/// What lies in a directory, its files' bytes left out.
fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_backup_of_a_running_server_can_be_served() {
    let dir = tempfile::tempdir().unwrap();
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    block_on(async {
        let server = Live::start(&data).await;
        input(&data, "small.csv", 10);
        input(&data, "large.csv", 150_000);
        let client = server.client(&data).await;
        let mut ended = Vec::new();
        for n in 0..10 {
            let mut request = submit(&client, "small.csv", &format!("out-{n}.csv")).await;
            complete(&mut request).await;
            ended.push(request.id().clone());
        }
        let mut open = Vec::new();
        for n in 0..3 {
            let mut request = submit(&client, "large.csv", &format!("large-{n}.csv")).await;
            assert!(matches!(request.next().await, Some(Update::Progress(_))));
            open.push(request);
        }
        let run = store_beside("backup", &data, &[text(&copy), "--json"]).await;
        assert_eq!((run.exit, &*run.stderr), (Some(0), ""), "{run:?}");
        let said: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(
            json!([
                said["backup"],
                said["live"],
                said["records"],
                said["damage"]
            ]),
            json!([text(&copy), true, 13, []])
        );
        for request in &mut open {
            complete(request).await;
        }
        client.close().await;
        server.stop().await;
        let work = names(&copy.join("work"));
        let ran = |request: &Request| work.contains(request.id().as_str());
        assert!(open.iter().any(ran), "one ran at that moment: {work:?}");
        assert!(!data.join(".backup").exists() && !dir.path().join("copy.unfinished").exists());

        let inspected = store_beside("inspect", &copy, &["--json"]).await;
        let inspected: Value = serde_json::from_str(&inspected.stdout).unwrap();
        assert_eq!(inspected["commit"], said["commit"], "{inspected}");
        let server = Live::start(&copy).await;
        let client = server.client(&data).await;
        for id in ended {
            complete(&mut client.resume(&id, 0).await.unwrap()).await;
        }
        for request in open {
            ends(&mut client.resume(request.id(), 0).await.unwrap()).await;
        }
        client.close().await;
        server.stop().await;
    });
    let (ours, theirs) = (data.join("objects/acme"), copy.join("objects/acme"));
    assert!(names(&theirs).is_subset(&names(&ours)));
    assert!((0..10).all(|n| theirs.join(format!("out-{n}.csv")).is_file()));
    for name in names(&theirs) {
        assert!(
            fs::read(ours.join(&name)).unwrap() == fs::read(theirs.join(&name)).unwrap(),
            "{name}"
        );
    }
}

/// A data directory with one ended and no open request, whose server has stopped.
fn stopped(data: &Path) {
    block_on(async {
        let server = Live::start(data).await;
        input(data, "small.csv", 10);
        let client = server.client(data).await;
        complete(&mut submit(&client, "small.csv", "out.csv").await).await;
        client.close().await;
        server.stop().await;
    });
}

#[test]
fn a_stopped_store_is_described_copied_and_packed() {
    let dir = tempfile::tempdir().unwrap();
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    stopped(&data);
    fs::set_permissions(&data, fs::Permissions::from_mode(0o710)).unwrap();
    let run = store("inspect", &data, &[]);
    assert_eq!((run.exit, &*run.stderr), (Some(0), ""), "{run:?}");
    let rows: Vec<_> = run.stdout.lines().map(|line| line.split_at(13)).collect();
    let row = |name: &str| {
        rows.iter()
            .find(|row| row.0.trim() == name)
            .unwrap_or_else(|| panic!("{name}: {run:?}"))
            .1
    };
    assert_eq!(row("format"), "lift-embedded 2");
    assert_eq!(row("records"), "1");
    assert_eq!(row("ended"), "1 completed, 0 failed, 0 cancelled");
    assert_eq!(row("due"), "0 now, 0 past their deadline");
    assert_eq!(row("oldest"), "none waiting");
    assert_eq!(row("damage"), "none");
    assert!(
        row("newest").contains(" ago)") && row("on disk").contains("iB"),
        "{run:?}"
    );

    let run = store("backup", &data, &[text(&copy)]);
    assert_eq!(
        (run.exit, &*run.stdout),
        (Some(0), &*format!("{}\n", copy.display())),
        "{run:?}"
    );
    assert!(run.stderr.starts_with("1 records as of commit "), "{run:?}");
    assert!(run.stderr.contains(", no server runs; "), "{run:?}");
    let mode = fs::metadata(&copy).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o710, "{mode:o}");
    for name in names(&data.join("keys")) {
        let meta = |dir: &Path| fs::metadata(dir.join("keys").join(&name)).unwrap();
        assert_eq!(meta(&data).permissions(), meta(&copy).permissions());
        assert_eq!(
            meta(&data).modified().unwrap(),
            meta(&copy).modified().unwrap()
        );
    }
    let run = store("backup", &data, &[text(&copy)]);
    let what = format!("error: the backup cannot go to `{}`", copy.display());
    let help = "  help: name a directory that is not there yet, outside the data directory";
    assert_eq!(
        run,
        printed(2, &[], &[&what, "  cause: something is there", help])
    );
    let inside = store("backup", &data, &[text(&data.join("copy"))]);
    assert_eq!(inside.exit, Some(2), "{inside:?}");

    let run = store("compact", &data, &["--json"]);
    assert_eq!((run.exit, &*run.stderr), (Some(0), ""), "{run:?}");
    let said: Value = serde_json::from_str(&run.stdout).unwrap();
    assert!(
        said["bytes_before"].is_u64() && said["bytes_after"].is_u64(),
        "{said}"
    );
    assert_eq!(store("inspect", &data, &[]).exit, Some(0));
}

#[test]
fn a_store_that_is_not_whole_fails_and_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    stopped(&data);
    let journals = fs::read_dir(data.join("store/store/db")).unwrap();
    let journal = journals
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "jnl"))
        .unwrap();
    let mut bytes = fs::read(&journal).unwrap();
    bytes[300] ^= 0x40;
    fs::write(&journal, bytes).unwrap();
    let run = store("inspect", &data, &["--json"]);
    assert_eq!(run.exit, Some(1), "{run:?}");
    let said: Value = serde_json::from_str(&run.stdout).unwrap();
    let damage = said["damage"].as_array().unwrap();
    assert!(
        damage
            .iter()
            .any(|line| line.as_str().unwrap().contains(text(&journal))),
        "{said}"
    );
    assert!(run.stderr.starts_with("error: the store in `"), "{run:?}");
}

#[test]
fn a_store_that_is_held_or_absent_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let shown = data.join("store");
    let run = store("inspect", &data, &[]);
    let stderr = [
        &*format!("error: `{}` holds no store", data.display()),
        &*format!("  cause: there is no `{}`", shown.join("store").display()),
        "  help: --data-dir names the server's data directory; a server makes the store when it first starts",
    ];
    assert_eq!(run, printed(1, &[], &stderr));
    assert!(!data.exists());
    let held = lift_embedded::EmbeddedTasks::open(&shown, &lift_embedded::Options::default());
    let stderr = [
        &*format!("error: the store in `{}` cannot be used", shown.display()),
        &*format!(
            "  cause: `{}` is in use by this or another process",
            shown.display()
        ),
        "  help: stop the server first; or look at a copy, which `lift store backup` makes while it runs",
    ];
    for command in ["inspect", "compact"] {
        assert_eq!(
            store(command, &data, &[]),
            printed(1, &[], &stderr),
            "{command}"
        );
    }
    drop(held.unwrap());
}
