//! Torn and corrupt files: a store with known requests comes in, is cut or bent in one place, and
//! either says what it lost or has lost nothing; it never invents.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lift::error::StoreError;
use lift::json::Json;
use lift::task::record::{NewTask, Record};
use lift::task::store::{ActivityQuery, ListQuery, Put, TaskStore};
use lift_embedded::{EmbeddedTasks, OpenError, Options, Report};

use crate::steps::{done, renew, stored};
use crate::support::{at, claim, finish, owner, task};

const TASKS: u64 = 6;

/// Every image that a record ever had, by request.
type History = BTreeMap<u64, Vec<Record>>;

/// A closed store whose journal has some 20 commits, and what they wrote.
async fn filled(dir: &Path) -> History {
    let store = EmbeddedTasks::open(dir, &Options::default()).unwrap();
    let mut history = History::new();
    for n in 0..TASKS {
        history.entry(n).or_default().push(put(&store, n).await);
    }
    for n in 0..TASKS {
        if n % 2 == 0 {
            let images = history.get_mut(&n).unwrap();
            images.push(done(&store, n, claim(), 1).await);
            images.push(done(&store, n, renew(1), 2).await);
            images.push(done(&store, n, finish(1, n), 3).await);
        }
    }
    store.close().await.unwrap();
    history
}

/// Payloads of the nth request: small ones first, then such as fill tables.
fn payload(n: u64) -> Json {
    let bytes = if n < TASKS { 10 } else { 100_000 };
    Json::parse(format!("[{n},\"{}\"]", "x".repeat(bytes))).unwrap()
}

async fn put(store: &EmbeddedTasks, n: u64) -> Record {
    let new = NewTask {
        input: payload(n),
        ..task(n)
    };
    match store.put(new).await.unwrap() {
        Put::Stored(record) => *record,
        other => panic!("task {n}: {other:?}"),
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What a damaged store has to say for itself.
#[derive(Debug)]
enum Said {
    Whole,
    Lost(Report),
    Refused(OpenError),
}

/// Opens a damaged copy and checks that what it serves was true once, and that what is missing or
/// old is accounted for.
async fn check(dir: &Path, history: &History, place: &str) -> Said {
    let store = match EmbeddedTasks::open(dir, &Options::default()) {
        Ok(store) => store,
        Err(error @ (OpenError::Damaged { .. } | OpenError::Format { .. })) => {
            return Said::Refused(error);
        }
        Err(error) => panic!("{place}: {error:?}"),
    };
    let whole = serves_the_truth(&store, history, place).await;
    let report = store.report().clone();
    assert!(
        whole || !report.is_clean(),
        "{place}: a silent loss; the report says: {report}"
    );
    for lost in &report.lost {
        let kept = fs::metadata(&lost.kept).unwrap().len();
        assert_eq!(kept, lost.bytes, "{place}: bytes kept aside");
    }
    stored(&store, 1_000_000).await;
    drop(store);
    let again = EmbeddedTasks::open(dir, &Options::default()).unwrap();
    assert!(
        again.report().is_clean(),
        "{place}: said once: {}",
        again.report()
    );
    let later = again.get(&task(1_000_000).key).await.unwrap();
    assert!(later.is_some(), "{place}: later writes stay");
    if whole && report.is_clean() {
        Said::Whole
    } else {
        Said::Lost(report)
    }
}

/// Checks that nothing is invented; true where nothing is missing or old either.
async fn serves_the_truth(store: &EmbeddedTasks, history: &History, place: &str) -> bool {
    let mut whole = true;
    for (n, images) in history {
        let record = match store.get(&task(*n).key).await {
            Ok(record) => record.map(|record| as_before_the_opening(record, images)),
            Err(StoreError::Corrupt(_)) => None,
            Err(error) => panic!("{place}: {error:?}"),
        };
        if let Some(record) = &record {
            assert!(
                images.contains(record),
                "{place}: task {n} was never {record:?}"
            );
        }
        whole &= record.as_ref() == images.last();
        let input = match store.input(&task(*n).key).await {
            Ok(input) => input,
            Err(StoreError::Corrupt(_)) => continue,
            Err(error) => panic!("{place}: {error:?}"),
        };
        assert!(
            input.is_none() || record.is_some(),
            "{place}: an input without its record"
        );
        whole &= input.is_some();
        assert!(
            input.is_none_or(|input| input == payload(*n)),
            "{place}: an invented input"
        );
    }
    let query = ListQuery {
        limit: 1_000,
        ..ListQuery::default()
    };
    let listed = store.list(&owner(), &query).await.unwrap().records.len();
    assert!(listed <= history.len(), "{place}: {listed} requests");
    let query = ActivityQuery {
        from: at(0),
        until: at(1),
        after: None,
        limit: 1_000,
    };
    match store.activity(&owner().tenant, &query).await {
        Ok(page) => assert_eq!(
            page.requests.len(),
            listed,
            "{place}: all are found by time"
        ),
        Err(StoreError::Corrupt(_)) => {}
        Err(error) => panic!("{place}: {error:?}"),
    }
    whole
}

/// The record without the voiding of its lease, which is no loss.
fn as_before_the_opening(mut record: Record, images: &[Record]) -> Record {
    let same = |image: &&Record| {
        (image.claim, image.state, image.renewed_at)
            == (record.claim, record.state, record.renewed_at)
    };
    if let Some(image) = images.iter().find(same) {
        (record.due_at, record.died_alone) = (image.due_at, image.died_alone);
    }
    record
}

fn journal(dir: &Path) -> PathBuf {
    dir.join("store/db/0.jnl")
}

/// The journal's bytes without the zeros that the file was made with.
fn written(dir: &Path) -> Vec<u8> {
    let mut bytes = fs::read(journal(dir)).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes.truncate(end);
    bytes
}

#[tokio::test]
async fn a_journal_cut_anywhere_loses_only_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, bent) = (dir.path().join("whole"), dir.path().join("bent"));
    let history = filled(&whole).await;
    let bytes = written(&whole);
    // Every length would take minutes; a step that is prime meets every part of a batch.
    for cut in (0..bytes.len())
        .step_by(211)
        .chain([bytes.len() - 1, bytes.len()])
    {
        copy(&whole, &bent);
        fs::write(journal(&bent), &bytes[..cut]).unwrap();
        let said = check(&bent, &history, &format!("cut at {cut} of {}", bytes.len())).await;
        match said {
            Said::Whole => assert_eq!(cut, bytes.len()),
            Said::Lost(report) => assert!(report.commits_lost > 0 && cut < bytes.len(), "{report}"),
            Said::Refused(error) => panic!("cut at {cut}: {error:?}"),
        }
        fs::remove_dir_all(&bent).unwrap();
    }
}

