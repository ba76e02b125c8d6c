//! In: a function of the plan and what is on the disk. Out: the program that runs it, or what is missing.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::process::Command;

use super::failure::StartError;
use crate::plan::Function;

/// What is known to start here without a `bootstrap`; the newest last.
const RUNTIMES: &[&str] = &[
    "python3.9",
    "python3.10",
    "python3.11",
    "python3.12",
    "python3.13",
    "python3.14",
    "nodejs18.x",
    "nodejs20.x",
    "nodejs22.x",
    "nodejs24.x",
    "provided.al2",
    "provided.al2023",
];

/// How an environment's processes start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Launch {
    pub(super) program: OsString,
    pub(super) arguments: Vec<OsString>,
    /// `LAMBDA_TASK_ROOT`, where it runs.
    pub(super) root: PathBuf,
    /// `AWS_EXECUTION_ENV`; custom runtimes have none.
    pub(super) execution_env: Option<String>,
    /// Programs of the extensions.
    pub(super) extensions: Vec<PathBuf>,
}

/// Where things are that are not the function's.
#[derive(Debug)]
pub(super) struct Places {
    /// Our bootstrap files.
    pub(super) runtimes: PathBuf,
    /// The template's directory.
    pub(super) directory: Option<PathBuf>,
    /// The directories of `PATH`.
    pub(super) path: Vec<PathBuf>,
    /// What [`Places::resolve_python`] found.
    pub(super) python: OnceLock<PathBuf>,
}

impl Places {
    /// Where `python3` is a script that chooses a version (pyenv), asks it once what it chooses in the
    /// template's directory: a start by way of the script takes several times as long.
    pub(super) async fn resolve_python(&self) {
        let Some(chooser) = on_path("python3", self) else {
            return;
        };
        if !fs::read(&chooser).is_ok_and(|file| file.starts_with(b"#!")) {
            return;
        }
        let mut ask = Command::new(&chooser);
        ask.args(["-c", "import sys; print(sys.executable)"]);
        ask.current_dir(self.directory.as_deref().unwrap_or(Path::new(".")));
        ask.stdin(Stdio::null()).kill_on_drop(true);
        let Ok(Ok(output)) = tokio::time::timeout(RESOLVE, ask.output()).await else {
            return;
        };
        let found = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        if is_executable(&found) {
            _ = self.python.set(found);
        }
    }
}

/// Time for a version chooser; without its answer it is run each time.
const RESOLVE: Duration = Duration::from_secs(5);

pub(super) const PYTHON: (&str, &str) = ("bootstrap.py", include_str!("bootstrap.py"));
pub(super) const NODE: (&str, &str) = ("bootstrap.mjs", include_str!("bootstrap.mjs"));

