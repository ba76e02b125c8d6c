//! Arguments, the environment and the files that they name come in, what a command works with goes out.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    time::Duration,
};

use streamer_client::options::{Options, Token};

use crate::{
    args::{Access, SmokeArgs, WsArgs},
    failure::{Exit, Failure, chain},
};

/// Longest time that the first connection is tried: a server that starts meanwhile is met.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest time for all of it where something is expected.
const EXPECT_WITHIN: Duration = Duration::from_secs(30);

/// What the process was started in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    /// `LIFT_TOKEN`.
    pub(crate) token: Option<String>,
    pub(crate) stdin_is_terminal: bool,
    stdout_is_terminal: bool,
    /// stderr is a terminal that can move its cursor.
    draws: bool,
}

impl Environment {
    /// Whether stderr is a terminal that can move its cursor.
    pub(crate) fn draws(&self) -> bool {
        self.draws
    }

    pub(crate) fn read() -> Self {
        let token = std::env::var_os("LIFT_TOKEN").and_then(|token| token.into_string().ok());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            token: token.filter(|token| !token.trim().is_empty()),
            stdin_is_terminal: io::stdin().is_terminal(),
            stdout_is_terminal: io::stdout().is_terminal(),
            draws: io::stderr().is_terminal() && !dumb,
        }
    }
}

/// What `lift dev` finds of the developer's own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Aws {
    /// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    pub(crate) keys: Option<(String, String)>,
    /// `AWS_SESSION_TOKEN`.
    pub(crate) session_token: Option<String>,
    /// `LIFT_DYNAMODB_LOCAL`: where the files of DynamoDB Local are.
    pub(crate) dynamodb_local: Option<PathBuf>,
    /// `XDG_CACHE_HOME`, or its default.
    pub(crate) cache: PathBuf,
}

impl Aws {
    pub(crate) fn read() -> Self {
        let text = |name: &str| {
            let value = std::env::var_os(name).and_then(|value| value.into_string().ok());
            value.filter(|value| !value.is_empty())
        };
        let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let home = || path("HOME").unwrap_or_default().join(".cache");
        Self {
            keys: text("AWS_ACCESS_KEY_ID").zip(text("AWS_SECRET_ACCESS_KEY")),
            session_token: text("AWS_SESSION_TOKEN"),
            dynamodb_local: path("LIFT_DYNAMODB_LOCAL"),
            cache: path("XDG_CACHE_HOME").unwrap_or_else(home),
        }
    }
}

/// What `lift ws` works with.
#[derive(Debug)]
pub(crate) struct Ws {
    pub(crate) options: Options,
    pub(crate) protocol: Protocol,
    pub(crate) source: Source,
    pub(crate) expects: Vec<String>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) display: Display,
}

/// What is spoken with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// What it chooses.
    Chosen,
    /// None that is known here.
    Raw,
}

/// Where messages come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The command line; stdin is not read.
    Script(Vec<String>),
    /// Lines of stdin.
    Pipe,
    /// A person at a terminal.
    Person {
        /// Whether to draw a line to type in.
        edits: bool,
    },
}

/// What is shown where.
#[derive(Debug, Clone)]
pub(crate) struct Display {
    pub(crate) format: Format,
    pub(crate) talk: Talk,
    /// Whether bars may be drawn on stderr.
    pub(crate) bars: Bars,
}

/// What a line of stdout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// A message, for programs.
    Messages,
    /// A message, for a terminal.
    Terminal,
    /// An event.
    Events,
}

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Talk {
    /// Errors.
    Errors,
    /// What happens.
    All,
}

/// Whether stderr shows bars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bars {
    /// It does.
    Drawn,
    /// It is no terminal.
    None,
}

