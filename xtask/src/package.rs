//! The Lambda functions' zip: the sources come in; one reproducible file with `bootstrap` in it goes out.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::steps::run;

pub(crate) const BUILT: &str = "target/lambda/bootstrap";
const FOLDER: &str = "target/package";
/// The glibc of `provided.al2023` (Lambda developer guide, "OS-only runtimes").
const GLIBC_MAX: (u32, u32) = (2, 34);

/// Builds the binary of all roles, checks that Lambda can load it, and packs it.
pub(crate) fn run_package() -> Result<(), String> {
    run("cargo build --profile lambda -p streamer --features lambda --bin bootstrap")?;
    check_glibc()?;
    let io = |error: std::io::Error| format!("{FOLDER}: {error}");
    fs::create_dir_all(FOLDER).map_err(io)?;
    let (file, zip) = (
        Path::new(FOLDER).join("bootstrap"),
        Path::new(FOLDER).join("streamer.zip"),
    );
    fs::copy(BUILT, &file).map_err(io)?;
    // The same bytes for the same binary: no time, no owner.
    run(&format!("touch -d 1980-01-01T00:00:00Z {}", file.display()))?;
    _ = fs::remove_file(&zip);
    let status = Command::new("zip")
        .args(["-9", "-X", "-q", "-j"])
        .env("TZ", "UTC")
        .args([&zip, &file])
        .status();
    let status = status.map_err(|error| format!("`zip` cannot be run: {error}"))?;
    if !status.success() {
        return Err(format!("zip failed: {status}"));
    }
    let bytes = |path: &Path| fs::metadata(path).map(|found| found.len()).map_err(io);
    eprintln!(
        "{}: {} bytes, of a binary of {}",
        zip.display(),
        bytes(&zip)?,
        bytes(&file)?
    );
    Ok(())
}

fn check_glibc() -> Result<(), String> {
    let symbols = Command::new("objdump").args(["-T", BUILT]).output();
    let symbols = symbols.map_err(|error| format!("`objdump` cannot be run: {error}"))?;
    let symbols = String::from_utf8_lossy(&symbols.stdout);
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| {
        let version = rest
            .split(|c: char| !c.is_ascii_digit() && c != '.')
            .next()?;
        let mut parts = version.split('.').map(|part| part.parse().ok());
        Some((parts.next()??, parts.next()??))
    });
    match versions.max() {
        Some(needed) if needed <= GLIBC_MAX => Ok(()),
        Some((major, minor)) => Err(format!(
            "the binary needs glibc {major}.{minor}; Lambda has {}.{}",
            GLIBC_MAX.0, GLIBC_MAX.1
        )),
        None => Err(format!("`{BUILT}` names no version of glibc")),
    }
}
