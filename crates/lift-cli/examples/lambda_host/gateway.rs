//! In: flags of `lift dev`. Out: this process becomes it, with the template of `deploy/` over what `lambda_host over` has started.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::over::{DYNAMODB, S3};

const TEMPLATE: &str = "deploy/template.yaml";
const PACKAGE: &str = "../target/package/streamer.zip";
/// Where `lift load` has the key of its clients' tokens, and has room for what the run leaves.
const DIRECTORY: &str = "STREAMER_DATA_DIR";

/// Comes back only where it cannot be done.
pub(crate) fn run(flags: &[String]) -> Result<io::Error> {
    let directory = PathBuf::from(variable(DIRECTORY)?);
    let beside = std::env::current_exe()?;
    let target = beside.ancestors().nth(2).ok_or("no target directory")?;
    let bootstrap = std::env::var_os("LAMBDA_BOOTSTRAP")
        .map_or_else(|| target.join("bootstrap"), PathBuf::from)
        .canonicalize()?;
    let text = std::fs::read_to_string(TEMPLATE)?;
    if !text.contains(PACKAGE) {
        return Err(format!("`{TEMPLATE}` has no `{PACKAGE}`").into());
    }
    let template = directory.join("template.yaml");
    std::fs::write(
        &template,
        text.replace(PACKAGE, &bootstrap.to_string_lossy()),
    )?;
    let mut command = Command::new(target.join("lift"));
    command.args(["dev", "--quiet", "--watch", "off", "--template"]);
    command
        .arg(template)
        .arg("--dynamodb")
        .arg(variable(DYNAMODB)?);
    for (name, value) in [
        ("JwtKey", key(&directory.join("keys"))?),
        ("S3Endpoint", variable(S3)?),
    ] {
        command.arg("--parameter").arg(format!("{name}={value}"));
    }
    Ok(command.args(flags).exec())
}

fn variable(name: &str) -> Result<String> {
    let value = std::env::var(name);
    value.map_err(|_absent| {
        format!("`{name}` is not set: run `lambda_host over lift load SCENARIO`").into()
    })
}

/// The key that `lift load` signs with, made for the run.
fn key(directory: &Path) -> Result<String> {
    let files = std::fs::read_dir(directory)?.filter_map(|file| Some(file.ok()?.path()));
    let key = files
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "pem"));
    let key = key.ok_or_else(|| format!("no key in `{}`", directory.display()))?;
    Ok(std::fs::read_to_string(key)?)
}
