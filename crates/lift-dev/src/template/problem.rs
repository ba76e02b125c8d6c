//! In: what is wrong with a template, and where. Out: all of it at once, each with its source line and a caret.

use std::fmt;
use std::path::{Path, PathBuf};

/// Problems kept; a template with more is wrong in a way that the first ones say.
const PROBLEMS_MAX: usize = 100;
/// Characters of a source line that are shown.
const LINE_CHARS_MAX: usize = 160;

/// A place in a file; both count from one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// One thing that is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The template.
    pub file: PathBuf,
    /// Its line, from one; zero where the whole file is meant.
    pub line: usize,
    /// The character in the line, from one.
    pub column: usize,
    /// What is wrong.
    pub text: String,
    /// The existing name that was probably meant.
    pub nearest: Option<String>,
    source: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.text)?;
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean `{nearest}`?")?;
        }
        if self.source.is_empty() || self.column > LINE_CHARS_MAX {
            return Ok(());
        }
        let gutter = self.line.to_string().len() + 2;
        let shown: String = self.source.chars().take(LINE_CHARS_MAX).collect();
        // Tabs stay tabs, so that the caret stands below what it points at.
        let tabs = |c: char| if c == '\t' { '\t' } else { ' ' };
        let before = self.source.chars().take(self.column.saturating_sub(1));
        let pad: String = before.map(tabs).collect();
        write!(f, "\n  {} | {shown}\n{:gutter$} | {pad}^", self.line, "")
    }
}

/// All that is wrong with a template.
///
/// `Display` shows every problem with its source line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    /// The problems, in the order of their lines.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// The whole file is the problem.
    pub(super) fn file(file: &Path, text: String) -> Self {
        let mut log = Log::default();
        log.problem(Mark::default(), text);
        log.into_problems(file, "")
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.list.iter().enumerate() {
            let between = if n == 0 { "" } else { "\n" };
            write!(f, "{between}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// What reading finds: problems, and notes about what is skipped.
#[derive(Debug, Default)]
pub(super) struct Log {
    problems: Vec<(Mark, String, Option<String>)>,
    notes: Vec<(Mark, String)>,
}

impl Log {
    /// Something the template cannot run with.
    pub(super) fn problem(&mut self, at: Mark, text: impl Into<String>) {
        self.add(at, text.into(), None);
    }

    /// A name that does not exist, among those that do.
    pub(super) fn misspelt<'n>(
        &mut self,
        at: Mark,
        text: impl Into<String>,
        name: &str,
        existing: impl IntoIterator<Item = &'n str>,
    ) {
        self.add(at, text.into(), nearest(name, existing).map(str::to_owned));
    }

    /// Something the template runs without.
    pub(super) fn note(&mut self, at: Mark, text: impl Into<String>) {
        let note = (at, text.into());
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn add(&mut self, at: Mark, text: String, nearest: Option<String>) {
        // One wrong name is met by the check of all names and where its value is needed.
        let known = |(mark, other, _): &(Mark, String, _)| *mark == at && *other == text;
        if self.problems.len() < PROBLEMS_MAX && !self.problems.iter().any(known) {
            self.problems.push((at, text, nearest));
        }
    }

    pub(super) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// The notes, each with its line.
    pub(super) fn into_notes(mut self) -> Vec<String> {
        self.notes.sort();
        let line = |(at, text): (Mark, String)| match at.line {
            0 => text,
            line => format!("line {line}: {text}"),
        };
        self.notes.into_iter().map(line).collect()
    }

    pub(super) fn into_problems(mut self, file: &Path, source: &str) -> Problems {
        self.problems.sort_by_key(|(at, ..)| *at);
        let problem = |(at, text, nearest): (Mark, String, Option<String>)| Problem {
            file: file.to_owned(),
            line: at.line,
            column: at.column,
            text,
            nearest,
            source: at
                .line
                .checked_sub(1)
                .and_then(|line| source.lines().nth(line))
                .unwrap_or_default()
                .to_owned(),
        };
        Problems {
            list: self.problems.into_iter().map(problem).collect(),
        }
    }
}

/// The existing name that is close enough to have been meant.
pub(super) fn nearest<'n>(
    name: &str,
    existing: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    let lower = name.to_lowercase();
    let distance = |other: &str| strsim::damerau_levenshtein(&lower, &other.to_lowercase());
    let allowed = (name.chars().count() / 3).clamp(2, 6);
    existing
        .into_iter()
        .map(|other| (distance(other), other))
        .filter(|(distance, other)| *distance <= allowed && *distance < other.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}
