//! In: Lambda's invocations. Out: an app's answers, by the role that the function has.
//!
//! One `bootstrap` serves all roles; what each does with an event is here, and [`serve`] alone knows
//! Lambda's Runtime API.

mod dispatch;
mod naming;
mod processor;
mod role;
mod serve;
mod starts;
mod sweeper;

use std::sync::Arc;

use bytes::Bytes;
use lift::app::Runtime;
use lift::id::ConnectionId;
use lift_apigw::event::RequestContext;
use tokio::time::Instant;

use crate::event::{self, Failure};

pub use dispatch::Dispatch;
pub use naming::by_address;
pub use processor::{Processor, Work};
pub use role::{Role, UnknownRole};
pub use serve::serve;
pub use starts::Starts;
pub use sweeper::{Sweeper, Swept};

/// What an app calls the connection of an event: with the way back to it, so that whoever reads a
/// request can post to those who wait for it.
pub type Naming = Arc<dyn Fn(&RequestContext<'_>) -> ConnectionId + Send + Sync>;

/// One invocation of a function, without its event.
#[derive(Clone, Copy, Debug)]
pub struct Invocation<'a> {
    /// When Lambda ends it.
    pub until: Instant,
    /// The `X-Amzn-Trace-Id` that it came with.
    pub trace: Option<&'a str>,
}

/// What a function does with an event.
#[derive(Clone)]
pub enum Function {
    /// Decides who may connect.
    Authorizer(Runtime),
    /// Answers `$connect`, messages and `$disconnect`.
    Gateway(Runtime, Naming),
    /// Starts a processor for each request that a stream tells of.
    Dispatch(Dispatch),
    /// Runs a request.
    Processor(Processor),
    /// Looks for requests that nobody runs.
    Sweeper(Sweeper),
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Authorizer(_) => "Authorizer",
            Self::Gateway(..) => "Gateway",
            Self::Dispatch(_) => "Dispatch",
            Self::Processor(_) => "Processor",
            Self::Sweeper(_) => "Sweeper",
        })
    }
}

tokio::task_local! {
    static TRACE: Option<String>;
}

/// The trace of the connection, or of the request, that is being handled: what a store keeps with a
/// new request, so that its task goes on in the same trace.
#[must_use]
pub fn current_trace() -> Option<String> {
    TRACE.try_with(Clone::clone).ok().flatten()
}

impl Function {
    /// Answers an event.
    ///
    /// # Errors
    /// See [`Failure`]: Lambda is told that the function failed, and who invoked it decides whether
    /// it is invoked again.
    pub async fn invoke(
        &self,
        event: &[u8],
        invocation: &Invocation<'_>,
    ) -> Result<Bytes, Failure> {
        match self {
            Self::Authorizer(runtime) => event::authorize(runtime, event, invocation.trace).await,
            Self::Gateway(runtime, naming) => gateway(runtime, naming, event).await,
            Self::Dispatch(dispatch) => dispatch.run(event).await,
            Self::Processor(processor) => {
                let work = Work::parse(event)?;
                let trace = work.trace.clone();
                let run = processor.run(&work, invocation.until);
                TRACE.scope(trace, run).await?;
                Ok(Bytes::from_static(b"null"))
            }
            Self::Sweeper(sweeper) => sweeper
                .run(invocation.until)
                .await
                .map(|swept| swept.to_bytes()),
        }
    }
}

async fn gateway(runtime: &Runtime, naming: &Naming, event: &[u8]) -> Result<Bytes, Failure> {
    let event = event::parse(event)?;
    let trace = event::trace(&event);
    let handled = async {
        let handled = event::handle(runtime, &event, |context| naming(context)).await?;
        if let Some(after) = handled.after.filter(|after| !after.is_quiet()) {
            // The environment stands still once it has answered, so that what follows comes first.
            after.run(runtime).await;
        }
        for (connection, _) in runtime.owed_now().await {
            tracing::info!(%connection, "a message waits for a resume or the sweeper");
        }
        Ok(handled.body)
    };
    TRACE.scope(trace, handled).await
}
