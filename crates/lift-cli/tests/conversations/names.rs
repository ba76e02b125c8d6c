//! In: events with the names of a deployed API. Out: the same with a script's, and the other way what a function is told.

use lift_gateway::Api;
use serde_json::Value;

/// Where a client names itself whose `User-Agent` is what the conversation is about.
pub(crate) const OWN_HEADER: &str = "X-Lift";

/// What is called otherwise in a script than where it runs.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) script: Api,
    /// What the client adds to its `User-Agent`.
    pub(crate) agent: String,
    /// The host that the client names.
    pub(crate) host: String,
    pub(crate) stage: String,
    /// Seen in the first event, and the same in all.
    api_id: Option<String>,
    source_ip: Option<String>,
}

impl Names {
    pub(crate) fn new(script: Api, host: &str, stage: &str) -> Self {
        Self {
            script,
            agent: String::new(),
            host: host.to_owned(),
            stage: stage.to_owned(),
            api_id: None,
            source_ip: None,
        }
    }

    /// An event as the script has it.
    pub(crate) fn event(&mut self, event: &mut Value) {
        let context = &event["requestContext"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let api_id = text(&context["apiId"]);
        let source_ip = text(&context["identity"]["sourceIp"]);
        self.api_id = self.api_id.take().or(api_id);
        self.source_ip = self.source_ip.take().or(source_ip);
        if let Some(stage) = event.pointer_mut("/requestContext/stage")
            && *stage == self.stage
        {
            *stage = self.script.stage.clone().into();
        }
        self.value(event);
    }

    /// A body of a response, or a part of an event.
    pub(crate) fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(list) => {
                list.iter_mut().for_each(|each| self.value(each));
            }
            Value::Object(map) => {
                let is_ours = |name: &str, value: &Value| {
                    name.replace('-', "").eq_ignore_ascii_case("useragent")
                        && [
                            Value::from(self.agent.as_str()),
                            vec![self.agent.as_str()].into(),
                        ]
                        .contains(value)
                };
                map.retain(|name, value| name != OWN_HEADER && !is_ours(name, value));
                map.values_mut().for_each(|each| self.value(each));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn text(&self, text: &str) -> String {
        let is = |known: &Option<String>| known.as_deref() == Some(text);
        if is(&self.api_id) {
            return self.script.api_id.clone();
        }
        if is(&self.source_ip) {
            return "127.0.0.1".to_owned();
        }
        if text == self.host {
            return "localhost".to_owned();
        }
        if let Some(theirs) = text.strip_suffix(&format!(" {}", self.agent)) {
            return theirs.to_owned();
        }
        self.arn(text).unwrap_or_else(|| text.to_owned())
    }

    /// An ARN of this API and stage.
    fn arn(&self, text: &str) -> Option<String> {
        let rest = text.strip_prefix("arn:aws:execute-api:")?;
        let (_region, rest) = rest.split_once(':')?;
        let (_account, rest) = rest.split_once(':')?;
        let rest = rest.strip_prefix(self.api_id.as_deref()?)?;
        let rest = rest.strip_prefix('/')?.strip_prefix(&self.stage)?;
        let Api {
            region,
            account,
            api_id,
            stage,
            ..
        } = &self.script;
        Some(format!(
            "arn:aws:execute-api:{region}:{account}:{api_id}/{stage}{rest}"
        ))
    }
}

/// A behaviour in which the API's id of the script is the one of the event.
pub(crate) fn told(behaviour: &str, script_id: &str, event: &Value) -> String {
    let id = event["requestContext"]["apiId"].as_str();
    let id = id.unwrap_or(script_id);
    behaviour.replace(&format!(":{script_id}/"), &format!(":{id}/"))
}
