//! Input, texts from the server, news of requests and the clock come in; messages to send, lines to
//! show and the end go out.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    io,
    sync::Arc,
    time::Duration,
};

use streamer_client::{Client, Error, Reason, State, protocol::view::RequestId};
use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        mpsc, watch,
    },
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    job::{self, News},
    person::{self, Person},
    texts::{Number, Texts},
    ws::Signals,
};
use crate::{
    editor::Entered,
    expect::Expect,
    failure::{Exit, Failure, harmless},
    heard::Heard,
    input::Piece,
    line::{self, HELP, Line, Mistake},
    screen::{Event, Screen},
};

/// Messages without an answer and requests without an end, together; more input waits.
const OPEN_MAX: usize = 1024;
/// News that waits to be shown.
const NEWS_MAX: usize = 64;
/// Most characters of a message that an error repeats.
const SHOWN_MAX: usize = 200;

/// Why a conversation is over.
#[derive(Debug)]
pub(crate) enum End {
    /// Everything that was asked for has happened.
    Done,
    /// A person left.
    Quit,
    /// A signal came.
    Signal(Exit),
    /// The connection will not come back.
    Closed(Reason),
    /// The time for all of it has passed.
    Late,
}

/// A finished job: what it was about and how it ended.
type Finished = (Asked, Instant, job::End);

/// What a job is about.
#[derive(Debug)]
enum Asked {
    Message(String),
    Text(Number),
    Resume,
}

/// All that is open on one client.
#[derive(Debug)]
pub(crate) struct Conversation {
    client: Client,
    tap: broadcast::Receiver<Arc<str>>,
    state: watch::Receiver<State>,
    screen: Screen,
    person: Option<Person>,
    heard: Heard,
    expects: VecDeque<Expect>,
    expecting: bool,
    deadline: Option<Instant>,
    jobs: JoinSet<Finished>,
    news: (mpsc::Sender<News>, mpsc::Receiver<News>),
    /// Ids of messages whose job runs, and of how many.
    asked: HashMap<String, u32>,
    /// Those of them without an answer.
    unanswered: HashSet<String>,
    texts: Texts,
    requests: Vec<RequestId>,
    latest: Option<RequestId>,
    /// A line whose id is that of a message without an answer.
    held: Option<Line>,
    made: u64,
    last: Option<String>,
    failure: Option<Failure>,
    /// Why the connection will not come back; jobs end by themselves then.
    closed: Option<Reason>,
    /// Whether a job had to end before its time.
    lost: bool,
    /// Whether no more input comes.
    ended: bool,
}

impl Conversation {
    pub(crate) fn new(
        client: Client,
        screen: Screen,
        expects: Vec<Expect>,
        deadline: Option<Instant>,
    ) -> Self {
        let mut state = client.state();
        state.mark_unchanged();
        Self {
            tap: client.tap(),
            state,
            client,
            screen,
            person: None,
            heard: Heard::default(),
            expecting: !expects.is_empty(),
            expects: expects.into(),
            deadline,
            jobs: JoinSet::new(),
            news: mpsc::channel(NEWS_MAX),
            asked: HashMap::new(),
            unanswered: HashSet::new(),
            texts: Texts::default(),
            requests: Vec::new(),
            latest: None,
            held: None,
            made: 0,
            last: None,
            failure: None,
            lost: false,
            closed: None,
            ended: false,
        }
    }

    /// Takes input as short forms; a person decides when it is over.
    pub(crate) fn with_person(mut self, person: Person) -> Self {
        self.person = Some(person);
        self
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
        loop {
            if self.is_done() {
                return Ok(End::Done);
            }
            if let Some(reason) = self.closed.take_if(|_| self.jobs.is_empty()) {
                return Ok(End::Closed(reason));
            }
            let open = self.jobs.len() + self.texts.len();
            let takes =
                !self.ended && self.held.is_none() && open < OPEN_MAX && self.closed.is_none();
            let due = self.next_due();
            // In this order, so that an answer is shown before what follows from it.
            let end = tokio::select! {
                biased;
                exit = signals.next() => self.interrupt(exit),
                heard = self.tap.recv(), if self.closed.is_none() => self.hear(heard)?,
                Some(news) = self.news.1.recv() => self.learn(news)?,
                Some(Ok(finished)) = self.jobs.join_next() => self.finish(finished),
                _ = self.state.changed(), if self.closed.is_none() => self.moved()?,
                piece = pieces.recv(), if takes => self.take(piece),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.expire(),
            };
            if let Some(end) = end {
                return Ok(end);
            }
            if let Some(held) = self.held.take() {
                self.act(held);
            }
        }
    }

    /// Whether nothing is open.
    pub(crate) fn is_settled(&self) -> bool {
        self.jobs.is_empty() && self.texts.len() == 0 && self.held.is_none() && !self.lost
    }

    /// The failure that decides the outcome, if one does.
    pub(crate) fn failure(&mut self) -> Option<Failure> {
        let is_met = self.expecting && self.expects.is_empty();
        self.failure.take().filter(|_| !is_met)
    }

