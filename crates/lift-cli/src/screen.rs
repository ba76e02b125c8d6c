//! What happened comes in, lines on stdout and talk, bars and a line to type in on stderr go out.

use std::{
    collections::HashMap,
    io::{self, Write},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::value::RawValue;
use streamer_client::{protocol::view::RequestId, request::Progress};

use crate::{
    config::{Bars, Display, Format, Talk},
    failure::{Failure, harmless},
    heard::{Said, Sort, one_line},
};

/// Most bars at a time.
const BARS_MAX: usize = 8;
/// A bar's full length: tenths of a per cent.
const BAR_LENGTH: u64 = 1000;
/// Most redraws a second.
const DRAWS_HZ: u8 = 30;
/// Most characters of the line to type in that are shown: its end.
const PROMPT_CHARS_MAX: usize = 70;

/// An event for programs; `--json` prints one a line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    /// Where the connection is.
    State {
        state: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        in_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<&'a str>,
    },
    /// A message from the server.
    Message { message: &'a RawValue },
    /// A request is followed again.
    Resumed {
        request_id: &'a RequestId,
        recovered: bool,
    },
    /// The last line.
    End {
        exit_status: u8,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a str>,
    },
}

/// stdout and stderr.
#[derive(Debug)]
pub(crate) struct Screen {
    display: Display,
    bars: Option<MultiProgress>,
    running: HashMap<RequestId, ProgressBar>,
    prompt: Option<ProgressBar>,
}

impl Screen {
    pub(crate) fn new(display: Display) -> Self {
        let bars = (display.bars == Bars::Drawn)
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWS_HZ)));
        Self {
            display,
            bars,
            running: HashMap::new(),
            prompt: None,
        }
    }

    /// A message from the server, on stdout.
    ///
    /// Progress is left to the bars where both are on a terminal.
    pub(crate) fn message(&self, text: &str, said: &Said) -> io::Result<()> {
        let line = one_line(text, &said.message);
        match self.display.format {
            Format::Terminal if said.sort == Sort::Progress && self.bars.is_some() => Ok(()),
            Format::Terminal => self.print(&harmless(&line)),
            Format::Messages => self.print(&line),
            Format::Events => {
                let message = serde_json::from_str(&line)?;
                self.event(&Event::Message { message })
            }
        }
    }

    /// A text of a server that has a protocol of its own, on stdout, as it came.
    pub(crate) fn text(&self, text: &str) -> io::Result<()> {
        match self.display.format {
            Format::Terminal => self.print(&harmless(text)),
            Format::Messages => self.print(text),
            Format::Events => {
                let message = serde_json::from_str(text).unwrap_or_else(|_not_json| text.into());
                let line = one_line(text, &message);
                let message = serde_json::from_str(&line)?;
                self.event(&Event::Message { message })
            }
        }
    }

    /// An event, on stdout where events are printed.
    pub(crate) fn event(&self, event: &Event<'_>) -> io::Result<()> {
        if self.display.format == Format::Events {
            self.print(&serde_json::to_string(event)?)
        } else {
            Ok(())
        }
    }

    /// Where the connection is, as event and in words where there are some.
    pub(crate) fn state(
        &self,
        state: &str,
        after: Option<Duration>,
        cause: Option<&str>,
        words: &str,
    ) -> io::Result<()> {
        if !words.is_empty() {
            self.talk(words);
        }
        let in_ms = after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        self.event(&Event::State {
            state,
            in_ms,
            cause,
        })
    }

    /// What people may want to know.
    pub(crate) fn talk(&self, words: &str) {
        if self.display.talk == Talk::All {
            self.say(words);
        }
    }

    /// An error that does not end it all.
    pub(crate) fn failure(&self, failure: &Failure) {
        self.say(&failure.to_string());
    }

    /// How far a request is.
    pub(crate) fn progress(&mut self, request_id: &RequestId, progress: &Progress) {
        let Some(bars) = &self.bars else { return };
        if self.running.len() >= BARS_MAX && !self.running.contains_key(request_id) {
            return;
        }
        let bar = self.running.entry(request_id.clone()).or_insert_with(|| {
            let bar = ProgressBar::new(BAR_LENGTH).with_style(style(
                "{prefix} {bar:30} {percent:>3} %  {elapsed}  {wide_msg}",
            ));
            let bar = match &self.prompt {
                Some(prompt) => bars.insert_before(prompt, bar),
                None => bars.add(bar),
            };
            bar.with_prefix(harmless(request_id.as_str()))
        });
        bar.set_position(tenths(progress.percentage));
        bar.set_message(harmless(&progress.message));
    }

    /// A request has ended, or nobody follows it any more.
    pub(crate) fn ended(&mut self, request_id: &RequestId) {
        if let (Some(bars), Some(bar)) = (&self.bars, self.running.remove(request_id)) {
            bar.finish_and_clear();
            bars.remove(&bar);
        }
    }

    /// The line that is being typed.
    pub(crate) fn prompt(&mut self, line: &str) {
        let Some(bars) = &self.bars else { return };
        let prompt = self.prompt.get_or_insert_with(|| {
            bars.add(ProgressBar::new(BAR_LENGTH).with_style(style("{msg}")))
        });
        let hidden = line.chars().count().saturating_sub(PROMPT_CHARS_MAX);
        let shown: String = line.chars().skip(hidden).collect();
        prompt.set_message(format!("> {shown}"));
        prompt.force_draw();
    }

    /// The line that was typed, above what is still drawn.
    pub(crate) fn typed(&self, line: &str) {
        self.say(&format!("> {line}"));
    }

    /// Takes bars and the line to type in away.
    pub(crate) fn close(&mut self) {
        if let Some(prompt) = self.prompt.take() {
            prompt.finish_and_clear();
        }
        for (_, bar) in self.running.drain() {
            bar.finish_and_clear();
        }
    }

    fn print(&self, line: &str) -> io::Result<()> {
        let print = || {
            let mut stdout = io::stdout().lock();
            writeln!(stdout, "{line}")?;
            stdout.flush()
        };
        match &self.bars {
            Some(bars) if self.display.format == Format::Terminal => bars.suspend(print),
            _ => print(),
        }
    }

    fn say(&self, words: &str) {
        let say = || {
            // A closed stderr is no reason to stop.
            let _ = writeln!(io::stderr(), "{words}");
        };
        match &self.bars {
            Some(bars) => bars.suspend(say),
            None => say(),
        }
    }
}

/// The last line of `--json`.
pub(crate) fn end(format: Format, exit_status: u8, failure: Option<&Failure>) {
    if format == Format::Events {
        let error = failure.map(Failure::what);
        let end = serde_json::to_string(&Event::End { exit_status, error })
            .expect("a number and a string can be written as JSON");
        // Whoever read stdout may be gone.
        let _ = writeln!(io::stdout(), "{end}");
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the template is a constant and has only fields that exist")
        .progress_chars("=> ")
}

/// Through text: no cast from a float keeps its value in sight.
fn tenths(percentage: f64) -> u64 {
    let tenths = (percentage.clamp(0.0, 100.0) * 10.0).floor();
    format!("{tenths:.0}").parse().unwrap_or_default()
}
