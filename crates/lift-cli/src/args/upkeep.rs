//! What was typed for the commands that look after a server comes in, as typed fields.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand, ValueEnum};

use super::EXIT_STATUS;

pub(super) const STORE_EXAMPLES: &str = "\
Examples:
  lift store inspect --data-dir /var/lib/streamer
  lift store backup --data-dir /var/lib/streamer /backup/streamer-2026-11-25
  lift store compact --data-dir /var/lib/streamer

`backup` works while the server runs, as the user that runs it. The copy is a data directory: to
restore it, start a server with --data-dir on it. `inspect` and `compact` need the server stopped;
`inspect` on a backup does not.";

pub(super) const DOCTOR_EXAMPLES: &str = "\
Examples:
  lift doctor
  lift doctor --data-dir /var/lib/streamer --url ws://127.0.0.1:7070
  lift doctor --url wss://stream.example.org --tls-cert /etc/streamer/cert.pem --json

One line a check: ok, warning or FAILED, with a cause and a help where it is not ok. With both a
data directory and a URL a token is minted and an `echo` sent. Nothing is changed.";

pub(super) const EXPLAIN_EXAMPLES: &str = "\
Examples:
  lift explain OVERLOADED
  lift explain 1013
  lift explain 401
  lift explain";

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  source <(lift completions bash)
  lift completions zsh --dir ~/.zfunc
  lift completions fish --dir ~/.config/fish/completions";

pub(super) const MAN_EXAMPLES: &str = "\
Examples:
  lift man | man -l -
  lift man --dir /usr/local/share/man/man1";

/// `lift store`.
#[derive(Debug, Group)]
pub struct StoreArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: StoreCommand,
}

/// What to do with a store.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Say what is in the store, and whether it is whole; exits with 1 if it is not.
    ///
    /// Shows counts, times and sizes, and never a payload. Changes nothing; takes the room of the
    /// store's journals, at most some 100 MiB, while it looks.
    #[command(after_help = format!("Example:\n  lift store inspect --data-dir /var/lib/streamer --json\n\n{EXIT_STATUS}"))]
    Inspect(StoppedStoreArgs),
    /// Copy a data directory as it is at one moment, also while a server runs on it.
    ///
    /// Acknowledgments wait while that moment is taken, 4 s at most. Every request acknowledged
    /// before is in the copy. A copy that was not finished is not there.
    #[command(after_help = format!("Example:\n  lift store backup --data-dir /var/lib/streamer /backup/monday\n\n{EXIT_STATUS}"))]
    Backup(BackupArgs),
    /// Drop what newer writes have replaced and write the store's tables anew.
    #[command(after_help = format!("Example:\n  lift store compact --data-dir /var/lib/streamer\n\n{EXIT_STATUS}"))]
    Compact(StoppedStoreArgs),
}

/// `lift store inspect` and `lift store compact`.
#[derive(Debug, Group)]
pub struct StoppedStoreArgs {
    /// The server's data directory; the store is in `DIR/store`.
    #[arg(
        long,
        value_name = "DIR",
        env = "STREAMER_DATA_DIR",
        default_value = ".streamer"
    )]
    pub data_dir: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `lift store backup`.
#[derive(Debug, Group)]
pub struct BackupArgs {
    /// The server's data directory.
    #[arg(
        long,
        value_name = "DIR",
        env = "STREAMER_DATA_DIR",
        default_value = ".streamer"
    )]
    pub data_dir: PathBuf,
    /// The new data directory; nothing, or an empty directory, is there.
    #[arg(value_name = "TO")]
    pub to: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `lift doctor`.
#[derive(Debug, Group)]
pub struct DoctorArgs {
    /// The server's data directory [default: .streamer where it is there].
    #[arg(long, value_name = "DIR", env = "STREAMER_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The server's `ws://` or `wss://` URL.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// PEM file with the server's certificate, whose end is looked at.
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with certificates to trust besides the public ones.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `lift explain`.
#[derive(Debug, Group)]
pub struct ExplainArgs {
    /// An error code, a close code, or the HTTP status of a refused handshake; all, if absent.
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
    /// Print one JSON object, or one a line.
    #[arg(long)]
    pub json: bool,
}

/// `lift completions`.
#[derive(Debug, Group)]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: Shell,
    /// Write the file to this directory, under the name that the shell looks for.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// A shell that completes arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the shells' names")]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// `lift man`.
#[derive(Debug, Group)]
pub struct ManArgs {
    /// Write the page of every command to this directory.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
