//! The process dies at each write to the store, before or after it took effect; a later claim goes on.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    UploadPart,
};
use serde_json::{Value, json};
use streamer::tasks::claim::Ended;
use streamer::tasks::failure::Failure;

use crate::place::{Caller, Place, id, job};

/// Whether the deadly write still happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    Before,
    After,
}

/// A store on which the write of one number, and everything after it, fails.
#[derive(Debug, Clone)]
struct Dying {
    inner: Arc<dyn ObjectStore>,
    writes: Arc<AtomicUsize>,
    last: usize,
    death: Death,
}

fn dead<T>() -> Result<T> {
    Err(Error::Generic {
        store: "Dying",
        source: "the process died".into(),
    })
}

impl Dying {
    fn is_dead(&self) -> bool {
        self.writes.load(Ordering::SeqCst) > self.last
    }

    /// Runs one write, or dies at it.
    async fn write<T>(&self, write: impl Future<Output = Result<T>>) -> Result<T> {
        match self.writes.fetch_add(1, Ordering::SeqCst).cmp(&self.last) {
            std::cmp::Ordering::Less => write.await,
            std::cmp::Ordering::Equal if self.death == Death::After => {
                write.await?;
                dead()
            }
            std::cmp::Ordering::Equal | std::cmp::Ordering::Greater => dead(),
        }
    }
}

impl fmt::Display for Dying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dying")
    }
}

#[async_trait]
impl ObjectStore for Dying {
    async fn put_opts(
        &self,
        at: &Path,
        bytes: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.write(self.inner.put_opts(at, bytes, options)).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = self
            .write(self.inner.put_multipart_opts(at, options))
            .await?;
        Ok(Box::new(DyingUpload {
            store: self.clone(),
            upload,
        }))
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        if self.is_dead() {
            dead()
        } else {
            self.inner.get_opts(at, options).await
        }
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(at, ranges).await
    }

