//! What nobody measured: a default with its reason each, which a caller may replace.

use serde::Serialize;

/// One assumption.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Assumption {
    /// As it is set.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
    /// What that is of.
    pub unit: &'static str,
    /// Why it is that, if nothing else was said.
    pub why: &'static str,
}

macro_rules! assumed {
    ($($name:ident = $value:literal, $unit:literal, $why:literal;)+) => {
        /// All that is assumed.
        #[derive(Debug, Clone, Copy, PartialEq)]
        #[non_exhaustive]
        pub struct Assumed { $(#[doc = $why] pub $name: f64),+ }

        impl Default for Assumed {
            fn default() -> Self {
                Self { $($name: $value),+ }
            }
        }

        impl Assumed {
            /// All of them, in the page's order.
            #[must_use]
            pub fn list(&self) -> Vec<Assumption> {
                vec![$(Assumption {
                    name: stringify!($name),
                    value: self.$name,
                    unit: $unit,
                    why: $why,
                }),+]
            }

            /// Replaces one.
            ///
            /// # Errors
            /// The names that there are, if this is none of them.
            pub fn set(&mut self, name: &str, value: f64) -> Result<(), &'static [&'static str]> {
                match name {
                    $(stringify!($name) => self.$name = value,)+
                    _ => return Err(&[$(stringify!($name)),+]),
                }
                Ok(())
            }
        }
    };
}

assumed! {
    authorizer_ms = 5.0, "ms", "not measured on AWS; a signature checked, no call";
    connect_ms = 12.0, "ms", "not measured on AWS; one write of DynamoDB, some 8 ms from Lambda";
    disconnect_ms = 12.0, "ms", "not measured on AWS; one write of DynamoDB";
    message_ms = 3.0, "ms", "not measured on AWS; 0.033 ms of processor time here (docs/benchmarks.md), Lambda's own part, rounded up";
    control_ms = 12.0, "ms", "not measured on AWS; one or two calls of DynamoDB";
    accept_ms = 20.0, "ms", "not measured on AWS; one transaction of DynamoDB";
    dispatch_ms = 15.0, "ms", "not measured on AWS; one `Event` invoke";
    task_ms = 1000.0, "ms", "how long a task runs is its own affair: set it";
    sweep_ms = 50.0, "ms", "not measured on AWS; 16 queries at once";
    ack_bytes = 180.0, "bytes", "an acknowledgment, or the answer to a control action, as `docs/protocol.md` shows them";
    answer_bytes = 100.0, "bytes", "an answer's envelope; an `echo` has its payload besides, and so is every action counted that is not known here";
    platform_log_bytes = 700.0, "bytes", "Lambda's own lines of an invocation in JSON (`platform.start`, `platform.report`), not measured";
    log_days = 30.0, "days", "`RetentionDays` of the template";
    log_kept_share = 0.15, "of ingested", "CloudWatch keeps lines compressed; the share is its own example's";
    trace_share = 0.05, "of invocations", "X-Ray's default rule: the first each second, and 5 % of the rest";
    head_bytes = 2048.0, "bytes", "a request's head, idempotency row and index entries";
    head_days = 7.0, "days", "`docs/protocol.md`: a request's record lives 7 days";
    object_bytes = 100000.0, "bytes", "outputs, parts and results of one task: set it";
    object_days = 30.0, "days", "outputs stay until somebody deletes them: set it";
}
