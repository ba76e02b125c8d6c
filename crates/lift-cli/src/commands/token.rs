//! Claims, tokens and key files come in; tokens, what is in them, and new keys go out.

use std::{
    fmt::Write as _,
    io::{self, Read},
    path::Path,
};

use jiff::Timestamp;
use serde_json::Value;
use streamer::auth::{
    Inspection, Keys, KeysError, MintError, MintRequest, Signature, TOKEN_BYTES_MAX, generate,
    inspect, mint,
};

use crate::{
    args::{InspectArgs, KeygenArgs, MintArgs, TokenCommand},
    config::Environment,
    failure::{Exit, Failure, chain, harmless},
    output::{now_ms, print, say, spoken},
};

pub(crate) fn run(command: TokenCommand, environment: Environment) -> Result<(), Failure> {
    match command {
        TokenCommand::Mint(args) => print_new(args),
        TokenCommand::Inspect(args) => print_inspection(args, environment),
        TokenCommand::Keygen(args) => make_key(&args),
    }
}

fn print_new(args: MintArgs) -> Result<(), Failure> {
    let dir = args.data_dir.join("keys");
    let is_new = Keys::read(&dir).is_err();
    let keys = Keys::open(&dir).map_err(|error| unusable(&dir, &error))?;
    if is_new {
        say(&format!(
            "a new key was made in `{}`: only a server with this data directory takes what it signs",
            dir.display()
        ));
    }
    let request = MintRequest {
        sub: args.sub,
        tenant: Some(args.tenant),
        permissions: (!args.permissions.is_empty()).then_some(args.permissions),
        issuer: args.issuer,
        audience: args.audience,
        expires_in: args.expires_in,
        now_ms: now_ms(),
    };
    let token = mint(&keys, &request).map_err(|error| {
        let (exit, help) = match &error {
            MintError::NoPrivateKey => (Exit::Failed, "`lift token keygen` adds a private key"),
            MintError::Sign(_) => (Exit::Failed, "`lift token keygen` adds another key"),
            _ => (
                Exit::Usage,
                "a server would refuse such a token; change that value",
            ),
        };
        Failure::file(exit, "no token was made", &error, help)
    })?;
    print(&format!("{token}\n"))
}

fn print_inspection(args: InspectArgs, environment: Environment) -> Result<(), Failure> {
    let is_file = args
        .token
        .as_ref()
        .is_some_and(|token| Path::new(token).is_file());
    let text = match (args.token, environment.token) {
        (Some(token), _) if token != "-" => token,
        (None, Some(token)) => token,
        (None, None) if environment.stdin_is_terminal => {
            return Err(Failure::new(
                Exit::Usage,
                "no token to inspect",
                "none was given, LIFT_TOKEN is not set and stdin is a terminal",
                "give the token, or `-` to type it: `lift token inspect - < FILE`",
            ));
        }
        _ => from_stdin()?,
    };
    let keys = match &args.data_dir {
        None => None,
        Some(data_dir) => {
            let dir = data_dir.join("keys");
            Some(Keys::read(&dir).map_err(|error| unusable(&dir, &error))?)
        }
    };
    let text = text.trim();
    let text = text.strip_prefix("Bearer ").unwrap_or(text).trim_start();
    let now_ms = now_ms();
    let inspection = inspect(text, keys.as_ref(), now_ms).map_err(|error| {
        Failure::new(
            Exit::Failed,
            "this is no token",
            harmless(error.reason()),
            if is_file {
                "that is a file's name; `lift token inspect - < FILE` reads the file"
            } else {
                "a token is three parts of base64url with dots between, as `lift token mint` prints"
            },
        )
    })?;
    if args.json {
        print(&format!("{}\n", serde_json::json!(inspection)))?;
    } else {
        print(&described(&inspection, now_ms))?;
    }
    match verdict(&inspection) {
        None => Ok(()),
        Some(cause) => Err(Failure::new(
            Exit::Failed,
            "a server would refuse this token",
            harmless(cause),
            "`lift token mint` makes a new one",
        )),
    }
}