    fn delete_stream(
        &self,
        places: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = async move {
            let deleted = store.inner.delete_stream(places).collect::<Vec<_>>();
            match store.write(async { Ok(deleted.await) }).await {
                Ok(results) => results,
                Err(error) => vec![Err(error)],
            }
        };
        stream::once(delete).flat_map(stream::iter).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.write(self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.write(self.inner.rename_opts(from, to, options)).await
    }
}

#[derive(Debug)]
struct DyingUpload {
    store: Dying,
    upload: Box<dyn MultipartUpload>,
}

#[async_trait]
impl MultipartUpload for DyingUpload {
    fn put_part(&mut self, bytes: PutPayload) -> UploadPart {
        let (store, part) = (self.store.clone(), self.upload.put_part(bytes));
        Box::pin(async move { store.write(part).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let store = self.store.clone();
        store.write(self.upload.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

fn expected() -> String {
    let rows: String = (0..40)
        .filter(|n| n % 5 != 0)
        .map(|n| format!("{n},{}\n", n * n))
        .collect();
    format!("n,square\n{rows}")
}

fn request(overwrite: bool) -> Value {
    let mut operations = vec![
        json!({ "op": "deduplicate", "by": ["n"] }),
        json!({ "op": "top", "n": 40, "by": "n", "order": "asc" }),
    ];
    let multiples = (0..40).step_by(5);
    operations.extend(
        multiples.map(|n| json!({ "op": "filter", "column": "n", "is": "ne", "value": n })),
    );
    let output = json!({ "name": "out.csv", "overwrite": overwrite });
    json!({ "input": "in.csv", "operations": operations, "output": output })
}

/// Dies at write number `last`; then claims again until the end, once more after it, and cleans up. False
/// when the first claim needed no such write.
async fn check(place: Place, last: usize, death: Death, old: Option<&str>) -> bool {
    let note = format!("write {last}, {death:?} it, old output {old:?}");
    let place = place.with(|options| {
        (
            options.checkpoint_rows_max,
            options.chunk_bytes,
            options.part_bytes,
        ) = (15, 30, 40);
    });
    let rows: String = (0..80)
        .map(|n| format!("{},{}\n", n % 40, (n % 40) * (n % 40)))
        .collect();
    place.put("in.csv", format!("n,square\n{rows}"));
    if let Some(old) = old {
        place.put("out.csv", old);
    }
    let request = request(old.is_some());
    let dying = Dying {
        inner: place.store(),
        writes: Arc::default(),
        last,
        death,
    };
    let mut caller = Caller::default();
    let first = place
        .engine_over(Arc::new(dying))
        .run(&job("r1", 1, request.clone()), None, &mut caller)
        .await;
    let died = match first {
        Err(Failure::Storage(_)) => true,
        Ok(Ended::Finished(_)) => false,
        other => panic!("{note}: {other:?}"),
    };
    let seen = place.get("out.csv");
    assert!(
        seen.as_deref() == old || seen.as_deref() == Some(&expected()),
        "{note}: the output appears whole or not at all, and here it is {seen:?}"
    );
    for claim in [2, 3] {
        let job = job("r1", claim, request.clone());
        let ended = place
            .engine()
            .run(&job, caller.durable.clone(), &mut caller)
            .await;
        let Ok(Ended::Finished(outcome)) = ended else {
            panic!("{note}, claim {claim}: {ended:?}")
        };
        assert_eq!(
            place.get("out.csv").as_deref(),
            Some(&*expected()),
            "{note}"
        );
        assert_eq!(
            (outcome.rows_in, outcome.rows_out, outcome.bytes),
            (80, 32, expected().len() as u64)
        );
        assert_eq!(outcome.preview.len(), 32);
    }
    place.engine().abandon(&id("r1")).await.unwrap();
    assert_eq!(place.work(), Vec::<String>::new(), "{note}");
    let files = place.below("objects").len();
    assert_eq!(files, 2, "{note}: input and output, nothing else");
    died
}

#[tokio::test]
async fn a_death_at_any_write_loses_and_doubles_nothing() {
    for place in Place::each() {
        for old in [None, Some("old\n1\n")] {
            for death in [Death::Before, Death::After] {
                let mut last = 0;
                while check(place.fresh(), last, death, old).await {
                    last += 1;
                }
                assert!(last > 15, "only {last} writes were seen");
            }
        }
    }
}

/// More than is put with one call.
#[tokio::test]
async fn a_death_at_any_write_of_a_large_output_leaves_it_whole_or_not_at_all() {
    let wide = "x".repeat(8_000);
    let text: String = (0..1_100).map(|n| format!("{n},{wide}\n")).collect();
    let text = format!("n,wide\n{text}");
    let request = crate::place::request("in.csv", json!([]), "out.csv");
    for place in Place::each() {
        let (mut last, mut died) = (0, true);
        while died {
            let place = place.fresh();
            place.put("in.csv", &text);
            let dying = Dying {
                inner: place.store(),
                writes: Arc::default(),
                last,
                death: Death::After,
            };
            let mut caller = Caller::default();
            let first = place
                .engine_over(Arc::new(dying))
                .run(&job("r1", 1, request.clone()), None, &mut caller)
                .await;
            died = first.is_err();
            let seen = place.get("out.csv");
            assert!(
                seen.as_ref().is_none_or(|seen| *seen == text),
                "write {last}"
            );
            let second = place
                .engine()
                .run(
                    &job("r1", 2, request.clone()),
                    caller.durable.clone(),
                    &mut caller,
                )
                .await;
            assert!(
                matches!(second, Ok(Ended::Finished(_))),
                "write {last}: {second:?}"
            );
            assert!(place.get("out.csv").is_some_and(|seen| seen == text));
            last += 1;
        }
        assert!(last > 8, "only {last} writes were seen");
    }
}

#[tokio::test]
async fn a_name_taken_by_a_stranger_at_the_last_moment_is_a_conflict() {
    for place in Place::each() {
        place.put("in.csv", "a\n1\n");
        let request = crate::place::request("in.csv", json!([]), "out.csv");
        // Writes before the move: name, reservation, part, state, output, announcement.
        let dying = Dying {
            inner: place.store(),
            writes: Arc::default(),
            last: 6,
            death: Death::Before,
        };
        let mut caller = Caller::default();
        place
            .engine_over(Arc::new(dying))
            .run(&job("r1", 1, request.clone()), None, &mut caller)
            .await
            .unwrap_err();
        assert!(
            place
                .work()
                .iter()
                .any(|file| file.ends_with("publish.json")),
            "{:?}",
            place.work()
        );
        place.put("out.csv", "theirs");
        let failure = place
            .engine()
            .run(&job("r1", 2, request), caller.durable.clone(), &mut caller)
            .await
            .unwrap_err();
        assert!(matches!(failure, Failure::Conflict { .. }), "{failure}");
        assert_eq!(place.get("out.csv").as_deref(), Some("theirs"));
    }
}
