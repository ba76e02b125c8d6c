//! The long-running work: a request and a lease come in, a result or a typed failure goes out.

pub mod process_data;

use lift::error::{Code, Error, Field};
use lift::extract::{Payload, State};
use lift::id::{Owner, RequestId};
use lift::task::handle::{Stopped, Task};

use self::process_data::{
    Checkpoint, Ended, Engine, Failure, Flow, Hooks, Job, Outcome, ProcessData,
};
use crate::objects::{Tenant, WorkId};

/// Refuses at once what cannot work: names, a missing input, a taken output.
pub(crate) async fn precheck(
    Payload(request): Payload<ProcessData>,
    owner: Owner,
    State(engine): State<Engine>,
) -> Result<(), Error> {
    engine
        .precheck(&tenant(&owner)?, &request)
        .await
        .map_err(error)
}

/// Runs one claim of a request.
pub(crate) async fn process_data(
    Payload(request): Payload<ProcessData>,
    owner: Owner,
    request_id: RequestId,
    State(engine): State<Engine>,
    task: Task,
) -> Result<Outcome, Error> {
    let job = Job {
        tenant: tenant(&owner)?,
        request_id: work_id(request_id)?,
        claim: task.claim(),
        request,
    };
    let resumed: Option<Checkpoint> = task.resumed_from();
    match engine.run(&job, resumed, &mut Lease(task.clone())).await {
        Ok(Ended::Finished(outcome)) => Ok(outcome),
        Ok(Ended::Stopped) => Err(task.stop_requested().unwrap_or(Stopped::LeaseLost).into()),
        Err(failure) => Err(error(failure)),
    }
}

/// Removes what a request that has ended kept for its claims.
pub(crate) async fn clean_up(
    request_id: RequestId,
    State(engine): State<Engine>,
) -> Result<(), Error> {
    engine.abandon(&work_id(request_id)?).await.map_err(error)
}

/// The framework's side of a run.
struct Lease(Task);

fn flow(kept: Result<(), Stopped>) -> Flow {
    kept.map_or(Flow::Stop, |()| Flow::Continue)
}

impl Hooks for Lease {
    async fn progress(&mut self, percentage: f64, message: &str) -> Flow {
        flow(self.0.progress(percentage, message).await)
    }

    async fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Flow {
        flow(self.0.checkpoint(checkpoint).await)
    }

    async fn commit(&mut self) -> Flow {
        flow(self.0.commit().await)
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
    let text = failure.to_string();
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
        failure => Error::new(Code::TaskFailed, text).with_details(&failure.details()),
    }
}
