//! Parts of an output come in; what no checkpoint names goes, and the rest is joined to one staged object.
//!
//! The folder of work holds `part-{claim}-{n}` and `state-{claim}-{rows}` beside what every task has there.

use std::collections::HashMap;

use object_store::path::Path;

use super::checkpoint::Parts;
use crate::tasks::claim::{Flow, Hooks, percentage};
use crate::tasks::failure::Failure;
use crate::tasks::work::Work;

/// Deletes what no checkpoint names; false where something that one names is missing or cut short.
pub(super) async fn keep(
    work: &Work<'_>,
    parts: &[Parts],
    state: Option<&str>,
) -> Result<bool, Failure> {
    let folder = Path::parse(format!("work/{}", work.id.as_str())).map_err(Failure::storage)?;
    let listed = work
        .objects
        .store()
        .list_with_delimiter(Some(&folder))
        .await;
    let mut found: HashMap<String, u64> = listed
        .map_err(Failure::storage)?
        .objects
        .iter()
        .filter_map(|meta| Some((meta.location.filename()?.to_owned(), meta.size)))
        .collect();
    let mut whole = state.is_none_or(|state| found.remove(state).is_some());
    for run in parts {
        let sizes = (0..run.count).map(|n| found.remove(&part(run.claim, n)));
        whole &= sizes.sum::<Option<u64>>() == Some(run.bytes);
    }
    let made = |name: &&String| {
        ["part-", "state-", "output-"]
            .iter()
            .any(|kind| name.starts_with(kind))
    };
    for name in found.keys().filter(made) {
        work.delete(name).await?;
    }
    Ok(whole)
}

/// Joins the parts to one staged object; none where a hook said stop.
pub(super) async fn join<C, H: Hooks<C>>(
    work: &Work<'_>,
    parts: &[Parts],
    hooks: &mut H,
) -> Result<Option<String>, Failure> {
    let mut staging = work.stage()?;
    let total: u64 = parts.iter().map(|run| run.bytes).sum();
    let names = parts
        .iter()
        .flat_map(|run| (0..run.count).map(|n| part(run.claim, n)));
    for name in names {
        let bytes = work.read(&name).await?;
        staging.write(&bytes.ok_or_else(|| missing(&name))?).await?;
        let percentage = percentage(super::engine::READ_END, 1000, staging.bytes, total);
        if hooks.progress(percentage, "publishing the output").await == Flow::Stop {
            staging.abort().await?;
            return Ok(None);
        }
    }
    staging.finish().await.map(Some)
}

/// The name of a claim's part.
pub(super) fn part(claim: u64, n: u64) -> String {
    format!("part-{claim}-{n}")
}

fn missing(name: &str) -> Failure {
    Failure::storage(std::io::Error::new(
        std::io::ErrorKind::NotFound,
        name.to_owned(),
    ))
}
