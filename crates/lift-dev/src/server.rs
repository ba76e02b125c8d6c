//! In: a plan and where it listens. Out: its APIs, functions, streams and schedules, running until the shutdown.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lift_gateway::{
    AuthorizerRules, Gateway, Integration, Limits, Management, Paths, Quota, RouteIntegration,
    Rules,
};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{Access, Signatures};
use crate::answers::Answers;
use crate::api::{Api, Late};
use crate::authority::Authority;
use crate::door::Door;
use crate::dynamodb;
use crate::dynamodb::tables::{self, Made, TableError};
use crate::faults::{Fault, Faults};
use crate::faulty::{Faulty, Shared};
use crate::feed::Feed;
use crate::lambda::{self, Call, Failure, Fate, Freeze, Functions};
use crate::plan::{self, Mapping, Plan, Schedule};
use crate::ports::{Endpoint, InvokeUrl, Ports, named};
use crate::streams::{self, InvokeFailed};
use crate::traffic;

/// How a plan runs.
#[derive(Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The template's directory; state goes to `.lift` in it: the CA's files, what failed.
    pub directory: PathBuf,
    /// The quotas of API Gateway that are lifted.
    pub relaxed: Vec<Quota>,
    /// How many times faster idle time, lifetimes, schedules and retries pass.
    pub speed: NonZeroU32,
    /// What strikes.
    pub faults: Faults,
    /// Whether `@connections` wants signatures.
    pub signatures: Signatures,
    /// The DynamoDB endpoint, where there is one.
    pub dynamodb: Option<dynamodb::Client>,
    /// Variables of every function; its own come over them.
    pub environment: BTreeMap<String, String>,
    /// Whether functions stand still between invocations.
    pub freeze: Freeze,
    /// Environments of all functions at a time.
    pub environments_max: usize,
}

impl Settings {
    /// AWS's rules, for a template in this directory.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            relaxed: Vec::new(),
            speed: NonZeroU32::MIN,
            faults: Faults::default(),
            signatures: Signatures::Unchecked,
            dynamodb: None,
            environment: BTreeMap::new(),
            freeze: Freeze::On,
            environments_max: lambda::Settings::default().environments_max,
        }
    }
}

impl Settings {
    fn state(&self) -> PathBuf {
        state_of(&self.directory)
    }
}

