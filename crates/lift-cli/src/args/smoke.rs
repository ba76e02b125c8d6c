//! What was typed for `lift smoke` comes in, as typed fields.

use std::time::Duration;

use clap::Args as Group;

use super::{Access, duration};

pub(super) const SMOKE_EXAMPLES: &str = "\
Examples:
  lift smoke ws://127.0.0.1:7070 --token-file ada.jwt
  lift smoke wss://ID.execute-api.REGION.amazonaws.com/v1 --token-file ada.jwt --data-set a.csv
  lift smoke ws://127.0.0.1:3001/v1 --token-file ada.jwt --json | jq 'select(.outcome == \"failed\")'

One line a check: ok, FAILED or skipped, how long it took, and why. A check that fails does not stop
the others; one that needs what another did not get is skipped. The last line counts them.

The request that is run is a `bulk_operation` which makes and deletes one record. Its outcomes
stay in the object `lift-smoke.ndjson` of the token's tenant, which the next run replaces: a tenant
takes one run at a time. With --data-set it is a `process_data` that counts the rows of an object
into `lift-smoke.csv`. Without one, where there is no `bulk_operation`, what needs a request is
skipped.

The token comes from --token-file, --token or the variable LIFT_TOKEN; of these --token shows in the
list of processes.";

/// `lift smoke`.
#[derive(Debug, Group)]
pub struct SmokeArgs {
    /// `ws://` or `wss://` URL.
    pub url: String,
    /// Who connects, and whom it trusts.
    #[command(flatten)]
    pub access: Access,
    /// Longest time for each check, like `500ms`, `30s`, `5m`.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "15s")]
    pub timeout: Duration,
    /// Object of the token's tenant whose rows the request counts.
    #[arg(long, value_name = "NAME")]
    pub data_set: Option<String>,
    /// Print one JSON object a line for each check, and one for the verdict.
    #[arg(long)]
    pub json: bool,
}