    /// Clears what is drawn; what is left undone, for people.
    pub(crate) fn close(&mut self) -> String {
        self.screen.close();
        if self.requests.is_empty() {
            return "no request that was acknowledged is left open".to_owned();
        }
        let ids: Vec<_> = self
            .requests
            .iter()
            .map(|id| harmless(id.as_str()))
            .collect();
        format!(
            "these requests go on, `/resume` follows them: {}",
            ids.join(", ")
        )
    }

    pub(crate) fn say_left(&self, left: &str) {
        if !self.requests.is_empty() {
            self.screen.talk(left);
        }
    }

    /// What did not come in time.
    pub(crate) fn lateness(&self, timeout: Duration, left: &str) -> Failure {
        let Some(expect) = self.expects.front() else {
            let unanswered = self.unanswered.len() + self.texts.len();
            let running = self.requests.len();
            return Failure::new(
                Exit::Unmet,
                format!("it was not over in {timeout:?}"),
                format!("{unanswered} messages have no answer, {running} requests have not ended"),
                format!("give it more --timeout; {left}"),
            );
        };
        let last = self.last.as_deref().map(|last| {
            let short: String = last.chars().take(SHOWN_MAX).collect();
            format!("the last message was {}", harmless(&short))
        });
        Failure::new(
            Exit::Unmet,
            format!("no message that contains `{expect}` came in {timeout:?}"),
            last.unwrap_or_else(|| "no message came at all".to_owned()),
            "check what is expected, or give it more --timeout",
        )
    }

    fn is_done(&self) -> bool {
        let asked = self.ended && self.held.is_none() && !self.lost && self.person.is_none();
        // Once all that was asked is answered, and one of it refused, nothing more need come.
        let happened = if self.expecting {
            self.expects.is_empty() || (self.failure.is_some() && self.is_settled())
        } else {
            self.is_settled()
        };
        asked && happened
    }

    fn next_due(&self) -> Option<Instant> {
        self.deadline.into_iter().chain(self.texts.next_due()).min()
    }

