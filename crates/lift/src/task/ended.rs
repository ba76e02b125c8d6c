//! A request that has ended comes in; those who wait for it are told, and its action cleans up.

use futures_util::future::join_all;

use super::handle::Task;
use super::record::{Outcome, Record};
use crate::app::Inner;
use crate::json::Json;
use crate::outbound::{PostError, ROOM_TIMEOUT};
use crate::request::{Audience, Follow};

/// Counts an end, and says it on the span of the claim or message that it came with.
fn counted(record: &Record) {
    let Some(end) = &record.terminal else { return };
    let outcome = match &end.outcome {
        Outcome::Completed(_) => "ok",
        Outcome::Failed(error) => {
            let code = error.code.as_str();
            tracing::Span::current().record("outcome", code);
            code
        }
        Outcome::Cancelled => "cancelled",
    };
    let action = record.action.clone();
    metrics::counter!("lift_tasks_total", "action" => action.clone(), "outcome" => outcome)
        .increment(1);
    metrics::histogram!("lift_task_seconds", "action" => action)
        .record(end.at.since(record.created_at));
}

impl Inner {
    /// Tells the connections of a request that has just ended, and lets its action clean up.
    pub(crate) async fn ended(&self, record: &Record) {
        counted(record);
        let after = self
            .app
            .actions
            .get(&record.action)
            .and_then(|action| action.after.as_ref());
        let cleaned = async {
            let Some(after) = after else { return };
            let context = self.task_context(record, Json::null(), Task::unattended());
            if let Err(error) = (after.call)(context).await {
                let error = crate::error::chain(&error);
                tracing::warn!(request_id = %record.key.id, error, "not cleaned up");
            }
        };
        tokio::join!(self.announce(record), cleaned);
    }

    /// Posts the terminal message of an ended request to its connections.
    pub(crate) async fn announce(&self, record: &Record) {
        let Some(message) = self.terminal_message(record).await else {
            return;
        };
        let message = message.to_bytes();
        let told = record.told();
        let posts = told.iter().map(|to| {
            self.backends
                .outbound
                .post_when_room(to, message.clone(), ROOM_TIMEOUT)
        });
        for (to, posted) in told.iter().zip(join_all(posts).await) {
            match posted {
                Ok(()) | Err(PostError::Gone) => {}
                Err(error) => {
                    let follow = Follow {
                        key: record.key.clone(),
                        after_seq: 0,
                        audience: Audience::ThisConnection,
                    };
                    if self.owed.0.try_send((to.clone(), follow)).is_err() {
                        tracing::info!(request_id = %record.key.id, connection = %to, %error, "terminal message waits for a resume");
                    }
                }
            }
        }
    }
}
