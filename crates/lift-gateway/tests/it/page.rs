//! In: the comments that open the scripts. Out: `docs/compatibility.md`, and how many rules have which mark.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::{fs, io};

use crate::conversations::scripts;

/// Set to `write`, it makes the test write the page instead of comparing it.
const WRITE: &str = "COMPATIBILITY";

/// What a script says of itself.
#[derive(Debug)]
struct Rule {
    script: String,
    rule: String,
    source: String,
    mark: Mark,
    /// What of a known rule is not known, such as a close frame's text.
    open: Option<String>,
    /// What to do on a real account, and what to look at.
    settle: Option<String>,
}

/// How it is known what API Gateway does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    /// A document says so.
    Documented,
    /// Somebody has seen and published it.
    Observed,
    /// Nobody has; the rule is a choice that a real account can settle.
    Unverified,
    /// API Gateway has no such thing.
    Chosen,
}

impl Mark {
    const ALL: [(&str, Self); 4] = [
        ("documented", Self::Documented),
        ("observed", Self::Observed),
        ("unverified", Self::Unverified),
        ("chosen", Self::Chosen),
    ];

    fn name(self) -> &'static str {
        let mut all = Self::ALL.into_iter();
        all.find(|(_, mark)| *mark == self).unwrap().0
    }
}

impl Rule {
    fn parse(script: &str, text: &str) -> Result<Self, String> {
        let mut said = BTreeMap::new();
        for line in text.lines().take_while(|line| line.starts_with('#')) {
            let (key, value) = line
                .strip_prefix("# ")
                .and_then(|line| line.split_once(": "))
                .ok_or("its comment is made of `# key: value`")?;
            if said.insert(key, value.trim().to_owned()).is_some() {
                return Err(format!("`{key}` twice"));
            }
        }
        let mut take = |key| said.remove(key).filter(|value| !value.is_empty());
        let mark = take("mark").ok_or("no mark")?;
        let mut marks = Mark::ALL.into_iter();
        let known = marks.find(|(name, _)| *name == mark);
        let rule = Self {
            script: script.to_owned(),
            rule: take("rule").ok_or("no rule")?,
            source: take("source").ok_or("no source")?,
            mark: known.ok_or(format!("no mark `{mark}`"))?.1,
            open: take("open"),
            settle: take("settle"),
        };
        let unsettled = rule.mark == Mark::Unverified || rule.open.is_some();
        match (said.into_keys().next(), unsettled, &rule.settle) {
            (Some(other), ..) => Err(format!("`{other}` means nothing")),
            (None, true, None) => Err("does not say how to settle it".to_owned()),
            (None, false, Some(_)) => Err("has nothing to settle".to_owned()),
            (None, true, Some(_)) | (None, false, None) => Ok(rule),
        }
    }

    fn link(&self) -> String {
        let name = self.script.trim_end_matches(".conv");
        format!("[{name}](../crates/lift-gateway/tests/conversations/{name}.conv)")
    }
}

fn rules() -> Vec<Rule> {
    let (rules, wrong): (Vec<_>, Vec<_>) = scripts()
        .iter()
        .map(|(name, text)| Rule::parse(name, text).map_err(|error| format!("{name}: {error}")))
        .partition(Result::is_ok);
    let wrong: Vec<_> = wrong.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    rules.into_iter().flatten().collect()
}

/// `what | where it is documented | what happens here`, one a line.
fn not_implemented() -> Vec<Vec<String>> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conversations/not-implemented.txt");
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let row: Vec<_> = line.split(" | ").map(str::to_owned).collect();
            assert_eq!(row.len(), 3, "{line}");
            row
        })
        .collect()
}

fn table(page: &mut String, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let line = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
    page.push_str(&line(head));
    page.push_str(&line(&vec!["---"; head.len()]));
    for row in rows {
        let row: Vec<_> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        let row: Vec<_> = row.iter().map(String::as_str).collect();
        page.push_str(&line(&row));
    }
    page.push('\n');
}

fn counts(rules: &[Rule], missing: usize) -> String {
    let count = |mark| rules.iter().filter(|rule| rule.mark == mark).count();
    let marks = Mark::ALL.map(|(name, mark)| format!("{} {name}", count(mark)));
    format!("{}, {missing} not implemented", marks.join(", "))
}

fn page() -> String {
    let (mut rules, missing) = (rules(), not_implemented());
    rules.sort_by(|a, b| (a.mark, &a.script).cmp(&(b.mark, &b.script)));
    let mut page = String::new();
    writeln!(
        page,
        "# Compatibility with API Gateway\n\n\
         Generated by `cargo x compatibility` from the conversation scripts in \
         `crates/lift-gateway/tests/conversations`; a test fails when it is stale. Each script runs \
         against the pure session and over sockets, and where a template can have its rules through \
         `lift dev` with a real function.\n\n\
         Rules: {}.\n\n\
         *documented*: AWS or an RFC says so. *observed*: somebody published what the service did. \
         *unverified*: nobody has, so this is a choice, with what would settle it on a real \
         account. *chosen*: API Gateway has no such thing.\n\n## Kept\n",
        counts(&rules, missing.len())
    )
    .unwrap();
    let of = |mark| rules.iter().filter(move |rule: &&Rule| rule.mark == mark);
    let kept = of(Mark::Documented).chain(of(Mark::Observed)).map(|rule| {
        let Rule {
            rule: says,
            source,
            mark,
            ..
        } = rule;
        vec![
            says.clone(),
            source.clone(),
            mark.name().to_owned(),
            rule.link(),
        ]
    });
    table(&mut page, &["rule", "source", "mark", "script"], kept);
    page.push_str(
        "## Unverified: what is chosen, and how to settle it\n\n\
         `docs/settle-on-aws.md` runs these scripts on an account.\n\n",
    );
    let cell = |text: &Option<String>| text.clone().unwrap_or_default();
    let chosen = of(Mark::Unverified).map(|rule| {
        vec![
            rule.rule.clone(),
            rule.source.clone(),
            cell(&rule.settle),
            rule.link(),
        ]
    });
    table(
        &mut page,
        &["chosen", "what is known", "to settle it", "script"],
        chosen,
    );
    page.push_str("## Open details of kept rules\n\n");
    let open = rules.iter().filter(|rule| rule.open.is_some());
    let open = open.map(|rule| {
        let (open, settle) = (cell(&rule.open), cell(&rule.settle));
        vec![rule.rule.clone(), open, settle, rule.link()]
    });
    table(&mut page, &["rule", "open", "to settle it", "script"], open);
    page.push_str("## Of this gateway's own\n\n");
    let own =
        of(Mark::Chosen).map(|rule| vec![rule.rule.clone(), rule.source.clone(), rule.link()]);
    table(&mut page, &["rule", "why", "script"], own);
    page.push_str("## Not implemented\n\n");
    table(&mut page, &["what", "source", "here"], missing);
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

#[test]
fn every_script_says_its_rule_and_how_it_is_known() {
    let counts = counts(&rules(), not_implemented().len());
    // Not `println!`, which a passing test keeps to itself.
    writeln!(io::stderr(), "API Gateway's rules: {counts}").unwrap();
}

#[test]
fn the_compatibility_page_is_what_the_scripts_say() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/compatibility.md");
    if std::env::var_os(WRITE).is_some_and(|value| value == "write") {
        fs::write(path, page()).unwrap();
        return;
    }
    let there = fs::read_to_string(path).unwrap_or_default();
    assert!(
        there == page(),
        "stale: `cargo x compatibility` writes docs/compatibility.md"
    );
}