/// How the function starts; `code` is its code where a zip was unpacked, else what the plan says.
pub(super) fn launch(
    function: &Function,
    code: &Path,
    places: &Places,
) -> Result<Launch, StartError> {
    let name = || function.name.clone();
    if !code.exists() {
        let path = code.to_path_buf();
        return Err(StartError::NoCode {
            function: name(),
            path,
        });
    }
    if let Some(command) = &function.command
        && let [program, arguments @ ..] = command.as_slice()
    {
        let arguments = arguments.iter().map(OsString::from).collect();
        let program = OsString::from(program);
        return Ok(with_root(code, program, arguments, None));
    }
    if code.is_file() && is_executable(code) {
        let root = code.parent().unwrap_or(code);
        return Ok(with_root(root, code.into(), Vec::new(), None));
    }
    let bootstrap = code.join("bootstrap");
    if is_executable(&bootstrap) {
        return Ok(with_root(code, bootstrap.into(), Vec::new(), None));
    }
    let runtime = function.runtime.as_str();
    let execution_env = || Some(format!("AWS_Lambda_{runtime}"));
    let missing = |program: &str| StartError::NoProgram {
        function: name(),
        program: program.to_owned(),
        runtime: runtime.to_owned(),
    };
    if runtime.starts_with("python3") {
        handler_file(function, code, &["py"])?;
        let python = python(code, places).ok_or_else(|| missing("python3"))?;
        let script = places.runtimes.join(PYTHON.0).into();
        let arguments = vec![script, OsString::from(&function.handler)];
        return Ok(with_root(code, python.into(), arguments, execution_env()));
    }
    if runtime.starts_with("nodejs") {
        handler_file(function, code, &["js", "mjs", "cjs"])?;
        let node = on_path("node", places).ok_or_else(|| missing("node"))?;
        let script = places.runtimes.join(NODE.0).into();
        let arguments = vec![script, OsString::from(&function.handler)];
        return Ok(with_root(code, node.into(), arguments, execution_env()));
    }
    if runtime.starts_with("provided") || runtime.starts_with("go") {
        let path = code.to_path_buf();
        return Err(StartError::NoBootstrap {
            function: name(),
            path,
        });
    }
    Err(StartError::UnknownRuntime {
        function: name(),
        runtime: runtime.to_owned(),
        near: near(runtime, RUNTIMES.iter().copied()),
    })
}

fn with_root(
    root: &Path,
    program: OsString,
    arguments: Vec<OsString>,
    execution_env: Option<String>,
) -> Launch {
    // Lambda starts what a layer puts into /opt/extensions; here the code may have the directory.
    let listed = fs::read_dir(root.join("extensions")).into_iter().flatten();
    let paths = listed.flatten().map(|entry| entry.path());
    let mut extensions: Vec<_> = paths.filter(|path| is_executable(path)).collect();
    extensions.sort();
    Launch {
        program,
        arguments,
        root: root.to_path_buf(),
        execution_env,
        extensions,
    }
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn on_path(program: &str, places: &Places) -> Option<PathBuf> {
    let candidates = places.path.iter().map(|directory| directory.join(program));
    candidates.into_iter().find(|path| is_executable(path))
}

/// The code's own virtual environment, the template's, else what is on the PATH.
fn python(code: &Path, places: &Places) -> Option<PathBuf> {
    let own = [Some(code), places.directory.as_deref()];
    let own = own.into_iter().flatten();
    own.map(|directory| directory.join(".venv/bin/python"))
        .find(|path| is_executable(path))
        .or_else(|| places.python.get().cloned())
        .or_else(|| on_path("python3", places))
}

/// `Handler` is `path/file.function`; Python takes dots for slashes, too.
fn handler_file(function: &Function, code: &Path, endings: &[&str]) -> Result<(), StartError> {
    let handler = function.handler.as_str();
    let module = handler
        .rsplit_once('.')
        .map_or(handler, |(module, _)| module);
    let spellings = [module.to_owned(), module.replace('.', "/")];
    for module in &spellings {
        let here = |ending: &&str| code.join(format!("{module}.{ending}")).is_file();
        if endings.iter().any(here) || code.join(module).join("__init__.py").is_file() {
            return Ok(());
        }
    }
    let ending = endings.first().copied().unwrap_or_default();
    let path = code.join(format!("{module}.{ending}"));
    let listed = fs::read_dir(path.parent().unwrap_or(code))
        .into_iter()
        .flatten();
    let names = listed.flatten().map(|entry| entry.file_name());
    let names: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
    let alike = names.iter().map(String::as_str);
    let alike = alike.filter(|name| {
        endings
            .iter()
            .any(|ending| name.ends_with(&format!(".{ending}")))
    });
    Err(StartError::NoHandler {
        function: function.name.clone(),
        handler: handler.to_owned(),
        near: near(&format!("{module}.{ending}"), alike),
        path,
    })
}

fn near<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let scored = known.map(|name| (strsim::jaro_winkler(wanted, name), name));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.7).then(|| best.1.to_owned())
}
