//! In: where to damage the files of a store, and how. Out: a panic where it is opened or salvaged with something invented or missed in silence.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use lift::clock::Timestamp;
use lift::error::StoreError;
use lift::id::{ConnectionId, Owner, RequestId};
use lift::json::Json;
use lift::task::record::{Idempotency, Key, NewTask, Outcome, Record, ResultAt};
use lift::task::store::{ActivityQuery, ListQuery, Put, TaskStore};
use lift::task::transition::{Applied, Transition};
use lift_embedded::{EmbeddedTasks, OpenError, Options};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

const TASKS: u64 = 6;
const START: Timestamp = Timestamp::from_millis(1_750_000_000_000);
const LEASE: Duration = Duration::from_secs(15);

/// A file of the store: its name, what was written, and its length with the zeros after that.
struct Part {
    name: PathBuf,
    bytes: Vec<u8>,
    len: u64,
}

struct World {
    tokio: Runtime,
    parts: Vec<Part>,
    /// Every image that a record ever had, by request.
    history: BTreeMap<u64, Vec<Record>>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let tokio = Builder::new_current_thread().enable_time().build();
    let tokio = tokio.expect("a runtime without sockets");
    let dir = place();
    let history = tokio.block_on(filled(dir.path()));
    let mut parts = Vec::new();
    read_all(dir.path(), Path::new(""), &mut parts);
    // The journal first, then the witness: they are what a crash meets.
    parts.sort_by_key(|part| (!part.is_journal(), !part.is_witness(), part.name.clone()));
    World {
        tokio,
        parts,
        history,
    }
});

impl Part {
    fn is_journal(&self) -> bool {
        self.name
            .extension()
            .is_some_and(|extension| extension == "jnl")
    }

    fn is_witness(&self) -> bool {
        self.name.ends_with("witness")
    }
}

/// A directory in memory, where there is one.
fn place() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    made.expect("a temporary directory")
}

fn read_all(root: &Path, below: &Path, parts: &mut Vec<Part>) {
    for entry in fs::read_dir(root.join(below))
        .expect("a directory")
        .flatten()
    {
        let name = below.join(entry.file_name());
        if entry.path().is_dir() {
            read_all(root, &name, parts);
        } else {
            let mut bytes = fs::read(entry.path()).expect("a file");
            let len = bytes.len() as u64;
            bytes.truncate(
                bytes
                    .iter()
                    .rposition(|byte| *byte != 0)
                    .map_or(0, |last| last + 1),
            );
            parts.push(Part { name, bytes, len });
        }
    }
}

fn owner() -> Owner {
    Owner::new("acme", "ann").expect("both are names")
}

fn key(n: u64) -> Key {
    Key {
        owner: owner(),
        id: RequestId::from_parts(START, u128::from(n)),
    }
}

fn input(n: u64) -> Json {
    Json::parse(format!("[{n},\"xxxxxxxxxx\"]")).expect("JSON")
}

async fn put(store: &EmbeddedTasks, n: u64) -> Record {
    let idempotency = Some(Idempotency {
        key: format!("k{n}"),
        payload_hash: "h".to_owned(),
    });
    let new = NewTask {
        key: key(n),
        client_id: Some(format!("c{n}")),
        action: "sum".to_owned(),
        metadata: BTreeMap::new(),
        input: input(n),
        connection: ConnectionId::new("one="),
        idempotency,
        created_at: START,
        start_after: Duration::ZERO,
        timeout: Duration::from_secs(3600),
        keep: Duration::from_secs(7 * 24 * 3600),
        queued_max: usize::MAX,
    };
    match store.put(new).await {
        Ok(Put::Stored(record)) => *record,
        other => panic!("request {n}: {other:?}"),
    }
}

/// A store with requests in every state.
async fn filled(dir: &Path) -> BTreeMap<u64, Vec<Record>> {
    let mut store = EmbeddedTasks::open(dir, &Options::default()).expect("a new store");
    let mut history = BTreeMap::new();
    for n in 0..TASKS {
        if n == TASKS / 2 {
            // What is there by then goes from the journal to tables.
            store.close().await.expect("an open store");
            drop(store);
            lift_embedded::compact(dir).expect("a closed store");
            store = EmbeddedTasks::open(dir, &Options::default()).expect("a store");
        }
        let mut images = vec![put(&store, n).await];
        let renew = Transition::Renew {
            claim: 1,
            lease: LEASE,
            progress: None,
            checkpoint: None,
        };
        let result = Some(Json::parse(format!("{{\"sum\":{n}}}")).expect("JSON"));
        let outcome = Outcome::Completed(ResultAt::Beside);
        let finish = Transition::Finish {
            claim: 1,
            outcome,
            n: 1,
            result,
        };
        let steps = [Transition::Claim { lease: LEASE }, renew, finish];
        for (at, step) in steps
            .into_iter()
            .take(usize::try_from(n % 4).unwrap_or(0))
            .enumerate()
        {
            let now = START + Duration::from_secs(1 + at as u64);
            match store.apply(&key(n), step, now).await {
                Ok(Applied::Done(record)) => images.push(*record),
                other => panic!("request {n}: {other:?}"),
            }
        }
        history.insert(n, images);
    }
    store.close().await.expect("an open store");
    history
}

/// One run.
pub(crate) fn run(data: &[u8]) {
    _ = check(&mut Unstructured::new(data));
}