/// Why nothing runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A file, a directory or a port.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// What is kept has no place beside the template.
    #[error("`{}` cannot be written", path.display())]
    State {
        /// The directory.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A function's code does not build.
    #[error("a function's code does not build")]
    Build(#[source] io::Error),
    /// API Gateway would not take an API.
    #[error("API `{api}`: {why}")]
    Api {
        /// The API's logical id.
        api: String,
        /// Why.
        why: String,
    },
    /// A function cannot be started.
    #[error(transparent)]
    Function(#[from] lambda::StartError),
    /// The plan needs DynamoDB.
    #[error("table `{table}` needs a DynamoDB endpoint: `--dynamodb local`, or `--dynamodb URL`")]
    NoDynamoDb {
        /// A table's name.
        table: String,
    },
    /// A stream's mapping cannot run.
    #[error("mapping `{mapping}`: {source}")]
    Mapping {
        /// The mapping's logical id.
        mapping: String,
        /// What is wrong with its filter.
        source: streams::filter::PatternError,
    },
    /// DynamoDB did not do as asked.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// A plan that runs. Dropping it ends the functions.
#[derive(Debug)]
pub struct Dev {
    endpoints: Vec<Endpoint>,
    /// The first port as URLs have it.
    at: String,
    doors: Vec<(Door, TcpListener)>,
    authority: Authority,
    functions: Functions,
    plan: Plan,
    settings: Settings,
    feed: Feed,
}

impl Dev {
    /// Creates tables and starts functions; `ports` are as many as there are APIs, and at least one.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        plan: Plan,
        settings: Settings,
        ports: Ports,
        feed: Feed,
    ) -> Result<Self, StartError> {
        let address = ports.first;
        let state = &make_state(&settings.directory)?;
        let host = named(address.ip());
        let authority = Authority::make(state, &host).map_err(io("no certificate can be made"))?;
        make_tables(&plan, &settings, &feed).await?;
        for mapping in &plan.mappings {
            streams::rules::Rules::new(mapping, settings.speed).map_err(|source| {
                let mapping = mapping.logical_id.clone();
                StartError::Mapping { mapping, source }
            })?;
        }
        let at = format!("{host}:{}", address.port());
        let running = lambda::Settings {
            cold_start: settings.faults.time(Fault::ColdStart),
            freeze: settings.freeze,
            environments_max: settings.environments_max,
            environment: environment(&plan, &settings, &authority, &at),
            failures: state.join("failures"),
            speed: settings.speed,
            idle: lambda::Settings::default().idle / settings.speed.get(),
            directory: Some(settings.directory.clone()),
            ..lambda::Settings::default()
        };
        let functions = Functions::new(&plan, running, feed.clone())?;

        let behind = Behind {
            plan: &plan,
            settings: &settings,
            functions: &functions,
            feed: &feed,
            access: Access::new(settings.signatures, &plan).map(Arc::new),
            faults: Shared::new(settings.faults.clone()),
        };
        let mut doors = Vec::new();
        let mut endpoints = Vec::new();
        for (number, listener) in ports.listeners.into_iter().enumerate() {
            let address = listener.local_addr().map_err(io("a port has no address"))?;
            let domain = format!("{host}:{}", address.port());
            let api = plan.apis.get(number);
            endpoints.extend(api.map(|api| Endpoint::new(api, &domain)));
            doors.push((behind.door(api, &domain)?, listener));
        }
        Ok(Self {
            endpoints,
            at,
            doors,
            authority,
            functions,
            plan,
            settings,
            feed,
        })
    }

    /// Where clients connect, in the template's order.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Where the functions are invoked, in the template's order.
    #[must_use]
    pub fn invoke_urls(&self) -> Vec<InvokeUrl> {
        let at = &self.at;
        let functions = self.plan.functions.iter();
        functions
            .map(|function| InvokeUrl::new(&function.name, at))
            .collect()
    }

    /// The functions, for whoever replaces their code.
    #[must_use]
    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    /// The file with the certificate that clients of the TLS URLs must trust.
    #[must_use]
    pub fn certificate(&self) -> &Path {
        &self.authority.certificate
    }

    /// Serves until the shutdown; then connections are drained and functions ended.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let tasks = TaskTracker::new();
        for (door, listener) in std::mem::take(&mut self.doors) {
            tasks.spawn(door.serve(listener, self.authority.clone(), shutdown.clone()));
        }
        if let Some(dynamodb) = &self.settings.dynamodb {
            for mapping in &self.plan.mappings {
                tasks.spawn(self.reading(mapping, dynamodb, shutdown.clone()));
            }
        }
        for schedule in &self.plan.schedules {
            let every = schedule.every / self.settings.speed.get();
            let (functions, schedule) = (self.functions.clone(), schedule.clone());
            let plan = (self.plan.account.clone(), self.plan.region.clone());
            let shutdown = shutdown.clone();
            tasks.spawn(async move {
                let ticks = tick(&functions, &schedule, &plan, every);
                shutdown.run_until_cancelled(ticks).await;
            });
        }
        tasks.close();
        tasks.wait().await;
        self.functions.shut_down().await;
    }

    /// Reads a mapping's stream until the shutdown.
    fn reading(
        &self,
        mapping: &Mapping,
        dynamodb: &dynamodb::Client,
        shutdown: CancellationToken,
    ) -> impl Future<Output = ()> + 'static {
        let faults = &self.settings.faults;
        let settings = streams::Settings {
            endpoint: dynamodb.clone(),
            account: self.plan.account.clone(),
            failures: self.settings.state().join("failures"),
            places: self.settings.state().join("streams"),
            speed: self.settings.speed,
            faults: streams::Faults {
                duplicate: faults.per_mille(Fault::DuplicateRecords),
                reorder: faults.per_mille(Fault::ReorderRecords),
                seed: faults.seed(),
            },
            iterator_age: watch::Sender::default(),
            opened: watch::Sender::default(),
        };
        let (mapping, feed, functions) =
            (mapping.clone(), self.feed.clone(), self.functions.clone());
        async move {
            let invoke = |event| invoke(&functions, &mapping.function, event);
            let run = streams::run(&mapping, settings, feed.clone(), invoke, shutdown);
            if let Err(error) = run.await {
                let cause = error.source().map(|cause| format!(": {cause}"));
                feed.problem(format!("{error}{}", cause.unwrap_or_default()));
            }
        }
    }
}

