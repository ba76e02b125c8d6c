//! In: the first lines of a conversation. Out: the rules and functions that it is about.

use std::sync::atomic::AtomicUsize;

use lift_gateway::{
    IdentitySource, Limits, Management, Paths, Quota, Rate, RouteIntegration, Rules,
};

use crate::compare::same;
use crate::script::{at, duration, number, spaced, split};

/// What a conversation begins with, and its steps.
pub(crate) struct Setup {
    pub(crate) rules: Rules,
    /// Functions and how they behave, as written.
    pub(crate) functions: Vec<(String, String)>,
    /// The lines of the rules, as written.
    pub(crate) written: Vec<String>,
    pub(crate) steps: Vec<(usize, String)>,
    /// The line that is being done, for a script that gets stuck.
    pub(crate) line: AtomicUsize,
}

impl Setup {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut rules = Rules::default();
        rules.limits = Limits::api_gateway();
        let mut setup = Self {
            rules,
            functions: Vec::new(),
            written: Vec::new(),
            steps: Vec::new(),
            line: AtomicUsize::new(0),
        };
        for (index, line) in text.lines().enumerate() {
            let (number, line) = (index + 1, line.trim());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if !setup.steps.is_empty() || !setup.configure(line).map_err(|e| at(number, &e))? {
                setup.steps.push((number, line.to_owned()));
            } else {
                setup.written.push(line.to_owned());
            }
        }
        Ok(setup)
    }

    /// Takes a line of the setup; false if it is the first step.
    fn configure(&mut self, line: &str) -> Result<bool, String> {
        let (verb, rest) = split(line);
        match verb {
            "select" => {
                self.rules.route_selection = rest.parse().map_err(|e| format!("{e}"))?;
            }
            "authorizer" => self.authorizer(rest)?,
            "management" => self.rules.management = Management::Unsigned,
            "path" => {
                let (path, status) = split(rest);
                if let Some(stage) = path.strip_prefix("stage:") {
                    self.rules.paths = Paths::stage(stage);
                } else {
                    self.rules.paths.accepted = vec![path.to_owned()];
                    self.rules.paths.otherwise = number(status)?;
                }
            }
            "api" => self.api(rest)?,
            "limit" => self.limit(rest)?,
            "relax" => {
                let quota = rest.parse().map_err(|e| format!("{e}"))?;
                self.rules.limits = self.rules.limits.clone().relax(quota);
            }
            "relaxed" => {
                let relaxed = self.rules.limits.relaxed();
                let relaxed: Vec<_> = relaxed.into_iter().map(Quota::name).collect();
                same(rest, relaxed.join(" ").as_str())?;
            }
            "invalid" => {
                let checked = self.rules.check().map_err(|error| error.to_string());
                same(Err(rest.to_owned()), checked)?;
            }
            "valid" => self.rules.check().map_err(|error| error.to_string())?,
            "function" => {
                let (function, behaviour) = split(rest);
                let function = spaced(function);
                self.functions.push((function, behaviour.to_owned()));
            }
            _ => return self.routes(verb, rest),
        }
        Ok(true)
    }

    fn routes(&mut self, verb: &str, rest: &str) -> Result<bool, String> {
        let (key, value) = split(rest);
        let own = self.rules.routes.get_mut(key);
        let own = own.ok_or_else(|| format!("no route {key}"));
        match verb {
            "mock" => own?.integration = RouteIntegration::Mock(value.into()),
            "route-timeout" => own?.timeout = Some(duration(value)?),
            "route-rate" => own?.rate = rate(value)?,
            "route" => {
                let rules = std::mem::take(&mut self.rules);
                self.rules = match value {
                    "two-way" => rules.two_way(spaced(key)),
                    _ => rules.one_way(spaced(key)),
                };
            }
            "routes" => {
                let rules = std::mem::take(&mut self.rules);
                let keys = 0..number::<usize>(rest)?;
                self.rules = keys.fold(rules, |rules, key| rules.one_way(format!("r{key}")));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn authorizer(&mut self, rest: &str) -> Result<(), String> {
        let authorizer = self.rules.authorizer.get_or_insert_default();
        let source = match split(rest) {
            ("", _) => return Ok(()),
            ("header", name) => IdentitySource::Header(name.to_owned()),
            ("query", name) => IdentitySource::Query(name.to_owned()),
            ("source", source) => source.parse().map_err(|e| format!("{e}"))?,
            ("too-many-requests", text) => {
                authorizer.too_many_requests_error = Some(text.to_owned());
                return Ok(());
            }
            (other, _) => return Err(format!("no such thing of an authorizer: {other}")),
        };
        authorizer.identity_sources.push(source);
        Ok(())
    }

    fn api(&mut self, rest: &str) -> Result<(), String> {
        let (name, value) = split(rest);
        let (api, value) = (&mut self.rules.api, value.to_owned());
        match name {
            "id" => api.api_id = value,
            "stage" => api.stage = value,
            "account" => api.account = value,
            "region" => api.region = value,
            "domain" => api.domain_name = Some(value),
            "variable" => {
                let (name, value) = split(&value);
                let variable = (name.to_owned(), value.to_owned());
                api.stage_variables.push(variable);
            }
            other => return Err(format!("no such name: {other}")),
        }
        Ok(())
    }

    fn limit(&mut self, rest: &str) -> Result<(), String> {
        let limits = &mut self.rules.limits;
        let (name, value) = split(rest);
        match name {
            "message" => limits.message_bytes_max = number(value)?,
            "connection-rate" => limits.connection_rate = rate(value)?,
            "message-rate" => limits.message_rate = rate(value)?,
            "client-rate" => limits.client_rate = rate(value)?,
            "speed" => limits.speed = number(value)?,
            "integration" => limits.integration_timeout = duration(value)?,
            "in-flight" => limits.in_flight_max = number(value)?,
            "queued-messages" => limits.queued_messages_max = number(value)?,
            "queued-bytes" => limits.queued_bytes_max = number(value)?,
            "process-bytes" => limits.process_queued_bytes_max = number(value)?,
            "stalled" => limits.stalled = duration(value)?,
            other => return Err(format!("no such limit: {other}")),
        }
        Ok(())
    }
}

/// `none`, or tokens a second and the burst.
fn rate(text: &str) -> Result<Option<Rate>, String> {
    if text == "none" {
        return Ok(None);
    }
    let (per_second, burst) = split(text);
    let (per_second, burst) = (number(per_second)?, number(burst)?);
    Ok(Some(Rate { per_second, burst }))
}