fn check(script: &mut Unstructured<'_>) -> Result<()> {
    let world = &*WORLD;
    let dir = place();
    let salvages = script.arbitrary::<u8>()? & 1 == 1;
    let mut bytes: Vec<Vec<u8>> = world.parts.iter().map(|part| part.bytes.clone()).collect();
    let mut witness_bent = false;
    let mut gone = None;
    while !script.is_empty() {
        let choice = usize::from(script.arbitrary::<u8>()?);
        // Much of the damage goes where most of the bytes are.
        let at = if choice < 96 {
            0
        } else {
            choice % world.parts.len()
        };
        witness_bent |= world.parts[at].is_witness();
        if script.ratio(1, 50)? {
            gone = Some(at);
        } else {
            damage(&mut bytes[at], script)?;
        }
    }
    for (at, (part, bytes)) in world.parts.iter().zip(&bytes).enumerate() {
        let path = dir.path().join(&part.name);
        fs::create_dir_all(path.parent().expect("below the directory")).expect("a directory");
        if gone != Some(at) {
            let file = File::create(path).expect("a file");
            let cut = bytes.len() < part.bytes.len();
            file.set_len(if cut { bytes.len() as u64 } else { part.len })
                .expect("a sparse file");
            file.write_all_at(bytes, 0).expect("room in memory");
        }
    }
    let is_told =
        |error: &OpenError| matches!(error, OpenError::Damaged { .. } | OpenError::Format { .. });
    let said = match salvages
        .then(|| EmbeddedTasks::salvage(dir.path()))
        .transpose()
    {
        Ok(said) => said,
        Err(error) if is_told(&error) => return Ok(()),
        Err(error) => panic!("{error:?}"),
    };
    match EmbeddedTasks::open(dir.path(), &Options::default()) {
        Ok(store) => world.tokio.block_on(async {
            let Served { whole, told } = serves_the_truth(&store, &world.history).await;
            let clean =
                store.report().is_clean() && said.as_ref().is_none_or(|said| said.is_clean());
            // Without its second memory a store cannot know how far it came.
            assert!(
                whole || told || !clean || witness_bent,
                "a silent loss: {}",
                store.report()
            );
            for lost in &store.report().lost {
                let kept = fs::metadata(&lost.kept).expect("bytes kept aside").len();
                assert_eq!(kept, lost.bytes, "bytes kept aside");
            }
            _ = store.close().await;
        }),
        Err(error) if said.is_none() && is_told(&error) => {}
        Err(error) => panic!("salvaged: {said:?}; {error:?}"),
    }
    Ok(())
}

/// Bends, cuts, moves or blanks some bytes.
fn damage(bytes: &mut Vec<u8>, script: &mut Unstructured<'_>) -> Result<()> {
    let (how, at, value) = (
        script.arbitrary::<u8>()?,
        script.arbitrary::<u16>()?,
        script.arbitrary::<u8>()?,
    );
    let at = usize::from(at) % bytes.len().max(1);
    let end = (at + usize::from(value)).min(bytes.len());
    match how % 5 {
        0 => bytes.truncate(at),
        1 => bytes.get_mut(at..end).unwrap_or_default().fill(0),
        2 => {
            let copied = bytes.get(at..end).unwrap_or_default().to_vec();
            let to = usize::from(script.arbitrary::<u16>()?) % bytes.len().max(1);
            let room = bytes.get_mut(to..).unwrap_or_default();
            room.iter_mut()
                .zip(copied)
                .for_each(|(byte, from)| *byte = from);
        }
        _ => bytes
            .get_mut(at..end.min(at + 1))
            .unwrap_or_default()
            .iter_mut()
            .for_each(|byte| *byte ^= value),
    }
    Ok(())
}

/// What a store gave back of what was put into it.
struct Served {
    /// Nothing is missing or old.
    whole: bool,
    /// Something could not be read, and whoever asked for it was told so.
    told: bool,
}

/// Nothing is invented.
async fn serves_the_truth(store: &EmbeddedTasks, history: &BTreeMap<u64, Vec<Record>>) -> Served {
    let (mut whole, mut told) = (true, false);
    for (n, images) in history {
        let record = match store.get(&key(*n)).await {
            Ok(record) => record.map(|record| as_before_the_opening(record, images)),
            Err(StoreError::Corrupt(_)) => {
                told = true;
                None
            }
            Err(error) => panic!("request {n}: {error:?}"),
        };
        if let Some(record) = &record {
            assert!(images.contains(record), "request {n} was never {record:?}");
        }
        whole &= record.as_ref() == images.last();
        match store.input(&key(*n)).await {
            Ok(Some(found)) => assert!(
                found == input(*n) && record.is_some(),
                "request {n}: an invented input"
            ),
            Ok(None) => whole = false,
            Err(StoreError::Corrupt(_)) => told = true,
            Err(error) => panic!("request {n}: {error:?}"),
        }
    }
    let query = ListQuery {
        limit: 1_000,
        ..ListQuery::default()
    };
    let listed = store.list(&owner(), &query).await.map(|page| page.records);
    for record in listed.iter().flatten() {
        assert!(
            (0..TASKS).any(|n| key(n) == record.key),
            "{:?} was never asked for",
            record.key
        );
    }
    let query = ActivityQuery {
        from: START,
        until: START + LEASE,
        after: None,
        limit: 1_000,
    };
    match (store.activity(&owner().tenant, &query).await, listed) {
        (Ok(page), Ok(listed)) => {
            assert_eq!(page.requests.len(), listed.len(), "all are found by time")
        }
        (Err(StoreError::Corrupt(_)), _) | (_, Err(StoreError::Corrupt(_))) => {}
        (page, listed) => panic!("{page:?}, {listed:?}"),
    }
    Served { whole, told }
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