#[tokio::test]
async fn a_write_that_was_never_answered_is_dropped_without_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, bent) = (dir.path().join("whole"), dir.path().join("bent"));
    let history = filled(&whole).await;
    let bytes = written(&whole);
    // The start of one more batch, as a crash in the middle of a write leaves it.
    for torn in [1, 13, 40, 200] {
        copy(&whole, &bent);
        fs::write(journal(&bent), [&bytes[..], &bytes[..torn]].concat()).unwrap();
        let store = EmbeddedTasks::open(&bent, &Options::default()).unwrap();
        let report = store.report();
        assert!(report.is_clean(), "{torn}: {report}");
        assert!(
            report.torn_tail_bytes > 0 && report.torn_tail_bytes <= torn as u64,
            "{report}"
        );
        drop(store);
        assert!(matches!(check(&bent, &history, "torn").await, Said::Whole));
        fs::remove_dir_all(&bent).unwrap();
    }
}

#[tokio::test]
async fn a_bent_byte_in_the_journal_costs_one_commit_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, bent) = (dir.path().join("whole"), dir.path().join("bent"));
    let history = filled(&whole).await;
    let bytes = written(&whole);
    for (n, at) in (0..bytes.len()).step_by(97).enumerate() {
        copy(&whole, &bent);
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (n % 8);
        fs::write(journal(&bent), damaged).unwrap();
        match check(&bent, &history, &format!("bit {} of byte {at}", n % 8)).await {
            Said::Whole => {}
            Said::Lost(report) => assert!(report.commits_lost <= 1, "byte {at}: {report}"),
            Said::Refused(error) => panic!("byte {at}: {error:?}"),
        }
        fs::remove_dir_all(&bent).unwrap();
    }
}

/// Every file below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push(path)
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn any_other_file_cut_bent_or_gone_is_noticed_or_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, bent) = (dir.path().join("whole"), dir.path().join("bent"));
    let history = filled(&whole).await;
    for file in files(&whole.join("store")) {
        let name = file.strip_prefix(&whole).unwrap().to_owned();
        let bytes = fs::read(&file).unwrap();
        if name.extension().is_some_and(|extension| extension == "jnl") {
            continue;
        }
        let step = (bytes.len() / 12).max(1);
        let bends = (0..bytes.len()).step_by(step).map(|at| {
            let mut bent = bytes.clone();
            bent[at] ^= 0x10;
            (format!("byte {at}"), Some(bent))
        });
        let half = bytes.len() / 2;
        let cuts = [
            ("cut".to_owned(), Some(bytes[..half].to_vec())),
            ("gone".to_owned(), None),
        ];
        for (what, damaged) in bends.chain(cuts) {
            copy(&whole, &bent);
            match damaged {
                Some(damaged) => fs::write(bent.join(&name), damaged).unwrap(),
                None => fs::remove_file(bent.join(&name)).unwrap(),
            }
            check(&bent, &history, &format!("{}: {what}", name.display())).await;
            fs::remove_dir_all(&bent).unwrap();
        }
    }
}

