//! In: where a function's code is, and its `Metadata`. Out: what runs, and how it is built first.
//!
//! Sources: SAM developer guide, "Building Lambda functions", "Rust with Cargo Lambda", "custom runtimes".

use std::path::{Path, PathBuf};

use super::fields::Fields;
use super::problem::{Log, Mark};
use super::scope::{Resource, Scope};
use super::tree::{Kind, Node};
use crate::plan::Inline;

/// What a function's code is.
#[derive(Debug, Default)]
pub(super) struct Code {
    pub(super) runtime: String,
    pub(super) handler: String,
    pub(super) path: PathBuf,
    pub(super) command: Option<Vec<String>>,
    pub(super) build: Option<String>,
    pub(super) watch: Vec<PathBuf>,
    pub(super) inline: Option<Inline>,
}

/// What a template says beside the code.
#[derive(Default)]
struct Wishes {
    build: Option<String>,
    bootstrap: Option<PathBuf>,
    command: Option<Vec<String>>,
    watch: Vec<PathBuf>,
    method: Option<String>,
    binary: Option<String>,
}

/// A function's code from its properties and metadata.
pub(super) fn of(
    scope: &mut Scope<'_>,
    resource: Resource<'_>,
    fields: &Fields<'_>,
    directory: &Path,
) -> Option<Code> {
    let metadata = resource.node.get("Metadata");
    let metadata = metadata.and_then(|node| scope.evaluate(node));
    let wishes = wishes(scope, metadata.as_ref(), directory);
    let log = &mut scope.log;
    let is_free = wishes.command.is_some();
    let runtime = match is_free {
        true => fields.text("Runtime", log),
        false => fields.required("Runtime", log),
    };
    let handler = match is_free
        || runtime
            .as_deref()
            .is_some_and(|r| r.starts_with("provided"))
    {
        true => fields.text("Handler", log),
        false => fields.required("Handler", log),
    };
    let runtime = runtime?;
    let at = ["CodeUri", "Code", "InlineCode", "ImageUri"];
    let at = at.iter().find_map(|name| fields.get(name));
    let at = at.map_or(fields.at(), |node| node.at);
    let runtime_at = fields.at_of("Runtime");
    let mut inline = None;
    let source = match (&wishes.bootstrap, written_here(fields)) {
        (Some(bootstrap), _) => bootstrap.clone(),
        (None, Some((name, node))) if !is_free => {
            let out = out_of(resource.id, directory);
            check_inline(name, &runtime, handler.as_deref(), fields, log);
            inline = Some(Inline {
                file: out.join(index_of(&runtime)),
                text: node.as_text().unwrap_or_default().to_owned(),
            });
            out
        }
        (None, _) => source(fields, directory, is_free, log)?,
    };
    let code = Code {
        runtime,
        handler: handler.unwrap_or_else(|| "bootstrap".to_owned()),
        path: source,
        command: wishes.command.clone(),
        build: wishes.build.clone(),
        watch: wishes.watch.clone(),
        inline,
    };
    check_runtime(&code, runtime_at, log);
    Some(built(code, &wishes, resource.id, at, directory, log))
}

/// The property whose text is the code itself.
fn written_here<'n>(fields: &Fields<'n>) -> Option<(&'static str, &'n Node)> {
    let zip = || Some(("ZipFile", fields.get("Code")?.get("ZipFile")?));
    let inline = fields.get("InlineCode").map(|node| ("InlineCode", node));
    inline.or_else(zip)
}

/// The file that CloudFormation makes of code in a template (template reference, `Code: ZipFile`).
fn index_of(runtime: &str) -> &'static str {
    match runtime.starts_with("python") {
        true => "index.py",
        false => "index.js",
    }
}

fn check_inline(
    name: &str,
    runtime: &str,
    handler: Option<&str>,
    fields: &Fields<'_>,
    log: &mut Log,
) {
    if runtime.starts_with("provided") {
        let text = format!("`{name}` is for Python and Node only");
        log.problem(
            written_here(fields).map_or(fields.at(), |(_, node)| node.at),
            text,
        );
    } else if handler.is_some_and(|handler| !handler.starts_with("index.")) {
        let text = format!("`{name}` becomes the file `index`: `Handler` must begin with `index.`");
        log.problem(fields.at_of("Handler"), text);
    }
}

