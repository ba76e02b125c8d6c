//! In: a script. Out: the API that its rules make in a template, and why it cannot be run, where it cannot.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use lift_gateway::{RouteIntegration, RouteResponse};

use crate::script::{duration, spaced, split};
use crate::setup::Setup;

/// One conversation.
pub(crate) struct Script {
    pub(crate) name: String,
    /// `documented`, `observed`, `unverified` or `chosen`.
    pub(crate) mark: String,
    /// What to do on a real account and what to look at.
    pub(crate) settle: Option<String>,
    pub(crate) setup: Setup,
    pub(crate) shape: Shape,
}

/// An API as a template has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape {
    pub(crate) stage: String,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) select: String,
    pub(crate) routes: Vec<Route>,
    pub(crate) authorizer: Option<Authorizer>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Route {
    pub(crate) key: String,
    pub(crate) integration: Integration,
    pub(crate) is_two_way: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) rate: Option<(u32, u32)>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Integration {
    Function(Function),
    Mock(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Function {
    /// Does as the runner says.
    Puppet,
    /// Has no capacity.
    Throttled,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Authorizer {
    pub(crate) function: Function,
    pub(crate) sources: Vec<String>,
}

/// Why a script cannot be run behind a template, or on an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unfit {
    RulesAlone,
    Limit,
    Host,
    Process,
    Quota,
    Chosen,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RulesAlone => "nobody connects: the rules themselves are judged",
            Self::Limit => "sets a limit that no template has",
            Self::Host => "sets what only a program with the gateway in it can",
            Self::Process => "wants the gateway's process to end",
            Self::Quota => "lifts a quota, which an account keeps",
            Self::Chosen => "is a rule of this gateway's own",
        })
    }
}

/// All scripts, by name.
pub(crate) fn scripts() -> Result<Vec<Script>, String> {
    let directory = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../lift-gateway/tests/conversations"
    );
    let listed = fs::read_dir(directory).map_err(|error| format!("{directory}: {error}"))?;
    let paths = listed.filter_map(|entry| Some(entry.ok()?.path()));
    let paths: BTreeSet<_> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "conv"))
        .collect();
    paths.iter().map(|path| Script::read(path)).collect()
}

/// The APIs of some scripts, by their names in a template: the first of all scripts with it, in capitals.
pub(crate) fn apis_of<'s>(
    all: impl IntoIterator<Item = &'s Script>,
    some: impl IntoIterator<Item = &'s Script>,
) -> BTreeMap<String, &'s Shape> {
    let mut names: BTreeMap<&Shape, &str> = BTreeMap::new();
    for script in all {
        names.entry(&script.shape).or_insert(&script.name);
    }
    let some: BTreeSet<_> = some.into_iter().map(|script| &script.shape).collect();
    let named = names.into_iter().filter(|(shape, _)| some.contains(shape));
    named.map(|(shape, name)| (capitals(name), shape)).collect()
}

fn capitals(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let (first, rest) = word.split_at(1.min(word.len()));
        first.to_uppercase() + rest
    });
    words.collect()
}

impl Script {
    fn read(path: &Path) -> Result<Self, String> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let of = |error: &str| format!("{name}: {error}");
        let text = fs::read_to_string(path).map_err(|error| of(&error.to_string()))?;
        let said = |key: &str| {
            let mut lines = text.lines();
            let found = lines.find_map(|line| line.strip_prefix(&format!("# {key}: ")));
            found.map(|value| value.trim().to_owned())
        };
        let mut setup = Setup::parse(&text).map_err(|error| of(&error))?;
        let throttled: Vec<_> = setup.throttled().iter().map(ToString::to_string).collect();
        let is_unseen = |step: &str| {
            let (verb, rest) = split(step);
            verb == "invoked" && throttled.contains(&spaced(split(rest).0))
        };
        // Nobody sees an invocation that finds no capacity.
        setup.steps.retain(|(_, step)| !is_unseen(step));
        Ok(Self {
            mark: said("mark").unwrap_or_default(),
            settle: said("settle"),
            shape: Shape::of(&setup),
            name: name.into_owned(),
            setup,
        })
    }

    /// Why it cannot be run behind a template; nothing if it can.
    pub(crate) fn unfit(&self) -> Option<Unfit> {
        if self.setup.steps.is_empty() {
            return Some(Unfit::RulesAlone);
        }
        let written = self.setup.written.iter().map(|line| split(line));
        let (mut has_path, mut is_managed) = (false, false);
        for (verb, rest) in written {
            match (verb, split(rest).0) {
                ("limit", "speed") => {}
                ("limit", _) => return Some(Unfit::Limit),
                ("authorizer", "too-many-requests") | ("api", "domain") => {
                    return Some(Unfit::Host);
                }
                ("path", _) => has_path = true,
                ("management", _) => is_managed = true,
                _ => {}
            }
        }
        let is_elsewhere = |path: &str| {
            // There are no stages in the paths of a domain of one's own.
            let is_staged = has_path || ["", "/"].contains(&path);
            !is_staged || path.contains("connections") && !is_managed
        };
        let mut steps = self.steps();
        steps.find_map(|(verb, rest)| match verb {
            "announce" => Some(Unfit::Host),
            "connect" | "http" | "http-bytes" => {
                let target = rest.split(' ').find(|word| word.starts_with('/'));
                let path = target.and_then(|target| target.split('?').next());
                is_elsewhere(path.unwrap_or_default()).then_some(Unfit::Host)
            }
            _ => None,
        })
    }

    /// Why it cannot be run on an account; nothing if it can.
    pub(crate) fn unfit_on_aws(&self) -> Option<Unfit> {
        let own = || match self.mark == "chosen" {
            true => Some(Unfit::Chosen),
            false if self.drains() => Some(Unfit::Process),
            false => (!self.relaxed().is_empty()).then_some(Unfit::Quota),
        };
        self.unfit().or_else(own)
    }

    fn steps(&self) -> impl Iterator<Item = (&str, &str)> {
        self.setup.steps.iter().map(|(_, line)| split(line))
    }

    /// Whether the gateway's process ends in it.
    pub(crate) fn drains(&self) -> bool {
        self.steps().any(|(verb, _)| verb == "drain")
    }

    /// Whether a client of it may name itself in its `User-Agent`.
    pub(crate) fn takes_agents(&self) -> bool {
        let absent = r#""userAgent":"(absent)""#;
        let is_source = |line: &String| line.ends_with("context.identity.userAgent");
        !self.steps().any(|(_, rest)| rest.contains(absent))
            && !self.setup.written.iter().any(is_source)
    }

    /// The quotas that it lifts.
    pub(crate) fn relaxed(&self) -> Vec<&str> {
        let written = self.setup.written.iter().map(|line| split(line));
        let relaxed = written.filter(|(verb, _)| *verb == "relax");
        relaxed.map(|(_, quota)| quota).collect()
    }

    /// The time that it lets pass.
    pub(crate) fn waits(&self) -> Duration {
        let waits = self.steps().filter(|(verb, _)| *verb == "advance");
        waits.filter_map(|(_, time)| duration(time).ok()).sum()
    }
}