impl Ws {
    pub(crate) fn new(args: WsArgs, environment: Environment) -> Result<Self, Failure> {
        let expecting = !args.expect.is_empty();
        let timeout = args.timeout.or(expecting.then_some(EXPECT_WITHIN));
        let mut options =
            Options::new(&args.url).patience(timeout.map_or(PATIENCE, |all| all.min(PATIENCE)));
        let protocol = if args.raw {
            Protocol::Raw
        } else {
            Protocol::Chosen
        };
        if args.raw || !args.subprotocol.is_empty() {
            options = options.subprotocols(args.subprotocol);
        }
        if let Some(ca) = &args.access.ca {
            options = trusting(options, ca)?;
        }
        if let Some(credential) = credential(args.access, environment.token)? {
            options = options.token(credential.token);
        }
        let draws = environment.draws && !args.quiet;
        let source = if !args.send.is_empty() || (expecting && environment.stdin_is_terminal) {
            Source::Script(args.send)
        } else if environment.stdin_is_terminal {
            Source::Person { edits: draws }
        } else {
            Source::Pipe
        };
        let format = match (args.json, environment.stdout_is_terminal) {
            (true, _) => Format::Events,
            (false, true) => Format::Terminal,
            (false, false) => Format::Messages,
        };
        let display = Display {
            format,
            talk: if args.quiet { Talk::Errors } else { Talk::All },
            bars: if draws { Bars::Drawn } else { Bars::None },
        };
        Ok(Self {
            options,
            protocol,
            source,
            expects: args.expect,
            timeout,
            display,
        })
    }
}

/// What `lift smoke` works with.
#[derive(Debug)]
pub(crate) struct Smoke {
    /// With the token.
    pub(crate) options: Options,
    /// The token as it was at the start.
    pub(crate) token: String,
    /// Longest time for each check.
    pub(crate) limit: Duration,
    pub(crate) data_set: Option<String>,
    pub(crate) form: Form,
}

/// What a line of a report is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Words.
    Text,
    /// A JSON object.
    Json,
}

impl Smoke {
    pub(crate) fn new(args: SmokeArgs, environment: Environment) -> Result<Self, Failure> {
        let limit = args.timeout;
        let mut options = Options::new(&args.url)
            .patience(limit.min(PATIENCE))
            .answer_within(limit);
        if let Some(ca) = &args.access.ca {
            options = trusting(options, ca)?;
        }
        let credential = credential(args.access, environment.token)?.ok_or_else(|| {
            let what = "there is no token to connect with";
            let cause = "neither --token-file nor --token nor LIFT_TOKEN is given";
            let help = "`lift token mint … > FILE` writes one";
            Failure::new(Exit::Usage, what, cause, help)
        })?;
        Ok(Self {
            options: options.token(credential.token),
            token: credential.first,
            limit,
            data_set: args.data_set,
            form: if args.json { Form::Json } else { Form::Text },
        })
    }
}

/// Options that trust the certificates in a file too.
pub(crate) fn trusting(options: Options, ca: &Path) -> Result<Options, Failure> {
    let pem = std::fs::read_to_string(ca).map_err(|error| {
        let what = format!("the certificates in `{}` cannot be read", ca.display());
        Failure::file(Exit::Usage, what, &error, "give --ca a PEM file")
    })?;
    Ok(options.roots_pem(pem))
}

/// A token as it is now, and where later connections get theirs.
struct Credential {
    first: String,
    token: Token,
}

impl Credential {
    fn fixed(text: &str) -> Self {
        Self {
            first: text.to_owned(),
            token: Token::fixed(text),
        }
    }
}

fn credential(access: Access, environment: Option<String>) -> Result<Option<Credential>, Failure> {
    let Some(file) = access.token_file else {
        let token = access.token.or(environment);
        return Ok(token.map(|token| Credential::fixed(token.trim())));
    };
    // Read once here, so that a wrong name is an error of the command line and not a connection
    // that is tried again and again.
    let from_stdin = file.as_os_str() == "-";
    let text = if from_stdin {
        io::read_to_string(io::stdin().lock())
    } else {
        std::fs::read_to_string(&file)
    };
    let text = text.map_err(|error| chain(&error));
    let first = text.and_then(|text| trimmed(&text)).map_err(|cause| {
        Failure::new(
            Exit::Usage,
            format!("the token in `{}` cannot be used", file.display()),
            cause,
            "`lift token mint … > FILE` writes one",
        )
    })?;
    if from_stdin {
        return Ok(Some(Credential::fixed(&first)));
    }
    let token = Token::from_fn(move || fetch(file.clone()));
    Ok(Some(Credential { first, token }))
}

async fn fetch(file: PathBuf) -> Result<String, streamer_client::Source> {
    let in_file = |cause: String| format!("the token in `{}`: {cause}", file.display());
    let text = tokio::fs::read_to_string(&file)
        .await
        .map_err(|error| in_file(chain(&error)))?;
    Ok(trimmed(&text).map_err(in_file)?)
}

fn trimmed(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("the file is empty".to_owned()),
        token => Ok(token.to_owned()),
    }
}