/// Why a server would refuse the token, if it would.
fn verdict(inspection: &Inspection) -> Option<&str> {
    let forged = inspection.signature == Signature::Bad;
    let forged = forged.then_some("its signature was made by none of the keys");
    forged.or(inspection.refusal.as_deref())
}

fn described(inspection: &Inspection, now_ms: u64) -> String {
    let mut out = String::new();
    let mut row = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name:<12} {}", harmless(value));
    };
    for (name, key) in [("algorithm", "alg"), ("key", "kid")] {
        if let Some(value) = inspection.header.get(key) {
            row(name, &plain(value));
        }
    }
    for (key, value) in &inspection.claims {
        let value = match key.as_str() {
            "exp" | "iat" | "nbf" => moment(value, now_ms),
            _ => plain(value),
        };
        row(key, &value);
    }
    row(
        "signature",
        match inspection.signature {
            Signature::NotChecked => "not checked; --data-dir names the keys to check it with",
            Signature::Good => "good",
            Signature::Bad => "BAD: made by none of the keys",
        },
    );
    row(
        "verdict",
        match (verdict(inspection), inspection.signature) {
            (Some(_), _) => "would be refused",
            (None, Signature::NotChecked) => "would be accepted, if its signature is good",
            (None, Signature::Good | Signature::Bad) => "would be accepted",
        },
    );
    out
}

/// A claim's value: a string without quotes, all else as JSON.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// A NumericDate (RFC 7519 §2) as a time and how far from now it is.
fn moment(value: &Value, now_ms: u64) -> String {
    let time = value
        .as_i64()
        .and_then(|seconds| Timestamp::from_second(seconds).ok());
    let now = i64::try_from(now_ms)
        .ok()
        .and_then(|now| Timestamp::from_millisecond(now).ok());
    let (Some(time), Some(now)) = (time, now) else {
        return plain(value);
    };
    let seconds = time.as_second() - now.as_second();
    let distance = spoken(seconds.unsigned_abs());
    if seconds <= 0 {
        format!("{time} ({distance} ago)")
    } else {
        format!("{time} (in {distance})")
    }
}

fn make_key(args: &KeygenArgs) -> Result<(), Failure> {
    if args.stdout {
        let pair = generate(args.algorithm).map_err(|error| {
            Failure::file(
                Exit::Failed,
                "no key was made",
                &error,
                "choose another --algorithm",
            )
        })?;
        return print(&format!("{}{}", pair.private_pem, pair.public_pem));
    }
    let dir = args.data_dir.join("keys");
    let (path, pair) = Keys::add(&dir, args.algorithm).map_err(|error| unusable(&dir, &error))?;
    print(&format!("{}\n", path.display()))?;
    say(&format!(
        "{} key {} signs from now on; tokens of the keys before it still verify",
        pair.algorithm, pair.kid
    ));
    Ok(())
}

fn from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    // Room for a token that is too long to be said so.
    let room = u64::try_from(4 * TOKEN_BYTES_MAX).unwrap_or(u64::MAX);
    io::stdin()
        .lock()
        .take(room)
        .read_to_string(&mut text)
        .map_err(|error| {
            Failure::file(
                Exit::Failed,
                "no token can be read from stdin",
                &error,
                "a token is ASCII text",
            )
        })?;
    Ok(text)
}

pub(crate) fn unusable(dir: &Path, error: &KeysError) -> Failure {
    let help = match error {
        KeysError::Read(..) | KeysError::Write(..) => {
            "--data-dir names the server's data directory; run this as the user that runs the server"
        }
        KeysError::Empty(_) => "`lift token mint` makes the first key; check --data-dir",
        KeysError::Busy(_) => "try again when it is done",
        KeysError::Exposed(_) => "`chmod 600` it, and replace it if others may have read it",
        _ => "move files that are no keys out of the directory; `lift token keygen` adds a key",
    };
    Failure::new(
        Exit::Failed,
        format!("the keys in `{}` cannot be used", dir.display()),
        chain(error),
        help,
    )
}