impl Route {
    /// One that asks nobody and says nothing.
    pub(crate) fn silent(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            integration: Integration::Mock(String::new()),
            is_two_way: false,
            timeout: None,
            rate: None,
        }
    }
}

impl Shape {
    fn of(setup: &Setup) -> Self {
        let (rules, throttled) = (&setup.rules, setup.throttled());
        let function = |name: &str| match throttled.contains(&name) {
            true => Function::Throttled,
            false => Function::Puppet,
        };
        let mut routes: Vec<_> = rules
            .routes
            .iter()
            .map(|(key, route)| Route {
                key: key.clone(),
                integration: match &route.integration {
                    RouteIntegration::Function => Integration::Function(function(key)),
                    RouteIntegration::Mock(text) => Integration::Mock(text.as_str().to_owned()),
                },
                is_two_way: route.response == RouteResponse::TwoWay,
                timeout: route.timeout,
                rate: route.rate.map(|r| (r.per_second.get(), r.burst.get())),
            })
            .collect();
        let authorizer = rules.authorizer.as_ref().map(|authorizer| Authorizer {
            function: function("authorizer"),
            sources: authorizer
                .identity_sources
                .iter()
                .map(ToString::to_string)
                .collect(),
        });
        // An authorizer is one of the `$connect` route.
        if authorizer.is_some() && !rules.routes.contains_key("$connect") {
            routes.push(Route::silent("$connect"));
        }
        // API Gateway deploys no API without a route.
        if routes.is_empty() {
            routes.push(Route::silent("unused"));
        }
        Self {
            stage: setup.stage().to_owned(),
            variables: rules.api.stage_variables.clone(),
            select: rules.route_selection.to_string(),
            routes,
            authorizer,
        }
    }

    /// Whether anything of it asks a function that can tell.
    pub(crate) fn asks(&self, key: &str) -> bool {
        let asked = Integration::Function(Function::Puppet);
        let mut routes = self.routes.iter();
        routes.any(|route| route.key == key && route.integration == asked)
    }
}

impl Setup {
    /// Functions that have no capacity.
    pub(crate) fn throttled(&self) -> Vec<&str> {
        let functions = self.functions.iter();
        let throttled = functions.filter(|(_, behaviour)| behaviour == "throttle");
        throttled.map(|(name, _)| name.as_str()).collect()
    }

    /// The stage that its paths name, else the API's.
    pub(crate) fn stage(&self) -> &str {
        let paths = self
            .written
            .iter()
            .filter_map(|line| line.strip_prefix("path "));
        let mut named = paths.filter_map(|path| {
            let path = split(path).0;
            path.strip_prefix("stage:")
                .or_else(|| path.strip_prefix('/'))
        });
        named.next().unwrap_or(&self.rules.api.stage)
    }

    /// A path of the script as it is where stages are in paths.
    pub(crate) fn target(&self, written: &str) -> String {
        let is_staged = self.written.iter().any(|line| line.starts_with("path "));
        match written.strip_prefix('/') {
            Some(rest) if !is_staged => format!("/{}{rest}", self.stage()),
            _ => written.to_owned(),
        }
    }
}
