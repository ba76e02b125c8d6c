//! In: a function, its environment's address and log stream. Out: the variables that its processes see.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::launch::Launch;
use crate::plan::{Function, Logging};

/// The credentials of all functions: local endpoints take any, and a stray call to AWS is refused.
///
/// They are the same for all, because `DynamoDB Local` keeps a database for each key. Whose call it
/// is stands in the session token ([`session_token`]).
pub const ACCESS_KEY_ID: &str = "ASIALIFTLOCAL0000000";

/// The secret of [`ACCESS_KEY_ID`].
pub const SECRET_ACCESS_KEY: &str = "liftlocalliftlocalliftlocalliftlocalxxxx";

/// `AWS_SESSION_TOKEN` of a function: `lift/NAME`.
#[must_use]
pub fn session_token(function: &str) -> String {
    format!("lift/{function}")
}

/// What is this process's own and functions may have.
#[derive(Clone, Debug, Default)]
pub(super) struct Inherited {
    pub(super) path: OsString,
    pub(super) home: Option<OsString>,
}

/// What belongs to one environment.
pub(super) struct Facts<'a> {
    pub(super) function: &'a Function,
    pub(super) launch: &'a Launch,
    pub(super) region: &'a str,
    pub(super) api: &'a str,
    pub(super) runtimes: &'a std::path::Path,
    pub(super) log_stream: &'a str,
}

/// All of them ("Lambda environment variables"); later ones win, the reserved ones come last.
pub(super) fn variables(
    facts: &Facts<'_>,
    inherited: &Inherited,
    for_all: &BTreeMap<String, String>,
) -> BTreeMap<String, OsString> {
    let Facts {
        function,
        launch,
        region,
        api,
        runtimes,
        log_stream,
    } = facts;
    let mut all: BTreeMap<String, OsString> = BTreeMap::new();
    let mut set = |name: &str, value: OsString| {
        all.insert(name.to_owned(), value);
    };
    let root = launch.root.as_os_str();
    set("PATH", inherited.path.clone());
    if let Some(home) = &inherited.home {
        set("HOME", home.clone());
    }
    let mut libraries = root.to_owned();
    libraries.push(":");
    libraries.push(launch.root.join("lib"));
    set("LD_LIBRARY_PATH", libraries);
    set("LANG", "en_US.UTF-8".into());
    set("TZ", ":UTC".into());
    set("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID.into());
    set("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY.into());
    set("AWS_SESSION_TOKEN", session_token(&function.name).into());
    for (name, value) in for_all.iter().chain(&function.environment) {
        set(name, value.into());
    }
    set("AWS_LAMBDA_RUNTIME_API", api.into());
    set("AWS_LAMBDA_FUNCTION_NAME", (&function.name).into());
    set("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".into());
    let memory = function.memory_mb.to_string();
    set("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory.into());
    let group = format!("/aws/lambda/{}", function.name);
    set("AWS_LAMBDA_LOG_GROUP_NAME", group.into());
    set("AWS_LAMBDA_LOG_STREAM_NAME", log_stream.into());
    match &function.logging {
        Logging::Text => set("AWS_LAMBDA_LOG_FORMAT", "Text".into()),
        Logging::Json(level) => {
            set("AWS_LAMBDA_LOG_FORMAT", "JSON".into());
            set("AWS_LAMBDA_LOG_LEVEL", level.into());
        }
    }
    set("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".into());
    set("_HANDLER", (&function.handler).into());
    set("LAMBDA_TASK_ROOT", root.to_owned());
    set("LAMBDA_RUNTIME_DIR", runtimes.into());
    set("AWS_REGION", region.into());
    set("AWS_DEFAULT_REGION", region.into());
    if let Some(value) = &launch.execution_env {
        set("AWS_EXECUTION_ENV", value.into());
    }
    all
}
