//! In: templates as text. Out: what the plan says of them, or all that is wrong.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up fails there")]
#![expect(clippy::too_many_lines, reason = "cases are data")]

mod apis;
mod broken;
mod functions;
mod toml;
mod code;
mod names;
mod values;

use std::fmt::Write as _;
use std::path::Path;

use lift_dev::plan::{Function, Integration, Mapping, Plan, Table};
use lift_dev::template::{Settings, read};
use lift_gateway::RouteResponse;

/// Reads `text` as a file of this name, beside empty directories `a`, `b` and `src`, and compares what
/// comes out with `expected`, whose lines may be indented together.
#[track_caller]
fn check(name: &str, text: &str, expected: &str) {
    check_with(name, text, &Settings::default(), expected);
}

#[track_caller]
fn check_with(name: &str, text: &str, settings: &Settings, expected: &str) {
    let directory = tempfile::tempdir().unwrap();
    for inner in ["a", "b", "src"] {
        std::fs::create_dir(directory.path().join(inner)).unwrap();
    }
    let found = read_in(directory.path(), name, text, settings);
    let expected = dedented(expected);
    assert!(found == expected, "found:\n{found}\nexpected:\n{expected}");
}

/// The plan as text, or the problems as a user sees them, both without the directory's name.
fn read_in(directory: &Path, name: &str, text: &str, settings: &Settings) -> String {
    let path = directory.join(name);
    std::fs::write(&path, dedented(text)).unwrap();
    let found = match read(&path, settings) {
        Ok(plan) => summary(&plan),
        Err(problems) => problems.to_string(),
    };
    let prefix = format!("{}/", directory.display());
    found
        .replace(&prefix, "")
        .replace(&*directory.display().to_string(), ".")
        .trim_end()
        .to_owned()
}

fn dedented(text: &str) -> String {
    let text = text.strip_prefix('\n').unwrap_or(text);
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let written = text.lines().filter(|line| !line.trim().is_empty());
    let common = written.map(indent).min().unwrap_or(0);
    let lines = text
        .lines()
        .map(|line| line.get(common..).unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// What a plan says, without what is as it always is.
fn summary(plan: &Plan) -> String {
    let mut out = String::new();
    for api in &plan.apis {
        write!(
            out,
            "api {} /{} {}",
            api.logical_id, api.stage, api.route_selection
        )
        .unwrap();
        if let Some(rate) = api.default_rate {
            write!(out, " {rate}").unwrap();
        }
        for (name, value) in &api.stage_variables {
            write!(out, " {name}={value}").unwrap();
        }
        out.push('\n');
        for route in &api.routes {
            let integration = match &route.integration {
                Integration::Function(name) => name.clone(),
                Integration::Mock(text) => format!("mock {text:?}"),
            };
            let arrow = match route.response {
                RouteResponse::OneWay => "->",
                RouteResponse::TwoWay => "<->",
            };
            write!(out, "  {} {arrow} {integration}", route.key).unwrap();
            if let Some(timeout) = route.timeout {
                write!(out, " in {timeout:?}").unwrap();
            }
            if let Some(rate) = route.rate {
                write!(out, " {rate}").unwrap();
            }
            out.push('\n');
        }
        if let Some(authorizer) = &api.authorizer {
            let sources = authorizer.identity_sources.join(" ");
            writeln!(out, "  authorizer {} {sources}", authorizer.function).unwrap();
        }
    }
    plan.functions
        .iter()
        .for_each(|function| function_lines(&mut out, function));
    plan.tables
        .iter()
        .for_each(|table| table_lines(&mut out, table));
    plan.mappings
        .iter()
        .for_each(|mapping| mapping_line(&mut out, mapping));
    for schedule in &plan.schedules {
        write!(
            out,
            "schedule {} every {:?}",
            schedule.function, schedule.every
        )
        .unwrap();
        if let Some(input) = &schedule.input {
            write!(out, " {input}").unwrap();
        }
        out.push('\n');
    }
    for skipped in &plan.skipped {
        writeln!(out, "! {skipped}").unwrap();
    }
    out
}

fn function_lines(out: &mut String, function: &Function) {
    let Function {
        name,
        runtime,
        handler,
        code,
        memory_mb,
        timeout,
        ..
    } = function;
    let code = code.display();
    write!(
        out,
        "function {name} {runtime} {handler} {code} {memory_mb}MB {timeout:?}"
    )
    .unwrap();
    if let Some(max) = function.concurrency_max {
        write!(out, " at most {max}").unwrap();
    }
    let lines = [
        function
            .command
            .as_ref()
            .map(|command| format!("command {command:?}")),
        function
            .build
            .as_ref()
            .map(|build| format!("build {build}")),
        (!function.watch.is_empty()).then(|| format!("watch {:?}", function.watch)),
        (!function.qualifiers.is_empty()).then(|| format!("qualifiers {:?}", function.qualifiers)),
        (function.logging != Default::default()).then(|| format!("logging {:?}", function.logging)),
        (function.asynchronous != Default::default())
            .then(|| format!("asynchronous {:?}", function.asynchronous)),
    ];
    out.push('\n');
    for line in lines.into_iter().flatten() {
        writeln!(out, "  {line}").unwrap();
    }
    for (name, value) in &function.environment {
        writeln!(out, "  {name}={value}").unwrap();
    }
    for statement in &function.statements {
        let (actions, resources) = (statement.actions.join(" "), statement.resources.join(" "));
        writeln!(out, "  {:?} {actions} on {resources}", statement.effect).unwrap();
    }
}

fn table_lines(out: &mut String, table: &Table) {
    write!(out, "table {}", table.name).unwrap();
    if let Some(ttl) = &table.ttl_attribute {
        write!(out, " ttl {ttl}").unwrap();
    }
    writeln!(out, "\n  {}", table.create).unwrap();
}

fn mapping_line(out: &mut String, mapping: &Mapping) {
    let Mapping {
        table,
        function,
        batch_size,
        batch_window,
        start,
        ..
    } = mapping;
    write!(
        out,
        "stream {table} -> {function} {batch_size} in {batch_window:?} {start:?}"
    )
    .unwrap();
    let Mapping {
        parallelization,
        bisect,
        partial,
        retries_max,
        ..
    } = mapping;
    write!(
        out,
        " x{parallelization} bisect {bisect:?} partial {partial:?}"
    )
    .unwrap();
    let options = [
        retries_max.map(|max| format!("retries {max}")),
        mapping.record_age_max.map(|age| format!("age {age:?}")),
        mapping
            .tumbling_window
            .map(|window| format!("window {window:?}")),
        mapping
            .on_failure
            .as_ref()
            .map(|to| format!("else {}", to.arn)),
    ];
    for option in options.into_iter().flatten() {
        write!(out, " {option}").unwrap();
    }
    for filter in &mapping.filters {
        write!(out, " {filter}").unwrap();
    }
    out.push('\n');
}