/// Where what is made for a function goes.
fn out_of(id: &str, directory: &Path) -> PathBuf {
    directory.join(".lift/build").join(id)
}

/// Where the properties say that the code is.
fn source(fields: &Fields<'_>, directory: &Path, is_free: bool, log: &mut Log) -> Option<PathBuf> {
    let written = fields.get("CodeUri").or_else(|| fields.get("Code"));
    let Some(node) = written else {
        if is_free {
            return Some(directory.to_owned());
        }
        match fields.get("ImageUri") {
            Some(image) => {
                let text = "`ImageUri` does not run here: `CodeUri` names a directory";
                log.problem(image.at, text);
            }
            None => fields.missing("CodeUri", log),
        }
        return None;
    };
    match node.as_text() {
        Some(text) if !text.contains("://") => Some(clean(&directory.join(text))),
        Some(_) | None if is_free => Some(directory.to_owned()),
        Some(_) | None => {
            if !matches!(node.kind, Kind::Broken) {
                let text = "the code must be a directory or file here; `Metadata: Lift: Bootstrap` names one";
                log.problem(node.at, text);
            }
            None
        }
    }
}

/// The path without `.` and `..`, as it is written.
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            std::path::Component::ParentDir => {
                clean.pop();
            }
            std::path::Component::CurDir => {}
            other => clean.push(other),
        }
    }
    clean
}

fn wishes(scope: &mut Scope<'_>, metadata: Option<&Node>, directory: &Path) -> Wishes {
    let Some(metadata) = metadata else {
        return Wishes::default();
    };
    let log = &mut scope.log;
    let fields = Fields::of(metadata, "`Metadata`", &[], log);
    let properties = fields.fields("BuildProperties", &[], log);
    let mut wishes = Wishes {
        method: fields.text("BuildMethod", log),
        binary: properties.and_then(|properties| properties.text("Binary", log)),
        ..Wishes::default()
    };
    let keys = ["Bootstrap", "Build", "Command", "Watch"];
    if let Some(lift) = fields.fields("Lift", &keys, log) {
        let path = |text: String| clean(&directory.join(text));
        wishes.build = lift.text("Build", log);
        wishes.bootstrap = lift.text("Bootstrap", log).map(path);
        wishes.command = command(&lift, "Command", log);
        wishes.watch = lift.texts("Watch", log).into_iter().map(path).collect();
    }
    wishes
}

/// A command as a list, or as a text whose words a shell's quotes hold together.
pub(super) fn command(fields: &Fields<'_>, name: &str, log: &mut Log) -> Option<Vec<String>> {
    let words = match fields.get(name).and_then(Node::as_text) {
        Some(line) => shlex::split(line).unwrap_or_else(|| {
            let text = format!("a quote in `{name}` has no end");
            log.problem(fields.at_of(name), text);
            vec![line.to_owned()]
        }),
        None => fields.texts(name, log),
    };
    (!words.is_empty()).then_some(words)
}

/// Runtimes by the beginnings of their names, and some of them for who misspells one.
const RUNTIMES: [&str; 3] = ["nodejs", "provided", "python3."];
const NAMES: [&str; 8] = [
    "nodejs20.x",
    "nodejs22.x",
    "nodejs24.x",
    "provided.al2023",
    "python3.11",
    "python3.12",
    "python3.13",
    "python3.14",
];

/// Tells of a runtime that nothing here runs; a function with a command needs none.
fn check_runtime(code: &Code, at: Mark, log: &mut Log) {
    let runtime = code.runtime.as_str();
    let is_known = RUNTIMES.iter().any(|begin| runtime.starts_with(begin));
    if code.command.is_some() || runtime.is_empty() || is_known {
        return;
    }
    let text = format!(
        "`{runtime}` does not run here: Python, Node and `provided` runtimes do, and commands"
    );
    log.misspelt(at, text, runtime, NAMES);
}

