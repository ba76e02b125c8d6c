//! A message of a scenario comes in; how many bytes it has on the wire goes out.

use crate::{
    payload::{Body, Ids, Known, Template, streamer_id},
    scenario::Message,
};

/// What the client adds, so that a message may be sent again.
const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Renders templates as far as they are known without a run: the first message, and no row of a data file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    seed: u64,
}

impl Sizes {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed }
    }

    fn known(self, client: u64) -> Known<'static> {
        Known {
            client,
            seq: 0,
            seed: self.seed,
            row: None,
        }
    }

    /// The text of a template for a client; the template's own text where it needs what only a run has.
    pub(super) fn rendered(self, template: &str, client: u64) -> String {
        let known = self.known(client);
        let rendered = Template::new(template, Ids::Bare, known).and_then(|it| it.render(known));
        rendered.unwrap_or_else(|_needs_a_run| template.to_owned())
    }

    /// Bytes of the message, and of its payload alone.
    pub(super) fn of(self, message: &Message) -> (u64, u64) {
        let known = self.known(0);
        if let Some(text) = &message.text {
            let bytes = length(&self.rendered(text, 0));
            return (bytes, bytes);
        }
        let rendered = Body::new(message, known).and_then(|body| body.payload(known));
        let payload_bytes = match (&message.payload, rendered) {
            (None, _) => 0,
            (Some(_), Ok(payload)) => length(payload.get()),
            (Some(payload), Err(_needs_a_run)) => length(&payload.to_string()),
        };
        let action = message.action.as_deref().unwrap_or_default();
        let envelope = format!(
            r#"{{"id":"{}","action":"{action}","payload":,"idempotency_key":"{KEY}"}}"#,
            streamer_id(0, 0)
        );
        (length(&envelope) + payload_bytes, payload_bytes)
    }
}

fn length(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}
