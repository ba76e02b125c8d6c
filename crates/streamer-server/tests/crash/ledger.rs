//! What one client was told, frame by frame: raw messages come in, a broken promise panics.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

/// One request as its client knows it.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The object that it writes.
    pub(crate) output: String,
    /// Everything that was said with a `seq`: one `seq` is one content.
    said: BTreeMap<u64, Value>,
    terminal: Option<(u64, Value)>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) acknowledged: HashMap<String, Told>,
    /// The request that each idempotency key stands for.
    keys: HashMap<String, String>,
    pub(crate) frames: u64,
}

impl Told {
    pub(crate) fn terminal(&self) -> Option<&Value> {
        self.terminal.as_ref().map(|(_, message)| message)
    }

    /// The highest `seq` that was seen.
    pub(crate) fn seen(&self) -> u64 {
        self.said.keys().next_back().copied().unwrap_or(0)
    }

    fn enter(&mut self, message: Value) {
        let seq = message["seq"]
            .as_u64()
            .unwrap_or_else(|| panic!("no seq: {message}"));
        if let Some(before) = self.said.get(&seq) {
            assert_eq!(before, &message, "one seq, two contents");
            return;
        }
        let is_progress = message["type"] == "progress";
        if let Some((last, terminal)) = &self.terminal {
            assert!(
                is_progress && seq < *last,
                "after its end {terminal} came {message}"
            );
        }
        if is_progress {
            let percentage = |of: &Value| of["percentage"].as_f64().unwrap();
            let below = self.said.range(..seq).next_back().map(|(_, before)| before);
            let above = self
                .said
                .range(seq..)
                .map(|(_, after)| after)
                .find(|after| after["type"] == "progress");
            let rises = |a: Option<&Value>, b: Option<&Value>| match (a, b) {
                (Some(a), Some(b)) => percentage(a) <= percentage(b),
                _ => true,
            };
            let in_order = rises(below, Some(&message)) && rises(Some(&message), above);
            assert!(
                in_order,
                "progress went back: {below:?}, {message}, {above:?}"
            );
        } else {
            assert!(seq > self.seen(), "{message} is not above {}", self.seen());
            self.terminal = Some((seq, message.clone()));
        }
        self.said.insert(seq, message);
    }
}

impl Ledger {
    /// Takes an acknowledgment of a message with this key, if it had one.
    pub(crate) fn acknowledge(
        &mut self,
        message: &Value,
        key: Option<&str>,
        output: &str,
    ) -> String {
        let request = message["request_id"].as_str().unwrap().to_owned();
        if let Some(key) = key {
            let before = self.keys.insert(key.to_owned(), request.clone());
            assert!(
                before.is_none_or(|before| before == request),
                "one key, two requests: {message}"
            );
        }
        let told = self.acknowledged.entry(request.clone()).or_default();
        output.clone_into(&mut told.output);
        request
    }

    /// Takes whatever is said about a request.
    pub(crate) fn enter(&mut self, message: Value) {
        self.frames += 1;
        let request = message["request_id"].as_str().unwrap();
        let told = self.acknowledged.get_mut(request);
        // One that was made durable, but whose acknowledgment the kill took, is not attached to
        // any later connection.
        let told = told.unwrap_or_else(|| panic!("about an unknown request: {message}"));
        told.enter(message);
    }

    pub(crate) fn open(&self) -> Vec<(String, u64)> {
        let open = self
            .acknowledged
            .iter()
            .filter(|(_, told)| told.terminal.is_none());
        open.map(|(request, told)| (request.clone(), told.seen()))
            .collect()
    }
}