    fn expire(&mut self) -> Option<End> {
        let now = Instant::now();
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Some(End::Late);
        }
        for _ in 0..self.texts.expire(now) {
            self.fail(Failure::message(&Error::TimedOut));
        }
        None
    }

    fn interrupt(&mut self, exit: Exit) -> Option<End> {
        if exit == Exit::Interrupted && self.person.as_mut().is_some_and(Person::is_warned) {
            self.screen.talk("Ctrl-C again leaves; so does `/quit`");
            self.show_prompt();
            return None;
        }
        Some(End::Signal(exit))
    }

    fn hear(&mut self, heard: Result<Arc<str>, RecvError>) -> io::Result<Option<End>> {
        let text = match heard {
            Ok(text) => text,
            Err(RecvError::Lagged(missed)) => {
                self.fail(Failure::new(
                    Exit::Failed,
                    format!("{missed} messages were not shown"),
                    "they came faster than stdout took them",
                    "read stdout faster; `/get` shows how a request ended",
                ));
                return Ok(None);
            }
            Err(RecvError::Closed) => return self.moved(),
        };
        let (asked, texts) = (&self.asked, &self.texts);
        let said = self.heard.take(&text, |id| {
            id.is_some_and(|id| asked.contains_key(id)) || texts.may_be_answered_by(id)
        });
        let Some(said) = said else { return Ok(None) };
        self.screen.message(&text, &said)?;
        match (self.texts.answer(&said), &said.refusal) {
            (Some(_), Some(body)) => {
                self.fail(Failure::refusal("the server refused a message", body));
            }
            (Some(since), None) => self.say_took("answered", since),
            (None, _) => {}
        }
        if self
            .expects
            .front()
            .is_some_and(|expect| expect.is_met_by(&said.message))
        {
            self.expects.pop_front();
        }
        self.last = self.expecting.then(|| text.to_string());
        Ok(None)
    }

    fn learn(&mut self, news: News) -> io::Result<Option<End>> {
        match news {
            News::Accepted(id, request_id) => {
                if let Some(id) = id {
                    self.unanswered.remove(&id);
                }
                self.latest = Some(request_id.clone());
                self.requests.push(request_id);
            }
            News::Progress(request_id, progress) => self.screen.progress(&request_id, &progress),
            News::Resumed(request_id, recovered) => {
                let words = format!("resumed {}", harmless(request_id.as_str()));
                let missing = "; some of it is still to come";
                self.screen
                    .talk(&format!("{words}{}", if recovered { "" } else { missing }));
                let request_id = &request_id;
                self.screen.event(&Event::Resumed {
                    request_id,
                    recovered,
                })?;
            }
            News::Over(request_id) => {
                self.requests.retain(|other| *other != request_id);
                self.screen.ended(&request_id);
            }
        }
        Ok(None)
    }

    fn finish(&mut self, (asked, since, end): Finished) -> Option<End> {
        if let Asked::Message(id) = &asked {
            self.unanswered.remove(id);
            let left = self.asked.get_mut(id).map(|jobs| {
                *jobs -= 1;
                *jobs
            });
            if left == Some(0) {
                self.asked.remove(id);
            }
        }
        match (end, asked) {
            (job::End::Done, Asked::Text(_)) => {}
            (job::End::Done, _) => self.say_took("answered", since),
            (job::End::Complete, _) => self.say_took("complete", since),
            (job::End::Lost, _) => self.lost = true,
            (job::End::Failed(failure), asked) => {
                if let Asked::Text(unsent) = asked {
                    self.texts.forget(unsent);
                }
                self.fail(failure);
            }
        }
        None
    }

    fn moved(&mut self) -> io::Result<Option<End>> {
        let state = self.state.borrow_and_update().clone();
        match state {
            State::Connecting { .. } => self.screen.state("connecting", None, None, "")?,
            State::Connected => self
                .screen
                .state("connected", None, None, "connected again")?,
            State::Waiting { until, cause, .. } => {
                let wait = until.saturating_duration_since(Instant::now());
                let cause = harmless(&cause);
                let words = format!(
                    "no connection: {cause}; trying again in {:.1} s",
                    wait.as_secs_f64()
                );
                self.screen
                    .state("waiting", Some(wait), Some(&cause), &words)?;
            }
            State::Closed { reason } => {
                let cause = reason.to_string();
                self.screen.state("closed", None, Some(&cause), "")?;
                while let Ok(text) = self.tap.try_recv() {
                    self.hear(Ok(text))?;
                }
                self.closed = Some(reason);
            }
        }
        Ok(None)
    }

    fn take(&mut self, piece: Option<Piece>) -> Option<End> {
        let entered = person::entered(piece, self.person.as_mut()).unwrap_or_else(|failure| {
            self.fail(failure);
            vec![]
        });
        let end = entered.into_iter().find_map(|entry| self.enter(entry));
        self.show_prompt();
        end
    }

    fn enter(&mut self, entry: Entered) -> Option<End> {
        let line = match (entry, &self.person) {
            (Entered::End, None) => {
                self.ended = true;
                return None;
            }
            (Entered::End, Some(_)) => return Some(End::Quit),
            (Entered::Line(text), None) => line::as_it_is(text),
            (Entered::Line(text), Some(person)) => {
                if person.line().is_some() {
                    self.screen.typed(&text);
                }
                match line::typed(&text, self.latest.as_ref()) {
                    Ok(line) => line,
                    Err(Mistake { what, cause, help }) => {
                        let failure = Failure::new(Exit::Usage, what, cause, help);
                        self.screen.failure(&failure);
                        Line::Nothing
                    }
                }
            }
        };
        self.act(line)
    }

    fn act(&mut self, line: Line) -> Option<End> {
        let now = Instant::now();
        let (client, news) = (self.client.clone(), self.news.0.clone());
        match line {
            Line::Submit(mut message) => {
                let id = message.id.get_or_insert_with(|| {
                    self.made += 1;
                    format!("lift-{}", self.made)
                });
                if !self.unanswered.insert(id.clone()) {
                    self.held = Some(Line::Submit(message));
                    return None;
                }
                let id = id.clone();
                *self.asked.entry(id.clone()).or_default() += 1;
                let work = job::submit(client, *message, news);
                self.jobs
                    .spawn(async move { (Asked::Message(id), now, work.await) });
            }
            Line::Text(text) => {
                let (number, deadline) = self.texts.add(now, &text);
                let work = job::send(client, text, deadline);
                self.jobs
                    .spawn(async move { (Asked::Text(number), now, work.await) });
            }
            Line::Resume(request_id, after_seq) => {
                let work = job::resume(client, request_id, after_seq, news);
                self.jobs
                    .spawn(async move { (Asked::Resume, now, work.await) });
            }
            Line::Cut => {
                self.jobs.spawn(async move {
                    client.cut().await;
                    (Asked::Resume, now, job::End::Done)
                });
            }
            Line::Help => self.screen.talk(HELP),
            Line::Quit => return Some(End::Quit),
            Line::Nothing => {}
        }
        None
    }

    /// A person sees a failure at once; a script sees each once, and the last decides the outcome.
    fn fail(&mut self, failure: Failure) {
        if self.person.is_some() {
            self.screen.failure(&failure);
        } else if let Some(before) = self.failure.replace(failure)
            && !self.expecting
        {
            self.screen.failure(&before);
        }
    }

    fn say_took(&self, how: &str, since: Instant) {
        if self.person.is_some() {
            self.screen
                .talk(&format!("{how} in {}", spoken(since.elapsed())));
        }
    }

    fn show_prompt(&mut self) {
        if let Some(line) = self.person.as_ref().and_then(Person::line) {
            self.screen.prompt(line);
        }
    }
}

fn spoken(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.1} ms", time.as_secs_f64() * 1000.0)
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}
