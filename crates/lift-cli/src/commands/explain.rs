//! A code comes in; its section of the documentation, which says what to do, goes out.

use crate::{
    args::ExplainArgs,
    failure::{Exit, Failure, harmless},
    output::print,
};

/// One page for codes in messages, one for what ends or refuses a connection.
const PAGES: [&str; 2] = [
    include_str!("../../../../docs/errors.md"),
    include_str!("../../../../docs/closes-and-refusals.md"),
];

/// Below this likeness a name is no suggestion.
const ALIKE_MIN: f64 = 0.7;

/// A code and what is to be known of it.
#[derive(Debug, Clone, Copy)]
struct Topic {
    /// As its heading has it.
    code: &'static str,
    text: &'static str,
}

pub(crate) fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let Some(asked) = &args.code else {
        let all: String = topics().map(|topic| topic.line(args.json)).collect();
        return print(&all);
    };
    let wanted = normal(asked);
    let topic = topics()
        .find(|topic| wanted == topic.code || Some(&*wanted) == topic.code.strip_prefix("HTTP "));
    match topic {
        Some(topic) if args.json => print(&topic.line(true)),
        Some(topic) => print(&topic.page()),
        None => Err(unknown(asked, &wanted)),
    }
}

/// Sections that a code is the heading of, in the pages' order.
fn topics() -> impl Iterator<Item = Topic> {
    let sections = PAGES.iter().flat_map(|page| page.split("\n## `").skip(1));
    sections.filter_map(|section| {
        let (code, text) = section.split_once("`\n")?;
        let text = text.trim();
        Some(Topic { code, text })
    })
}

/// `rate-limited` and `Rate_Limited` mean the same, and so do `http401` and `HTTP 401`.
fn normal(code: &str) -> String {
    let code = code.trim().to_ascii_uppercase();
    match code.strip_prefix("HTTP") {
        Some(status) => format!("HTTP {}", status.trim_matches([' ', '-', '/', '_'])),
        None => code.replace(['-', ' '], "_"),
    }
}

fn unknown(asked: &str, wanted: &str) -> Failure {
    let likeness = |topic: &Topic| strsim::jaro_winkler(wanted, topic.code);
    let nearest = topics()
        .filter(|topic| likeness(topic) >= ALIKE_MIN)
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let all = "`lift explain` lists all codes";
    Failure::new(
        Exit::Usage,
        format!("`{}` is no code that this version knows", harmless(asked)),
        "it is no error code, no close code and no status of a handshake",
        nearest.map_or_else(
            || all.to_owned(),
            |topic| format!("did you mean `{}`? {all}", topic.code),
        ),
    )
}

impl Topic {
    fn kind(self) -> &'static str {
        if self.code.starts_with("HTTP ") {
            "refused handshake"
        } else if self.code.bytes().all(|byte| byte.is_ascii_digit()) {
            "close code"
        } else {
            "error code"
        }
    }

    /// The first sentence about it.
    fn meaning(self) -> String {
        let text = self.text.trim_start_matches("**Meaning.** ");
        let paragraph = text.split("\n\n").next().unwrap_or_default();
        let sentence = paragraph.split(". ").next().unwrap_or_default();
        sentence.replace('\n', " ").trim_end_matches('.').to_owned()
    }

    fn line(self, json: bool) -> String {
        if json {
            let (code, kind, text) = (self.code, self.kind(), self.text);
            let topic = serde_json::json!({ "code": code, "kind": kind, "text": text });
            format!("{topic}\n")
        } else {
            format!("{:<22}{}\n", self.code, self.meaning())
        }
    }

    /// The section as people read it on a terminal.
    fn page(self) -> String {
        let text = self.text.replace("**", "");
        format!("{}, {}\n\n{text}\n", self.code, self.kind())
    }
}
