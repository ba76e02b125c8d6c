//! The Lambda functions' zip: the sources come in; one reproducible file with `bootstrap` in it goes out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::steps::{run, run_with, target};

const BUILD: &str = "cargo build --locked --profile lambda -p streamer --no-default-features --features lambda --bin bootstrap";
const FOLDER: &str = "target/package";
/// The glibc of `provided.al2023` (Lambda developer guide, "OS-only runtimes").
const GLIBC_MAX: (u32, u32) = (2, 34);

/// Builds the binary of all roles, checks that Lambda can load it, and packs it.
pub(crate) fn run_package() -> Result<(), String> {
    let built = target()?.join("lambda/bootstrap");
    let (rustc, c) = without_places()?;
    let env = [
        ("RUSTC_WRAPPER", rustc.as_str()),
        ("CFLAGS", &c),
        // mimalloc writes down when it was compiled.
        ("SOURCE_DATE_EPOCH", "315532800"),
    ];
    run_with(BUILD, &env)?;
    check_glibc(&built)?;
    let io = |error: std::io::Error| format!("{FOLDER}: {error}");
    fs::create_dir_all(FOLDER).map_err(io)?;
    let (file, zip) = (
        Path::new(FOLDER).join("bootstrap"),
        Path::new(FOLDER).join("streamer.zip"),
    );
    fs::copy(&built, &file).map_err(io)?;
    // The same bytes for the same binary: no time, no owner.
    let touch = format!("touch -d 1980-01-01T00:00:00Z {}", file.display());
    run(&touch)?;
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

/// A rustc, and flags of the C compiler, that write of a file how it is called, not where this machine has it.
///
/// Flags of rustc itself would be in the names of all symbols, and those differ from place to place then.
fn without_places() -> Result<(String, String), String> {
    let here = env::current_dir().map_err(|error| format!("no current directory: {error}"))?;
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".cargo")));
    let mut places = vec![(here, "streamer"), (target()?, "target")];
    places.extend(home.map(|home| (home, "cargo")));
    let flags = |flag: &str| {
        let one = |(place, name): &(PathBuf, &str)| format!("{flag}={}={name}", place.display());
        places.iter().map(one).collect::<Vec<_>>().join(" ")
    };
    let script = format!("#!/bin/sh\nexec \"$@\" {}\n", flags("--remap-path-prefix"));
    let wrapper = target()?.join("rustc-without-places");
    let written = fs::create_dir_all(target()?).and_then(|()| fs::write(&wrapper, script));
    written.map_err(|error| format!("{}: {error}", wrapper.display()))?;
    run(&format!("chmod +x {}", wrapper.display()))?;
    let wrapper = wrapper.to_string_lossy().into_owned();
    Ok((wrapper, flags("-ffile-prefix-map")))
}

fn check_glibc(built: &Path) -> Result<(), String> {
    let symbols = Command::new("objdump").arg("-T").arg(built).output();
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
        None => Err(format!("`{}` names no version of glibc", built.display())),
    }
}
