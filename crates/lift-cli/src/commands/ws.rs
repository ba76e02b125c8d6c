//! A URL and where messages come from come in, one whole conversation and its outcome go out.

use std::{io, time::Duration};

use streamer_client::{
    Client, Error, Reason,
    options::Options,
    plain::{self, Opened, Plain},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::Instant,
};

use super::{
    conversation::{Conversation, End},
    person::Person,
    plain::{Exchange, Terms},
};
use crate::{
    config::{Protocol, Source, Ws},
    editor::Editor,
    expect::Expect,
    failure::{Exit, Failure, harmless},
    input::{self, Piece, Unbuffered},
    screen::{self, Screen},
};

/// What a second signal leaves undone.
const UNCLOSED: &str = "the connection was not closed in order";

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
    let since = Instant::now();
    let opened = tokio::select! {
        exit = signals.next() => return Err(Failure::signal(exit, "no connection was made yet")),
        opened = open(config.options, config.protocol) => {
            opened.map_err(|error| match error {
                Error::Refused { status: 401 } if !has_token => Failure::no_token(&url),
                error => Failure::connection(&url, &error),
            })?
        }
    };
    let expects = match &opened {
        Opened::Streamer(_) => expected(&config.expects)?,
        Opened::Plain(_) => vec![],
    };
    let (_unbuffered, person) = person(&config.source)?;
    let screen = Screen::new(config.display);
    let help = match (&person, &opened) {
        (None, _) => "",
        (Some(_), Opened::Streamer(_)) => "; `/help` lists what can be typed",
        (Some(_), Opened::Plain(_)) => "; each line is sent as it is, `/quit` leaves",
    };
    let words = format!("connected to {url}{help}");
    screen
        .state("connected", None, None, &words)
        .map_err(|error| unwritten(&error))?;
    let input = (pieces(config.source), signals);
    match opened {
        Opened::Streamer(client) => {
            let deadline = config.timeout.map(|timeout| since + timeout);
            let mut conversation = Conversation::new(client.clone(), screen, expects, deadline);
            if let Some(person) = person {
                conversation = conversation.with_person(person);
            }
            follow(client, conversation, input, &url, config.timeout).await
        }
        Opened::Plain(plain) => {
            let terms = Terms {
                person,
                expects: config.expects,
                timeout: config.timeout,
                since,
            };
            exchange(Exchange::new(plain, screen, terms), input).await
        }
    }
}

/// Where messages and signals come from.
type Input = (mpsc::Receiver<Piece>, Signals);

async fn open(options: Options, protocol: Protocol) -> Result<Opened, Error> {
    match protocol {
        Protocol::Chosen => plain::open(options).await,
        Protocol::Raw => Plain::connect(options).await.map(Opened::Plain),
    }
}

/// What must come from a server that speaks `streamer.v1`.
fn expected(texts: &[String]) -> Result<Vec<Expect>, Failure> {
    let parse = |text: &String| {
        Expect::parse(text).map_err(|cause| {
            let what = format!("`{}` cannot be expected of this server", harmless(text));
            let help = "it speaks `streamer.v1`: expect a JSON object or a type, or add --raw";
            Failure::new(Exit::Usage, what, cause, help)
        })
    };
    texts.iter().map(parse).collect()
}

/// Who types, with the terminal as that needs it.
fn person(source: &Source) -> Result<(Option<Unbuffered>, Option<Person>), Failure> {
    match source {
        Source::Person { edits: true } => {
            let unbuffered = Unbuffered::enter().map_err(|error| no_system(&error))?;
            Ok((Some(unbuffered), Some(Person::new(Some(Editor::default())))))
        }
        Source::Person { edits: false } => Ok((None, Some(Person::new(None)))),
        Source::Script(_) | Source::Pipe => Ok((None, None)),
    }
}

async fn follow(
    client: Client,
    mut conversation: Conversation,
    (mut pieces, mut signals): Input,
    url: &str,
    timeout: Option<Duration>,
) -> Result<(), Failure> {
    let end = conversation.run(&mut pieces, &mut signals).await;
    let outcome = outcome(&mut conversation, end, url, timeout);
    drop(conversation);
    tokio::select! {
        () = client.close() => outcome,
        exit = signals.next() => Err(Failure::signal(exit, UNCLOSED)),
    }
}

async fn exchange(mut exchange: Exchange, (mut pieces, mut signals): Input) -> Result<(), Failure> {
    let end = exchange.run(&mut pieces, &mut signals).await;
    let outcome = end.map_or_else(|error| unread(&error), |end| exchange.outcome(end));
    tokio::select! {
        () = exchange.close() => outcome,
        exit = signals.next() => Err(Failure::signal(exit, UNCLOSED)),
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
        Ok(End::Signal(exit)) => Err(Failure::signal(exit, &left)),
        Ok(End::Closed(Reason::Code(1000))) if conversation.is_settled() => {
            conversation.failure().map_or(Ok(()), Err)
        }
        Ok(End::Closed(reason)) => Err(Failure::connection(url, &reason.into())),
        Ok(End::Late) => Err(conversation.lateness(timeout.unwrap_or_default(), &left)),
        Err(error) => unread(&error),
    }
}

/// Whoever read stdout may have had enough.
fn unread(error: &io::Error) -> Result<(), Failure> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(unwritten(error)),
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
    pub(crate) fn new() -> io::Result<Self> {
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
