//! Input, what any server says and the clock come in; texts as they are, lines to show and the end go out.

use std::{collections::VecDeque, io, time::Duration};

use streamer_client::plain::{Closing, Heard, Plain};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    person::{self, Person},
    ws::Signals,
};
use crate::{
    editor::Entered,
    expect,
    failure::{Exit, Failure, harmless},
    input::Piece,
    screen::Screen,
};

/// How long an answer is waited for after the last message, where no `--timeout` says it.
const QUIET: Duration = Duration::from_secs(5);
/// Most characters of a message that an error repeats.
const SHOWN_MAX: usize = 200;

/// What `/help` says.
const HELP: &str = "\
  a line                any text, sent as it is typed
  /quit                 leave";

/// What is said and waited for.
#[derive(Debug)]
pub(crate) struct Terms {
    /// None where input comes from a script or a pipe.
    pub(crate) person: Option<Person>,
    /// Texts that must come, in this order.
    pub(crate) expects: Vec<String>,
    /// The time for all of it, from `since`.
    pub(crate) timeout: Option<Duration>,
    pub(crate) since: Instant,
}

/// Why a conversation is over.
#[derive(Debug)]
pub(crate) enum End {
    /// Everything that was asked for has happened.
    Done,
    /// A person left.
    Quit,
    /// A signal came.
    Signal(Exit),
    /// The connection is gone.
    Closed(Option<Closing>),
    /// The time for all of it has passed.
    Late,
}

/// One connection to a server that speaks a protocol of its own.
#[derive(Debug)]
pub(crate) struct Exchange {
    plain: Plain,
    screen: Screen,
    terms: Terms,
    expects: VecDeque<String>,
    /// What was entered and has no room yet: of one piece of input.
    waiting: VecDeque<Entered>,
    sent: u64,
    heard: u64,
    /// When something was last sent or heard.
    moved: Instant,
    last: Option<String>,
    failure: Option<Failure>,
    /// Whether no more input comes.
    ended: bool,
}

impl Exchange {
    pub(crate) fn new(plain: Plain, screen: Screen, terms: Terms) -> Self {
        Self {
            plain,
            screen,
            expects: terms.expects.iter().cloned().collect(),
            moved: terms.since,
            terms,
            waiting: VecDeque::new(),
            sent: 0,
            heard: 0,
            last: None,
            failure: None,
            ended: false,
        }
    }

    /// Goes on until everything asked for has happened, or cannot.
    ///
    /// # Errors
    /// stdout cannot be written.
    pub(crate) async fn run(
        &mut self,
        pieces: &mut mpsc::Receiver<Piece>,
        signals: &mut Signals,
    ) -> io::Result<End> {
        self.show_prompt();
        while !self.is_done() {
            let due = self.due();
            let has_waiting = !self.waiting.is_empty();
            // In this order, so that an answer is shown before what follows from it.
            let end = tokio::select! {
                biased;
                exit = signals.next() => self.interrupt(exit),
                heard = self.plain.incoming.next() => self.hear(heard)?,
                () = self.plain.outgoing.room(), if has_waiting => self.enter(),
                piece = pieces.recv(), if !self.ended && !has_waiting => self.take(piece),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Some(End::Late),
            };
            if let Some(end) = end {
                return Ok(end);
            }
        }
        Ok(End::Done)
    }

