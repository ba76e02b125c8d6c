//! A report comes in, one of its forms goes out; and back from JSON.

use std::fmt;

use serde_json::Value;

use super::{FORMAT, Report, html, junit, markdown, rows, text};

/// What a report can be written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For a terminal.
    Text,
    /// The report itself; `docs/schemas/load-report.json` describes it.
    Json,
    /// Every figure in a row: `part,name,metric,value,unit`.
    Csv,
    /// For a CI server: a test case for each threshold.
    Junit,
    /// For a pull request.
    Markdown,
    /// One page with plots, which needs nothing but a browser.
    Html,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Text,
        Self::Json,
        Self::Csv,
        Self::Junit,
        Self::Markdown,
        Self::Html,
    ];

    /// As a command line names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Junit => "junit",
            Self::Markdown => "markdown",
            Self::Html => "html",
        }
    }

    /// The form of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.name() == name)
    }
}

/// Why a text is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Not JSON, or not of a report's shape.
    #[error("it is not of the shape that it should be")]
    Shape(#[from] serde_json::Error),
    /// Of another version, or something else.
    #[error("its format is `{found}`, and this version reads `{known}`")]
    Format {
        /// What it says.
        found: String,
        /// What it should say.
        known: &'static str,
    },
}

impl Report {
    /// The report in this form; each ends with a line's end.
    #[must_use]
    pub fn written(&self, form: Form) -> String {
        match form {
            Form::Text => text::written(self),
            Form::Json => json(self),
            Form::Csv => rows::written(self),
            Form::Junit => junit::written(self),
            Form::Markdown => markdown::written(self),
            Form::Html => html::written(self),
        }
    }

    /// Reads what [`Form::Json`] wrote.
    ///
    /// # Errors
    /// What is no JSON of this shape, or of another format.
    pub fn read(text: &str) -> Result<Self, ReadError> {
        let value: Value = serde_json::from_str(text)?;
        match value.get("format").and_then(Value::as_str) {
            Some(FORMAT) | None => Ok(serde_json::from_value(value)?),
            Some(other) => Err(ReadError::Format {
                found: other.chars().take(60).collect(),
                known: FORMAT,
            }),
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The JSON Schema of a report.
#[must_use]
pub fn schema() -> Value {
    schemars::schema_for!(Report).to_value()
}

fn json(report: &Report) -> String {
    let text = serde_json::to_string(report).expect("strings and numbers alone are JSON");
    format!("{text}\n")
}
