//! What a client knows: a child's lines come in, and a store is held to them.

use std::collections::BTreeMap;
use std::path::Path;

use lift::task::record::State;
use lift::task::store::{Put, TaskStore};
use lift_embedded::{EmbeddedTasks, Options};

use crate::child::{input, request};
use crate::support::{chain, task};

/// The last step of a request that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Put,
    Claim,
    Checkpoint,
    Finish,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    answered: BTreeMap<u64, Step>,
    /// Lines that are no answers.
    pub(crate) said: Vec<String>,
}

impl Ledger {
    /// Takes one line; true where it is an answer.
    pub(crate) fn enter(&mut self, line: &str) -> bool {
        // The test harness prints its own words on the same line as the child's first.
        let line = line.strip_prefix("test child::child ... ").unwrap_or(line);
        let step = match line.split_once(' ') {
            Some(("put", n)) => Some((Step::Put, n)),
            Some(("claim", n)) => Some((Step::Claim, n)),
            Some(("checkpoint", n)) => Some((Step::Checkpoint, n)),
            Some(("finish", n)) => Some((Step::Finish, n)),
            _ => None,
        };
        let Some((step, n)) = step else {
            self.said.push(line.to_owned());
            return false;
        };
        let Ok(n) = n.parse() else { return false };
        let before = self.answered.insert(n, step);
        assert!(before < Some(step), "{n}: {before:?}, then {step:?}");
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.answered.len()
    }

    /// Opens the store and holds it to every answer. `place` names the run.
    pub(crate) async fn check(&self, dir: &Path, place: &str) {
        let store = EmbeddedTasks::open(dir, &Options::default());
        let store = store.unwrap_or_else(|error| panic!("{place}: {}", chain(error)));
        assert!(store.report().is_clean(), "{place}: {}", store.report());
        for (n, step) in &self.answered {
            let key = task(*n).key;
            let record = store.get(&key).await.unwrap();
            let record = record.unwrap_or_else(|| panic!("{place}: request {n} is lost"));
            let reached = match (record.state, record.claim, record.checkpoint.is_some()) {
                (State::Completed, 1, _) => Step::Finish,
                (State::Running, 1, true) => Step::Checkpoint,
                (State::Running, 1, false) => Step::Claim,
                (State::Queued, 0, false) => Step::Put,
                other => panic!("{place}: request {n} is {other:?}"),
            };
            assert!(
                reached >= *step,
                "{place}: request {n} is {reached:?}, answered {step:?}"
            );
            assert_eq!(
                store.input(&key).await.unwrap(),
                Some(input(*n)),
                "{place}: input {n}"
            );
            let result = store.result(&key).await.unwrap();
            assert_eq!(
                result.is_some(),
                reached == Step::Finish,
                "{place}: result {n}"
            );
            if n % 97 == 0 {
                assert_eq!(
                    store.put(request(*n)).await.unwrap(),
                    Put::Duplicate(key.id),
                    "{place}"
                );
            }
        }
    }
}
