//! In: how a script's functions behave. Out: what each invocation gets, and a log of them.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use lift_gateway::{Function, InvokeError};
use serde_json::{Value, json};

/// What a function does when it is invoked.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    Answer(String),
    Policy {
        effect: &'static str,
        context: String,
    },
    Echo,
    Fail(InvokeError),
    Hold,
}

/// The functions of one conversation.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    behaviours: HashMap<String, Behaviour>,
    pub(crate) log: VecDeque<(String, Value)>,
    pub(crate) connection_id: Option<String>,
}

impl World {
    pub(crate) fn behave(&mut self, function: &str, behaviour: Behaviour) {
        self.behaviours.insert(function.to_owned(), behaviour);
    }

    /// Logs an invocation and says its outcome, unless it is held.
    pub(crate) fn invoke(
        &mut self,
        function: &Function,
        event: &[u8],
    ) -> Option<Result<Bytes, InvokeError>> {
        let event: Value = serde_json::from_slice(event).expect("events are JSON");
        let name = name(function);
        let connection_id = event["requestContext"]["connectionId"].as_str();
        self.connection_id = Some(connection_id.expect("events have it").to_owned());
        let default = match function {
            Function::Authorizer => Behaviour::Policy {
                effect: "Allow",
                context: String::new(),
            },
            Function::Connect | Function::Message { .. } | Function::Disconnect => {
                Behaviour::Answer(r#"{"statusCode":200}"#.to_owned())
            }
        };
        let behaviour = self.behaviours.get(&name).unwrap_or(&default).clone();
        let outcome = outcome(&behaviour, &event);
        self.log.push_back((name, event));
        outcome
    }

    /// Whether no invocation is left that the script did not ask about.
    pub(crate) fn all_asked(&self, was_open: bool) -> Result<(), String> {
        let mut left = self.log.iter();
        if was_open
            && self
                .log
                .back()
                .is_some_and(|(name, _)| name == "$disconnect")
        {
            left.next_back();
        }
        left.next()
            .map_or(Ok(()), |invoked| Err(format!("unasked: {invoked:?}")))
    }
}

pub(crate) fn name(function: &Function) -> String {
    match function {
        Function::Authorizer => "authorizer".to_owned(),
        Function::Connect => "$connect".to_owned(),
        Function::Message { route } => route.clone(),
        Function::Disconnect => "$disconnect".to_owned(),
    }
}

pub(crate) fn outcome(behaviour: &Behaviour, event: &Value) -> Option<Result<Bytes, InvokeError>> {
    let value = match behaviour {
        Behaviour::Answer(text) => return Some(Ok(Bytes::from(text.clone()))),
        Behaviour::Fail(error) => return Some(Err(error.clone())),
        Behaviour::Hold => return None,
        Behaviour::Echo => json!({ "statusCode": 200, "body": event["body"] }),
        Behaviour::Policy { effect, context } => {
            let statement = json!({
                "Action": "execute-api:Invoke",
                "Effect": effect,
                "Resource": event["methodArn"],
            });
            let policy = json!({ "Version": "2012-10-17", "Statement": [statement] });
            let mut response = json!({ "principalId": "u1", "policyDocument": policy });
            if !context.is_empty() {
                response["context"] = serde_json::from_str(context).expect("context is JSON");
            }
            response
        }
    };
    Some(Ok(value.to_string().into()))
}