#[tokio::test]
async fn a_journal_that_is_gone_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let history = filled(dir.path()).await;
    fs::remove_file(journal(dir.path())).unwrap();
    let said = check(dir.path(), &history, "no journal").await;
    assert!(
        matches!(&said, Said::Lost(report) if report.commits_lost >= 15),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_journal_that_is_gone_takes_no_table_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let history = packed(dir.path()).await;
    fs::remove_file(journal(dir.path())).unwrap();
    let said = check(dir.path(), &history, "no journal").await;
    assert!(matches!(said, Said::Whole), "{said:?}");
}

#[tokio::test]
async fn a_salvage_misses_the_journal_also_where_a_filter_is_bent() {
    let dir = tempfile::tempdir().unwrap();
    packed(dir.path()).await;
    let store = EmbeddedTasks::open(dir.path(), &Options::default()).unwrap();
    stored(&store, 1_000_000).await;
    store.close().await.unwrap();
    drop(store);
    fs::remove_file(journal(dir.path())).unwrap();
    let table = tables(dir.path()).remove(0);
    let mut bytes = fs::read(&table).unwrap();
    let (begin, trailer) = contents(&bytes);
    // A section's name comes after its place and its length, and the name's own length.
    let name = bytes[begin..trailer]
        .windows(6)
        .position(|name| name == b"filter");
    let place = begin + name.unwrap() - 18;
    let place = u64::from_le_bytes(bytes[place..place + 8].try_into().unwrap());
    bytes[usize::try_from(place).unwrap() + 40] ^= 1;
    fs::write(&table, bytes).unwrap();
    let report = EmbeddedTasks::salvage(dir.path()).unwrap();
    assert_eq!(
        (report.records, report.commits_lost),
        (TASKS, 1),
        "{report}"
    );
}

/// A closed store with more than fits into memory, so that most of it lies in tables.
async fn filled_tables(dir: &Path) -> History {
    let mut history = filled(dir).await;
    let store = EmbeddedTasks::open(dir, &Options::default()).unwrap();
    for n in TASKS..TASKS + 250 {
        history.insert(n, vec![put(&store, n).await]);
    }
    drop(store);
    let mut waited = 0;
    while tables(dir).is_empty() {
        // Tables are written in the background; an opening writes what a drop left.
        drop(EmbeddedTasks::open(dir, &Options::default()).unwrap());
        waited += 1;
        assert!(waited < 100, "no table was written");
    }
    history
}

fn tables(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir.join("store/db/keyspaces/1/tables")).map_or(Vec::new(), |entries| {
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .collect()
    })
}

#[tokio::test]
async fn a_damaged_table_is_refused_or_told_and_can_be_salvaged() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, bent) = (dir.path().join("whole"), dir.path().join("bent"));
    let history = filled_tables(&whole).await;
    let table = tables(&whole).remove(0);
    let name = table.strip_prefix(&whole).unwrap().to_owned();
    let bytes = fs::read(&table).unwrap();
    let (mut refused, mut salvaged) = (0, 0);
    // Payloads fill most of the table; the records and the table's own parts get their share too.
    let heads = bytes
        .windows(10)
        .enumerate()
        .filter(|(_, key)| *key == b"hacme#ann#");
    let heads = heads.map(|(at, _)| at + 30).step_by(40);
    let even = (0..8).map(|part| bytes.len() * part / 8);
    let end = (1..8).map(|part| bytes.len() - 700 * part);
    let places: Vec<usize> = heads
        .chain(even)
        .chain(end)
        .chain([bytes.len() - 1])
        .collect();
    for at in &places {
        let at = *at;
        copy(&whole, &bent);
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x20;
        fs::write(bent.join(&name), damaged).unwrap();
        let place = format!("byte {at} of {}", bytes.len());
        let store = EmbeddedTasks::open(&bent, &Options::default());
        match store {
            Ok(store) => _ = serves_the_truth(&store, &history, &place).await,
            Err(OpenError::Damaged { .. }) => refused += 1,
            Err(error) => panic!("{place}: {error:?}"),
        }
        match EmbeddedTasks::salvage(&bent) {
            Ok(report) => {
                let store = EmbeddedTasks::open(&bent, &Options::default()).unwrap();
                assert!(store.report().is_clean(), "{place}: {}", store.report());
                let whole = serves_the_truth(&store, &history, &place).await;
                assert!(
                    whole || !report.is_clean(),
                    "{place}: a silent loss: {report}"
                );
                assert!(report.records > 0, "{place}: {report}");
                assert!(bent.join("damaged/store-1/db").is_dir());
                salvaged += 1;
            }
            Err(OpenError::Damaged { .. }) => {}
            Err(error) => panic!("{place}: {error:?}"),
        }
        fs::remove_dir_all(&bent).unwrap();
    }
    println!(
        "{refused} refused, {salvaged} salvaged of {} places",
        places.len()
    );
    assert!(
        refused > 3 && salvaged > 8,
        "{refused} refused, {salvaged} salvaged"
    );
}

