//! The long-running work: a request and a lease come in, a result or a typed failure goes out.

pub mod claim;
pub mod failure;
pub mod output;
mod work;
pub mod process_data;
pub mod generate_report;
pub mod bulk_operation;
pub mod export_collection;

use lift::error::{Code, Error, Field};
use lift::extract::{Payload, State, TenantActivity};
use lift::id::{Owner, RequestId};
use lift::task::handle::{Stopped, Task};
use serde::Serialize;

use self::bulk_operation::{Bulk, BulkOperation};
use self::claim::{Ended, Flow, Hooks, Job};
use self::export_collection::{ExportCollection, Exports};
use self::failure::Failure;
use self::generate_report::{GenerateReport, Reports};
use self::process_data::{Engine, ProcessData};
use crate::objects::{Tenant, WorkId};

/// What `process_data` refuses at once: names, a missing input, a taken output.
pub(crate) async fn check_process_data(
    Payload(request): Payload<ProcessData>,
    owner: Owner,
    State(engine): State<Engine>,
) -> Result<(), Error> {
    let checked = engine.precheck(&tenant(&owner)?, &request).await;
    checked.map_err(error)
}

/// Runs one claim of a `process_data`.
pub(crate) async fn process_data(
    Payload(request): Payload<ProcessData>,
    owner: Owner,
    request_id: RequestId,
    State(engine): State<Engine>,
    task: Task,
) -> Result<process_data::Outcome, Error> {
    let job = job(&owner, request_id, &task, request)?;
    let (resumed, mut lease) = (task.resumed_from(), Lease(task.clone()));
    ended(engine.run(&job, resumed, &mut lease).await, &task)
}

/// What `generate_report` refuses at once: days, names, a taken output.
pub(crate) async fn check_generate_report(
    Payload(request): Payload<GenerateReport>,
    owner: Owner,
    State(reports): State<Reports>,
) -> Result<(), Error> {
    let checked = reports.precheck(&tenant(&owner)?, &request).await;
    checked.map_err(error)
}

/// Runs one claim of a `generate_report`.
pub(crate) async fn generate_report(
    Payload(request): Payload<GenerateReport>,
    owner: Owner,
    request_id: RequestId,
    State(reports): State<Reports>,
    activity: TenantActivity,
    task: Task,
) -> Result<generate_report::Outcome, Error> {
    let job = job(&owner, request_id, &task, request)?;
    let (resumed, mut lease) = (task.resumed_from(), Lease(task.clone()));
    ended(
        reports.run(&job, &activity, resumed, &mut lease).await,
        &task,
    )
}

/// What `bulk_operation` refuses at once: names, items, a missing input, a taken output.
pub(crate) async fn check_bulk_operation(
    Payload(request): Payload<BulkOperation>,
    owner: Owner,
    State(bulk): State<Bulk>,
) -> Result<(), Error> {
    let checked = bulk.precheck(&tenant(&owner)?, &request).await;
    checked.map_err(error)
}

/// Runs one claim of a `bulk_operation`.
pub(crate) async fn bulk_operation(
    Payload(request): Payload<BulkOperation>,
    owner: Owner,
    request_id: RequestId,
    State(bulk): State<Bulk>,
    task: Task,
) -> Result<bulk_operation::Outcome, Error> {
    let job = job(&owner, request_id, &task, request)?;
    let ran = bulk.run(&job, &mut Lease(task.clone())).await;
    ended(ran, &task)
}

/// What `export_collection` refuses at once: names, a taken output.
pub(crate) async fn check_export_collection(
    Payload(request): Payload<ExportCollection>,
    owner: Owner,
    State(exports): State<Exports>,
) -> Result<(), Error> {
    let checked = exports.precheck(&tenant(&owner)?, &request).await;
    checked.map_err(error)
}

/// Runs one claim of an `export_collection`.
pub(crate) async fn export_collection(
    Payload(request): Payload<ExportCollection>,
    owner: Owner,
    request_id: RequestId,
    State(exports): State<Exports>,
    task: Task,
) -> Result<export_collection::Outcome, Error> {
    let job = job(&owner, request_id, &task, request)?;
    let ran = exports.run(&job, &mut Lease(task.clone())).await;
    ended(ran, &task)
}

/// Removes what a request that has ended kept for its claims as objects.
pub(crate) async fn clean_up(
    request_id: RequestId,
    State(engine): State<Engine>,
) -> Result<(), Error> {
    let id = work_id(request_id)?;
    engine.abandon(&id).await.map_err(error)
}

/// The same of `bulk_operation`, which keeps rows beside the records, too.
pub(crate) async fn clean_up_bulk_operation(
    request_id: RequestId,
    State(bulk): State<Bulk>,
) -> Result<(), Error> {
    bulk.abandon(&work_id(request_id)?).await.map_err(error)
}

/// The framework's side of a run.
struct Lease(Task);

fn flow(kept: Result<(), Stopped>) -> Flow {
    kept.map_or(Flow::Stop, |()| Flow::Continue)
}

impl<C: Serialize + Sync> Hooks<C> for Lease {
    async fn progress(&mut self, percentage: f64, message: &str) -> Flow {
        flow(self.0.progress(percentage, message).await)
    }

    async fn checkpoint(&mut self, checkpoint: &C) -> Flow {
        flow(self.0.checkpoint(checkpoint).await)
    }

    async fn commit(&mut self) -> Flow {
        flow(self.0.commit().await)
    }
}

fn job<R>(owner: &Owner, request_id: RequestId, task: &Task, request: R) -> Result<Job<R>, Error> {
    Ok(Job {
        tenant: tenant(owner)?,
        request_id: work_id(request_id)?,
        claim: task.claim(),
        request,
    })
}

fn ended<O>(ran: Result<Ended<O>, Failure>, task: &Task) -> Result<O, Error> {
    match ran {
        Ok(Ended::Finished(outcome)) => Ok(outcome),
        Ok(Ended::Stopped) => Err(task.stop_requested().unwrap_or(Stopped::LeaseLost).into()),
        Err(failure) => Err(error(failure)),
    }
}

fn tenant(owner: &Owner) -> Result<Tenant, Error> {
    Tenant::parse(owner.tenant.as_str())
        .ok_or_else(|| Error::internal("a tenant id of the framework is none of the service"))
}

fn work_id(request_id: RequestId) -> Result<WorkId, Error> {
    WorkId::parse(&request_id.to_string())
        .ok_or_else(|| Error::internal("a request id is no name of a folder"))
}

fn error(failure: Failure) -> Error {
    let (text, is_retryable) = (failure.to_string(), failure.is_retryable());
    match failure {
        Failure::Invalid(problems) => Error::invalid_fields(
            problems
                .into_iter()
                .map(|problem| Field::new(problem.pointer, problem.message))
                .collect(),
        ),
        Failure::NotFound(_) => Error::new(Code::NotFound, text),
        Failure::Conflict { .. } => Error::new(Code::Conflict, text),
        Failure::Storage(cause) => Error::internal(cause).retry(),
        failure => {
            let failed = Error::new(Code::TaskFailed, text).with_details(&failure.details());
            if is_retryable { failed.retry() } else { failed }
        }
    }
}