/// What is behind the ports.
struct Behind<'a> {
    plan: &'a Plan,
    settings: &'a Settings,
    functions: &'a Functions,
    feed: &'a Feed,
    access: Option<Arc<Access>>,
    faults: Shared,
}

impl Behind<'_> {
    fn door(&self, api: Option<&plan::Api>, domain: &str) -> Result<Door, StartError> {
        Ok(Door {
            functions: self.functions.clone(),
            faults: self.faults.clone(),
            api: api.map(|api| self.api(api, domain)).transpose()?,
        })
    }

    fn api(&self, api: &plan::Api, domain: &str) -> Result<Api, StartError> {
        let rules = rules(api, self.plan, domain, self.settings)?;
        let faulty = Faulty {
            api: api.logical_id.as_str().into(),
            faults: self.faults.clone(),
            feed: self.feed.clone(),
        };
        let integration =
            faulty
                .clone()
                .integration(api, self.functions, Answers::new(&rules, self.feed));
        Ok(Api {
            gateway: gateway(rules, integration, &faulty.api, self.feed),
            access: self.access.clone(),
            faulty,
            late: Late::default(),
        })
    }
}

/// A gateway whose connections the feed shows.
fn gateway(rules: Rules, integration: Integration, api: &Arc<str>, feed: &Feed) -> Gateway {
    let observer = traffic::observer(api, &rules, feed);
    Gateway::observed(rules, integration, observer)
}

/// Says what was tried.
fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> StartError {
    let what = what.into();
    move |source| StartError::Io { what, source }
}

/// # Errors
/// A table cannot be created, or there is no endpoint to create it on.
async fn make_tables(plan: &Plan, settings: &Settings, feed: &Feed) -> Result<(), StartError> {
    for table in &plan.tables {
        let Some(dynamodb) = &settings.dynamodb else {
            let table = table.name.clone();
            return Err(StartError::NoDynamoDb { table });
        };
        if tables::make(dynamodb, table).await? == Made::New {
            feed.notice(format!("table `{}` created", table.name));
        }
    }
    Ok(())
}