#[tokio::test]
async fn a_damaged_list_of_tables_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, bent) = (dir.path().join("whole"), dir.path().join("bent"));
    filled_tables(&whole).await;
    let current = fs::read(whole.join("store/db/keyspaces/1/current")).unwrap();
    let version = u64::from_le_bytes(current[..8].try_into().unwrap());
    for name in ["current".to_owned(), format!("v{version}")] {
        let name = Path::new("store/db/keyspaces/1").join(name);
        let bytes = fs::read(whole.join(&name)).unwrap();
        copy(&whole, &bent);
        for at in (0..bytes.len()).step_by(17) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            fs::write(bent.join(&name), damaged).unwrap();
            for opened in [
                EmbeddedTasks::open(&bent, &Options::default()).map(drop),
                EmbeddedTasks::salvage(&bent).map(drop),
            ] {
                assert!(
                    matches!(opened, Err(OpenError::Damaged { .. })),
                    "byte {at} of {}: {opened:?}",
                    name.display()
                );
            }
        }
        fs::remove_dir_all(&bent).unwrap();
    }
}

/// A closed store all of which is in tables, each a few KiB long.
async fn packed(dir: &Path) -> History {
    let history = filled(dir).await;
    lift_embedded::compact(dir).unwrap();
    history
}

/// Where a table's contents begin, and where what says so begins: `SFA!`, 1, 0, a checksum (16
/// bytes), where the contents begin (u64), and their length (u64), which nothing reads.
fn contents(table: &[u8]) -> (usize, usize) {
    let trailer = table.len() - 38;
    assert_eq!(&table[trailer..trailer + 6], b"SFA!\x01\0");
    let begin = table[trailer + 22..trailer + 30].try_into().unwrap();
    (usize::try_from(u64::from_le_bytes(begin)).unwrap(), trailer)
}

#[tokio::test]
async fn a_table_whose_contents_are_bent_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, bent) = (dir.path().join("whole"), dir.path().join("bent"));
    packed(&whole).await;
    let table = tables(&whole).remove(0);
    let name = table.strip_prefix(&whole).unwrap().to_owned();
    let bytes = fs::read(&table).unwrap();
    let (begin, trailer) = contents(&bytes);
    copy(&whole, &bent);
    // The upper bits: what a length becomes by them is more than there is room for.
    let count = begin..begin + 8;
    let sections = (begin + 8..trailer).step_by(5);
    for at in count.chain(sections).chain(trailer..bytes.len() - 8) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x80;
        is_refused(&bent, &name, &damaged, &format!("byte {at}"));
    }
    for cut in [0, 1, 37, 38, begin, begin + 8, trailer, bytes.len() - 1] {
        is_refused(&bent, &name, &bytes[..cut], &format!("cut to {cut}"));
    }
}

/// Has both ways in refuse a store one of whose tables has become this.
fn is_refused(dir: &Path, name: &Path, table: &[u8], place: &str) {
    fs::write(dir.join(name), table).unwrap();
    for opened in [
        EmbeddedTasks::open(dir, &Options::default()).map(drop),
        EmbeddedTasks::salvage(dir).map(drop),
    ] {
        let Err(error @ OpenError::Damaged { .. }) = opened else {
            panic!("{place}: {opened:?}");
        };
        let said = lift::error::chain(&error);
        assert!(said.contains(name.to_str().unwrap()), "{place}: {said}");
    }
}

#[tokio::test]
async fn a_table_that_was_never_finished_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, left) = (dir.path().join("whole"), dir.path().join("left"));
    let history = packed(&whole).await;
    let bytes = fs::read(tables(&whole).remove(0)).unwrap();
    // A process that is killed while it writes one leaves it, and no list names it.
    let unfinished = left.join("store/db/keyspaces/1/tables/999999");
    for cut in [0, 20, bytes.len() / 2] {
        copy(&whole, &left);
        fs::write(&unfinished, &bytes[..cut]).unwrap();
        let said = check(&left, &history, &format!("cut to {cut}")).await;
        assert!(matches!(said, Said::Whole), "{said:?}");
        assert!(!unfinished.exists());
        fs::remove_dir_all(&left).unwrap();
    }
}