/// The code with how it is built, where a template only says where its source is.
fn built(code: Code, wishes: &Wishes, id: &str, at: Mark, directory: &Path, log: &mut Log) -> Code {
    let is_given = wishes.bootstrap.is_some() || code.inline.is_some();
    if code.build.is_some() || code.command.is_some() || is_given {
        return code;
    }
    let out = out_of(id, directory);
    let is_own = code.runtime.starts_with("provided");
    let has = |file: &str| code.path.join(file).is_file();
    let is_built = code.path.is_file() || has("bootstrap");
    match wishes.method.as_deref() {
        Some("makefile") => make(code, id, &out),
        Some("go1.x") => go(code, &out),
        Some("rust-cargolambda") => cargo(code, wishes.binary.as_deref(), directory, at, log),
        Some("esbuild") => {
            let text =
                format!("`{id}` is not built with esbuild here; `Metadata: Lift: Build` can");
            log.note(at, text);
            code
        }
        _ if is_own && !is_built && has("go.mod") => go(code, &out),
        _ if is_own && !is_built && has("Cargo.toml") => {
            cargo(code, wishes.binary.as_deref(), directory, at, log)
        }
        _ => {
            exists(&code, is_own, at, log);
            code
        }
    }
}

/// Tells of code that is not there, or holds nothing that can run.
fn exists(code: &Code, is_own: bool, at: Mark, log: &mut Log) {
    let path = code.path.display();
    if !code.path.exists() {
        log.problem(at, format!("there is no `{path}`"));
    } else if is_own && code.path.is_dir() && !code.path.join("bootstrap").is_file() {
        let text = format!("`{path}` has no `bootstrap`, `go.mod` or `Cargo.toml`");
        log.problem(at, text);
    }
}

/// The build of a function in TOML, which has no `Metadata`.
pub(super) fn by_default(code: Code, id: &str, at: Mark, directory: &Path, log: &mut Log) -> Code {
    check_runtime(&code, at, log);
    built(code, &Wishes::default(), id, at, directory, log)
}

fn go(code: Code, out: &Path) -> Code {
    let bootstrap = out.join("bootstrap");
    let build = format!(
        "cd {} && go build -o {} .",
        quoted(&code.path),
        quoted(&bootstrap)
    );
    instead(code, bootstrap, build)
}

fn make(code: Code, id: &str, out: &Path) -> Code {
    let build = format!(
        "mkdir -p {out} && make -C {} ARTIFACTS_DIR={out} build-{id}",
        quoted(&code.path),
        out = quoted(out)
    );
    instead(code, out.to_owned(), build)
}

fn cargo(code: Code, binary: Option<&str>, directory: &Path, at: Mark, log: &mut Log) -> Code {
    let manifest = code.path.join("Cargo.toml");
    let Some(binary) = binary.map(str::to_owned).or_else(|| binary_of(&manifest)) else {
        let manifest = manifest.display();
        let text = format!(
            "`{manifest}` names no one binary: `BuildProperties: Binary` of the `Metadata` does"
        );
        log.problem(at, text);
        return code;
    };
    // A directory of its own, because only `cargo` itself knows where a workspace builds.
    let target = directory.join(".lift/build/target");
    let build = format!(
        "cargo build --manifest-path {} --bin {} --target-dir {}",
        quoted(&manifest),
        quoted(Path::new(&binary)),
        quoted(&target)
    );
    instead(code, target.join("debug").join(binary), build)
}

/// The one binary of a package.
fn binary_of(manifest: &Path) -> Option<String> {
    let text = std::fs::read_to_string(manifest).ok()?;
    let manifest: toml::Table = text.parse().ok()?;
    let name = |of: &toml::Value| Some(of.get("name")?.as_str()?.to_owned());
    match manifest
        .get("bin")
        .and_then(toml::Value::as_array)
        .map(Vec::as_slice)
    {
        Some([one]) => name(one),
        Some([_, _, ..]) => None,
        Some([]) | None => name(manifest.get("package")?),
    }
}

fn instead(code: Code, path: PathBuf, build: String) -> Code {
    let watch = match code.watch.is_empty() {
        true => vec![code.path],
        false => code.watch,
    };
    Code {
        path,
        watch,
        build: Some(build),
        ..code
    }
}

/// The path as one word of a shell's command.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}