/// What every function finds in its environment, so that SDKs call what runs here.
fn environment(
    plan: &Plan,
    settings: &Settings,
    authority: &Authority,
    at: &str,
) -> BTreeMap<String, String> {
    let mut environment = settings.environment.clone();
    let mut set = |name: &str, value: String| environment.insert(name.to_owned(), value);
    for (name, value) in authority.environment() {
        set(name, value);
    }
    if let Some(dynamodb) = &settings.dynamodb {
        set("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.endpoint());
        set("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", dynamodb.endpoint());
    }
    set("AWS_ENDPOINT_URL_LAMBDA", format!("http://{at}"));
    if let [api] = plan.apis.as_slice() {
        let url = format!("https://{at}/{}", api.stage);
        set("AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI", url);
    }
    environment
}

async fn invoke(
    functions: &Functions,
    function: &str,
    event: Bytes,
) -> Result<Bytes, InvokeFailed> {
    let answer = functions.invoke(call(function, event, "stream")).await;
    answer.map_err(|failure| match failure {
        Failure::Throttled(_) => InvokeFailed::Throttled,
        other => InvokeFailed::Function {
            error: other.to_string(),
        },
    })
}

fn call(function: &str, payload: Bytes, cause: &str) -> Call {
    Call {
        function: function.to_owned(),
        payload,
        cause: cause.to_owned(),
        request_id: None,
        trace: None,
        deadline: None,
        fate: Fate::Lives,
    }
}

/// Invokes a function for ever, as EventBridge would.
async fn tick(
    functions: &Functions,
    schedule: &Schedule,
    (account, region): &(String, String),
    every: Duration,
) {
    let mut ticks = tokio::time::interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let event = schedule.input.clone().unwrap_or_else(|| {
            serde_json::json!({
                "version": "0",
                "detail-type": "Scheduled Event",
                "source": "aws.events",
                "account": account,
                "region": region,
                "time": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                "resources": [format!("arn:aws:events:{region}:{account}:rule/{}", schedule.logical_id)],
                "detail": {},
            })
        });
        let call = call(&schedule.function, event.to_string().into(), "schedule");
        if let Err(error) = functions.enqueue(call) {
            tracing::warn!(function = schedule.function, %error, "a schedule's invocation is lost");
        }
    }
}

/// Makes the directory of what is kept, for a template in this one, before anything is put into it.
///
/// # Errors
/// [`StartError::State`].
pub(crate) fn make_state(directory: &Path) -> Result<PathBuf, StartError> {
    let state = state_of(directory);
    // What is made is not for a repository.
    std::fs::create_dir_all(state.join("failures"))
        .and_then(|()| std::fs::write(state.join(".gitignore"), "*\n"))
        .map_err(|source| StartError::State {
            path: state.clone(),
            source,
        })?;
    Ok(state)
}

fn state_of(directory: &Path) -> PathBuf {
    directory.join(".lift")
}

/// The gateway's rules for an API of the plan.
fn rules(
    api: &plan::Api,
    plan: &Plan,
    domain: &str,
    settings: &Settings,
) -> Result<Rules, StartError> {
    let wrong = |why: String| StartError::Api {
        api: api.logical_id.clone(),
        why,
    };
    let mut rules = Rules::default();
    rules.api.api_id.clone_from(&api.api_id);
    rules.api.stage.clone_from(&api.stage);
    rules.api.account.clone_from(&plan.account);
    rules.api.region.clone_from(&plan.region);
    rules.api.domain_name = Some(domain.to_owned());
    rules.api.stage_variables.clone_from(&api.stage_variables);
    rules.paths = Paths::stage(&api.stage);
    rules.management = Management::Unsigned;
    rules.route_selection = api
        .route_selection
        .parse()
        .map_err(|e| wrong(format!("{e}")))?;
    for route in &api.routes {
        let mut made = lift_gateway::Route::default();
        made.integration = match &route.integration {
            plan::Integration::Function(_) => RouteIntegration::Function,
            plan::Integration::Mock(text) => RouteIntegration::Mock(text.as_str().into()),
        };
        made.response = route.response;
        made.timeout = route.timeout;
        made.rate = route.rate.or(api.default_rate);
        rules = rules.route(route.key.clone(), made);
    }
    if let Some(authorizer) = &api.authorizer {
        let sources = authorizer
            .identity_sources
            .iter()
            .map(|source| source.parse());
        let mut asked = AuthorizerRules::default();
        asked.identity_sources = sources
            .collect::<Result<_, _>>()
            .map_err(|error: lift_gateway::IdentitySourceError| wrong(error.to_string()))?;
        rules = rules.authorizer(asked);
    }
    let limits = settings.relaxed.iter();
    rules.limits = limits.fold(Limits::api_gateway(), |limits, quota| limits.relax(*quota));
    rules.limits.speed = settings.speed;
    rules.check().map_err(|error| wrong(error.to_string()))?;
    Ok(rules)
}
