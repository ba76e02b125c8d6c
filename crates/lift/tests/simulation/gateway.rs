//! A gateway with weather: connections open and close, posts arrive late, are throttled or meet 410.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use lift::id::ConnectionId;
use lift::outbound::{Post, PostError};
use serde_json::Value;
use tokio::time::sleep;

use crate::dice::Dice;
use crate::ledger::{Ledger, Posted};
use crate::plan::Plan;

/// Clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Gateway {
    /// What arrived at each open connection and was not read yet.
    open: Arc<Mutex<BTreeMap<ConnectionId, Vec<Value>>>>,
    calm: Arc<AtomicBool>,
    dice: Dice,
    ledger: Ledger,
    errors: u64,
}

impl Gateway {
    pub(crate) fn new(plan: &Plan, ledger: &Ledger) -> Self {
        Self {
            open: Arc::default(),
            calm: Arc::default(),
            dice: Dice::new(plan.seed ^ 0x9a7e),
            ledger: ledger.clone(),
            errors: plan.post_errors,
        }
    }

    pub(crate) fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    pub(crate) fn open(&self, connection: &ConnectionId) {
        self.open
            .lock()
            .unwrap()
            .insert(connection.clone(), Vec::new());
    }

    pub(crate) fn is_open(&self, connection: &ConnectionId) -> bool {
        self.open.lock().unwrap().contains_key(connection)
    }

    /// What was not read yet is lost, as it is with a socket.
    pub(crate) fn cut(&self, connection: &ConnectionId) {
        self.open.lock().unwrap().remove(connection);
    }

    pub(crate) fn cut_all(&self) {
        self.open.lock().unwrap().clear();
    }

    pub(crate) fn read(&self, connection: &ConnectionId) -> Vec<Value> {
        let mut open = self.open.lock().unwrap();
        open.get_mut(connection)
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// A frame that the gateway itself carries: an answer, or a post that was let through.
    pub(crate) fn deliver(&self, connection: &ConnectionId, message: &Value) -> bool {
        let mut open = self.open.lock().unwrap();
        let Some(inbox) = open.get_mut(connection) else {
            return false;
        };
        inbox.push(message.clone());
        true
    }
}

#[async_trait]
impl Post for Gateway {
    async fn post(&self, connection: &ConnectionId, message: Bytes) -> Result<(), PostError> {
        let calm = self.calm.load(Ordering::Relaxed);
        let message: Value = serde_json::from_slice(&message).unwrap();
        if !calm && self.dice.chance(200) {
            sleep(self.dice.millis(1, 150)).await;
        }
        if !calm && self.dice.chance(self.errors) {
            let request_id = message["request_id"].as_str().unwrap_or_default();
            let unposted = (connection.as_str().to_owned(), request_id.to_owned());
            self.ledger.facts().unposted.push(unposted);
            return match self.dice.roll(3) {
                0 => Err(PostError::Throttled),
                1 => Err(PostError::Unavailable("no answer".into())),
                _ => {
                    sleep(self.dice.millis(100, 4_000)).await;
                    Err(PostError::Unavailable("no answer in time".into()))
                }
            };
        }
        if !self.deliver(connection, &message) {
            return Err(PostError::Gone);
        }
        self.ledger
            .say(|| format!("post {}: {message}", connection.as_str()));
        let connection = connection.as_str().to_owned();
        let posted = Posted {
            connection,
            message,
        };
        self.ledger.facts().posted.push(posted);
        // The post arrived, but whoever sent it may not hear so.
        if !calm && self.dice.chance(self.errors / 2) {
            return Err(PostError::Unavailable("the answer was lost".into()));
        }
        Ok(())
    }

    async fn close(&self, connection: &ConnectionId) -> Result<(), PostError> {
        self.cut(connection);
        Ok(())
    }
}