    /// Clears what is drawn, and says how it ended.
    ///
    /// # Errors
    /// What was asked for did not happen.
    pub(crate) fn outcome(&mut self, end: End) -> Result<(), Failure> {
        self.screen.close();
        match end {
            End::Done | End::Quit => {}
            End::Signal(exit) => {
                return Err(Failure::signal(exit, "what was sent is not taken back"));
            }
            End::Closed(closing) => self.closed(closing)?,
            End::Late if self.expects.is_empty() => self.say_quiet(),
            End::Late => return Err(self.unmet()),
        }
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Says goodbye to the server.
    pub(crate) async fn close(self) {
        self.plain.close().await;
    }

    fn is_done(&self) -> bool {
        self.ended && self.terms.person.is_none() && self.waiting.is_empty() && self.is_settled()
    }

    /// Whether everything that is waited for has come.
    fn is_settled(&self) -> bool {
        if self.terms.expects.is_empty() {
            self.heard >= self.sent
        } else {
            self.expects.is_empty()
        }
    }

    fn due(&self) -> Option<Instant> {
        match self.terms.timeout {
            Some(timeout) => Some(self.terms.since + timeout),
            None => (self.ended && self.waiting.is_empty()).then(|| self.moved + QUIET),
        }
    }

    fn interrupt(&mut self, exit: Exit) -> Option<End> {
        let person = self.terms.person.as_mut();
        if exit == Exit::Interrupted && person.is_some_and(Person::is_warned) {
            self.screen.talk("Ctrl-C again leaves; so does `/quit`");
            self.show_prompt();
            return None;
        }
        Some(End::Signal(exit))
    }

    fn hear(&mut self, heard: Heard) -> io::Result<Option<End>> {
        self.moved = Instant::now();
        match heard {
            Heard::Text(text) => {
                self.heard += 1;
                self.screen.text(&text)?;
                let is_met = |expected: &mut String| expect::is_same(&text, expected);
                self.expects.pop_front_if(is_met);
                self.last = (!self.expects.is_empty()).then_some(text);
            }
            Heard::Binary(bytes) => {
                self.heard += 1;
                self.screen.talk(&format!(
                    "a binary message of {bytes} bytes came; only text is shown"
                ));
            }
            Heard::Closed(closing) => {
                let cause = said(closing.as_ref());
                self.screen.state("closed", None, Some(&cause), "")?;
                return Ok(Some(End::Closed(closing)));
            }
        }
        Ok(None)
    }

    fn take(&mut self, piece: Option<Piece>) -> Option<End> {
        match person::entered(piece, self.terms.person.as_mut()) {
            Ok(entered) => self.waiting.extend(entered),
            Err(failure) => self.fail(failure),
        }
        self.show_prompt();
        None
    }

    /// Does what was entered first.
    fn enter(&mut self) -> Option<End> {
        match (self.waiting.pop_front()?, &self.terms.person) {
            (Entered::End, Some(_)) => return Some(End::Quit),
            (Entered::End, None) => self.ended = true,
            (Entered::Line(text), None) => self.send(text),
            (Entered::Line(text), Some(person)) => {
                if person.line().is_some() {
                    self.screen.typed(&text);
                }
                match text.trim() {
                    "" => {}
                    "/help" => self.screen.talk(HELP),
                    "/quit" => return Some(End::Quit),
                    _ => self.send(text),
                }
            }
        }
        None
    }

    fn send(&mut self, text: String) {
        self.moved = Instant::now();
        match self.plain.outgoing.send(text) {
            Ok(()) => self.sent += 1,
            Err(error) => self.fail(Failure::message(&error)),
        }
    }

    /// A person sees a failure at once; a script sees each once, and the last decides the outcome.
    fn fail(&mut self, failure: Failure) {
        if self.terms.person.is_some() {
            self.screen.failure(&failure);
        } else if let Some(before) = self.failure.replace(failure) {
            self.screen.failure(&before);
        }
    }

    /// A server that is done may close; anything else that ends a connection is a failure.
    fn closed(&self, closing: Option<Closing>) -> Result<(), Failure> {
        let is_orderly = closing
            .as_ref()
            .is_some_and(|closing| matches!(closing.code, 1000 | Closing::NONE));
        let cause = said(closing.as_ref());
        if is_orderly && (self.terms.person.is_some() || (self.ended && self.is_settled())) {
            self.screen.talk(&cause);
            return Ok(());
        }
        let help = match closing.map_or(1006, |closing| closing.code) {
            3000..5000 => "the code is the application's own".to_owned(),
            code => format!("`lift explain {code}` says what may be behind it"),
        };
        Err(Failure::new(
            Exit::Failed,
            "the connection is closed",
            cause,
            help,
        ))
    }

    /// Not every message of every API is answered.
    fn say_quiet(&self) {
        let (heard, sent) = (self.heard, self.sent);
        let time = self.terms.timeout.unwrap_or(QUIET);
        if heard < sent {
            let came = if heard == 0 {
                "nothing came".to_owned()
            } else {
                format!("{heard} came")
            };
            self.screen.talk(&format!(
                "{sent} sent, {came} in {time:?}; a server need not answer, `--timeout` waits longer"
            ));
        }
    }

    fn unmet(&self) -> Failure {
        let expected = self.expects.front().map(|text| harmless(text));
        let last = self.last.as_deref().map(|last| {
            let short: String = last.chars().take(SHOWN_MAX).collect();
            format!("the last message was {}", harmless(&short))
        });
        Failure::new(
            Exit::Unmet,
            format!(
                "no message that is `{}` came in {:?}",
                expected.unwrap_or_default(),
                self.terms.timeout.unwrap_or(QUIET)
            ),
            last.unwrap_or_else(|| "no message came at all".to_owned()),
            "check what is expected, or give it more --timeout",
        )
    }

    fn show_prompt(&mut self) {
        if let Some(line) = self.terms.person.as_ref().and_then(Person::line) {
            self.screen.prompt(line);
        }
    }
}

/// How a connection ended, in words.
pub(crate) fn said(closing: Option<&Closing>) -> String {
    match closing {
        None => "the connection was lost".to_owned(),
        Some(closing) if closing.code == Closing::NONE => {
            "the server closed without a code".to_owned()
        }
        Some(Closing { code, reason }) if reason.is_empty() => {
            format!("the server closed with {code}")
        }
        Some(Closing { code, reason }) => {
            format!("the server closed with {code}: {}", harmless(reason))
        }
    }
}
