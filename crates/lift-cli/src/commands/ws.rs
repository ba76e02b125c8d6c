//! A URL and where messages come from come in, one whole conversation and its outcome go out.

use std::{io, time::Duration};

use streamer_client::{Client, Error, Reason};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::Instant,
};

use super::conversation::{Conversation, End};
use crate::{
    config::{Source, Ws},
    editor::Editor,
    failure::{Exit, Failure},
    input::{self, Piece, Unbuffered},
    screen::{self, Screen},
};

pub(crate) fn run(config: Ws) -> Result<(), Failure> {
    let format = config.display.format;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = runtime
        .map_err(|error| no_system(&error))
        .and_then(|runtime| {
            let outcome = runtime.block_on(converse(config));
            // A token file that is still being read must not hold the process.
            runtime.shutdown_background();
            outcome
        });
    let failure = outcome.as_ref().err();
    screen::end(
        format,
        failure.map_or(0, |failure| failure.exit.code()),
        failure,
    );
    outcome
}

async fn converse(config: Ws) -> Result<(), Failure> {
    let url = config.options.url.clone();
    let has_token = config.options.token.is_some();
    let mut signals = Signals::new().map_err(|error| no_system(&error))?;
    let deadline = config.timeout.map(|timeout| Instant::now() + timeout);
    let client = tokio::select! {
        exit = signals.next() => return Err(stopped(exit, "no connection was made yet")),
        client = Client::connect(config.options) => {
            client.map_err(|error| match error {
                Error::Refused { status: 401 } if !has_token => Failure::no_token(&url),
                error => Failure::connection(&url, &error),
            })?
        }
    };
    let unbuffered = match config.source {
        Source::Person { edits: true } => Some(Unbuffered::enter().map_err(|e| no_system(&e))?),
        Source::Person { edits: false } | Source::Script(_) | Source::Pipe => None,
    };
    let person = matches!(config.source, Source::Person { .. });
    let screen = Screen::new(config.display);
    let help = if person {
        "; `/help` lists what can be typed"
    } else {
        ""
    };
    let words = format!("connected to {url}{help}");
    screen
        .state("connected", None, None, &words)
        .map_err(|error| unwritten(&error))?;
    let mut conversation = Conversation::new(client.clone(), screen, config.expects, deadline);
    if person {
        conversation = conversation.with_person(unbuffered.is_some().then(Editor::default));
    }
    let mut pieces = pieces(config.source);
    let end = conversation.run(&mut pieces, &mut signals).await;
    let outcome = outcome(&mut conversation, end, &url, config.timeout);
    drop(unbuffered);
    drop(conversation);
    tokio::select! {
        () = client.close() => outcome,
        exit = signals.next() => Err(stopped(exit, "the connection was not closed in order")),
    }
}

fn pieces(source: Source) -> mpsc::Receiver<Piece> {
    match source {
        Source::Person { edits: true } => input::keys(),
        Source::Person { edits: false } | Source::Pipe => input::lines(),
        Source::Script(messages) => {
            let (all, pieces) = mpsc::channel(messages.len().max(1));
            for message in messages {
                // There is room for each.
                let _ = all.try_send(Piece::Line(message));
            }
            pieces
        }
    }
}

fn outcome(
    conversation: &mut Conversation,
    end: io::Result<End>,
    url: &str,
    timeout: Option<Duration>,
) -> Result<(), Failure> {
    let left = conversation.close();
    match end {
        Ok(End::Done) => conversation.failure().map_or(Ok(()), Err),
        Ok(End::Quit) => {
            conversation.say_left(&left);
            Ok(())
        }
        Ok(End::Signal(exit)) => Err(stopped(exit, &left)),
        Ok(End::Closed(Reason::Code(1000))) if conversation.is_settled() => {
            conversation.failure().map_or(Ok(()), Err)
        }
        Ok(End::Closed(reason)) => Err(Failure::connection(url, &reason.into())),
        Ok(End::Late) => Err(conversation.lateness(timeout.unwrap_or_default(), &left)),
        // Whoever read stdout has had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(unwritten(&error)),
    }
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::file(
        Exit::Failed,
        "stdout cannot be written",
        error,
        "check where it goes to",
    )
}

fn stopped(exit: Exit, left: &str) -> Failure {
    let signal = if exit == Exit::Terminated {
        "SIGTERM"
    } else {
        "Ctrl-C"
    };
    Failure::new(exit, "interrupted", format!("{signal} came"), left)
}

fn no_system(error: &io::Error) -> Failure {
    let help = "the system refused it; check the limits of this process";
    Failure::file(Exit::Failed, "`lift ws` cannot start", error, help)
}

/// Ctrl-C and SIGTERM.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next one, as the exit status that it stands for. The future may be dropped.
    pub(crate) async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
        }
    }
}
