//! In: a stack's outputs, the lines of `lift dev`, or one endpoint. Out: where each script's API is, and how it is reached.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use http::Uri;
use lift_aws_client::sigv4::Credentials;
use serde_json::Value;

use crate::args::Run;
use crate::reach::{Endpoint, Reach};
use crate::shape::{Script, Shape, apis_of};
use crate::template::RELAY;

/// The APIs' names in a template.
pub(crate) struct Names(BTreeMap<Shape, String>);

/// The APIs that were named.
pub(crate) struct Apis {
    pub(crate) reach: Arc<Reach>,
    pub(crate) relay: Endpoint,
    found: Found,
}

enum Found {
    One(Endpoint),
    ByName(BTreeMap<String, Endpoint>),
}

impl Names {
    pub(crate) fn of(scripts: &[Script]) -> Self {
        let apis = apis_of(scripts, scripts);
        let named = apis.into_iter().map(|(name, shape)| (shape.clone(), name));
        Self(named.collect())
    }

    fn stages(&self) -> BTreeMap<&str, &str> {
        let stages = self.0.iter();
        let stages = stages.map(|(shape, name)| (name.as_str(), shape.stage.as_str()));
        stages.chain([(RELAY, "relay")]).collect()
    }
}

impl Apis {
    pub(crate) fn of(run: &Run, names: &Names) -> Result<Self, String> {
        let (relay, found) = match (&run.endpoint, &run.management, &run.relay, &run.apis) {
            (Some(clients), Some(management), Some(relay), _) => {
                let one = Endpoint {
                    clients: clients.clone(),
                    management: management.clone(),
                };
                let management = secure(&relay.to_string(), "https")?;
                let clients = relay.clone();
                let relay = Endpoint {
                    clients,
                    management,
                };
                (relay, Found::One(one))
            }
            (_, _, _, Some(path)) => {
                let text = fs::read_to_string(path);
                let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
                let apis = read(&text, names)?;
                let relay = apis.get(RELAY).cloned();
                let relay = relay.ok_or(format!("{} has no `{RELAY}`", path.display()))?;
                (relay, Found::ByName(apis))
            }
            _ => {
                return Err(
                    "`--apis`, or `--endpoint` with `--management` and `--relay`".to_owned(),
                );
            }
        };
        let keys = run.access_key.clone().zip(run.secret_key.clone());
        let credentials = keys.map(|(access_key, secret_key)| Credentials {
            access_key,
            secret_key,
            session_token: run.session_token.clone(),
        });
        let region = region(&relay.clients);
        let reach = Reach::new(run.ca.as_deref(), credentials, region)?.into();
        Ok(Self {
            reach,
            relay,
            found,
        })
    }

    pub(crate) fn find(&self, names: &Names, script: &Script) -> Option<Endpoint> {
        match &self.found {
            Found::One(endpoint) => Some(endpoint.clone()),
            Found::ByName(apis) => apis.get(names.0.get(&script.shape)?).cloned(),
        }
    }
}

/// `[{"OutputKey": …, "OutputValue": "wss://…"}, …]`, or lines with `api`, `tls_url` and `management_url`.
fn read(text: &str, names: &Names) -> Result<BTreeMap<String, Endpoint>, String> {
    let stages = names.stages();
    let mut apis = BTreeMap::new();
    let outputs = serde_json::from_str::<Vec<Value>>(text).unwrap_or_default();
    for output in outputs {
        let field = |name: &str| output[name].as_str().unwrap_or_default();
        let (name, value) = (field("OutputKey"), field("OutputValue"));
        if let Some(stage) = stages.get(name) {
            let url = format!("{value}/{stage}");
            apis.insert(
                name.to_owned(),
                Endpoint {
                    clients: secure(&url, "wss")?,
                    management: secure(&url, "https")?,
                },
            );
        }
    }
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        let field = |name: &str| line[name].as_str();
        if let (Some(api), Some(clients), Some(management)) =
            (field("api"), field("tls_url"), field("management_url"))
        {
            apis.insert(
                api.to_owned(),
                Endpoint {
                    clients: secure(clients, "wss")?,
                    management: secure(management, "https")?,
                },
            );
        }
    }
    Ok(apis)
}

/// The URL with this scheme.
fn secure(url: &str, scheme: &str) -> Result<Uri, String> {
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    let uri = format!("{scheme}://{rest}").parse();
    uri.map_err(|error| format!("`{url}`: {error}"))
}

/// The region in a host of API Gateway; what `lift dev` takes elsewhere.
fn region(uri: &Uri) -> &str {
    let mut labels = uri.host().unwrap_or_default().split('.').skip(1);
    match (labels.next(), labels.next()) {
        (Some("execute-api"), Some(region)) => region,
        _ => "us-east-1",
    }
}
