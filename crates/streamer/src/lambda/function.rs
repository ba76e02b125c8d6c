//! In: settings. Out: the function of their role, its connections open.

use std::sync::Arc;
use std::time::Duration;

use lift::app::{App, Backends, Runtime};
use lift::clock::{Clock, Timestamp};
use lift::outbound::Outbound;
use lift::overload::Load;
use lift::rate::Rates;
use lift::rate::memory::MemoryRates;
use lift::registry::Connections;
use lift::task::announce::Results;
use lift::task::memory::{MemoryResults, MemoryTasks};
use lift::task::store::TaskStore;
use lift_aws::dynamodb::tasks::DynamoTasks;
use lift_aws::dynamodb::{DynamoRates, DynamoRegistry};
use lift_aws::host::{
    Dispatch, Function, Processor, Role, Starts, Sweeper, by_address, current_trace,
};
use lift_aws::management::ManagementPosts;
use lift_aws::s3::Bucket;
use lift_aws_client::client::{Client, Endpoint};
use lift_aws_client::clock::ServerClock;
use lift_aws_client::dynamodb;
use streamer_protocol::SUBPROTOCOL;

use super::settings::Settings;
use crate::auth::Verifier;
use crate::objects::Objects;
use crate::tasks::bulk_operation::{self, Bulk, Collections};
use crate::tasks::export_collection::Exports;
use crate::tasks::generate_report::{self, Reports};
use crate::tasks::process_data::{self, Engine};
use crate::{Records, Service, TokenAuthenticator, app};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// API Gateway ends a connection after two hours; what it then may not have said counts from here on.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(2 * 3600 + 300);

/// How much longer than the longest request its rows beside the records last that nobody forgets.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(7 * 24);

/// Makes the function of the settings' role, and opens the connections that its first event needs: the
/// start of an environment is the time for it.
///
/// # Errors
/// If a key, an endpoint or a certificate cannot be used.
pub async fn function(settings: Settings) -> Result<Function, BoxError> {
    let aws = &settings.aws;
    let clock = ServerClock::default();
    let client = Client::new(
        aws.region.clone(),
        aws.credentials.clone(),
        &aws.roots,
        clock,
    )?;
    let dynamodb = dynamodb::Client::over(&client, &aws.dynamodb)?;
    let expected = aws.management.as_ref().or(aws.management_expected.as_ref());
    let management = expected.map(|url| client.endpoint("execute-api", url));
    let parts = Parts {
        dynamodb,
        management: management.transpose()?,
        client,
        settings,
    };
    match parts.settings.role {
        Role::Authorizer => Ok(Function::Authorizer(parts.authorizer()?)),
        Role::Dispatch => {
            let starts = parts.starts()?;
            opened(starts.open().await);
            Ok(Function::Dispatch(Dispatch::new(starts)))
        }
        Role::Connect | Role::Disconnect => {
            opened(parts.dynamodb.open().await);
            Ok(Function::Gateway(
                parts.connector()?,
                by_address(&parts.settings.aws.region),
            ))
        }
        Role::Message => {
            parts.open().await;
            let (runtime, _) = parts.service()?;
            Ok(Function::Gateway(
                runtime,
                by_address(&parts.settings.aws.region),
            ))
        }
        Role::Processor => {
            parts.open().await;
            Ok(Function::Processor(Processor::new(parts.service()?.0)))
        }
        Role::Sweeper => {
            let starts = parts.starts()?;
            parts.open().await;
            let (runtime, tasks) = parts.service()?;
            Ok(Function::Sweeper(Sweeper::new(runtime, tasks, starts)))
        }
    }
}

/// A connection that could not be opened ahead is opened by the first call.
fn opened<E: std::error::Error + 'static>(opened: Result<(), E>) {
    if let Err(error) = opened {
        tracing::warn!(error = lift::error::chain(&error), "not connected yet");
    }
}

/// What the parts of an app are made of.
struct Parts {
    settings: Settings,
    client: Client,
    dynamodb: dynamodb::Client,
    management: Option<Endpoint>,
}

impl Parts {
    async fn open(&self) {
        let management = async {
            match &self.management {
                Some(management) => management.open().await,
                None => Ok(()),
            }
        };
        let (dynamodb, management) = tokio::join!(self.dynamodb.open(), management);
        opened(dynamodb);
        opened(management);
    }

    fn starts(&self) -> Result<Starts, BoxError> {
        let Settings { aws, places, .. } = &self.settings;
        Ok(Starts::new(&self.client, &aws.lambda, &places.processor)?)
    }

    fn posts(&self) -> Result<ManagementPosts, BoxError> {
        let posts = ManagementPosts::new(self.client.clone());
        Ok(match &self.settings.aws.management {
            Some(url) => posts.through(url)?,
            None => posts,
        })
    }

    fn backends(
        &self,
        tasks: Arc<dyn TaskStore>,
        results: Arc<dyn Results>,
    ) -> Result<Backends, BoxError> {
        let places = &self.settings.places;
        let registry = DynamoRegistry::new(self.dynamodb.clone(), places.connections.as_str());
        let rates: Arc<dyn Rates> = match places.rates.as_str() {
            "" => Arc::new(MemoryRates::default()),
            table => Arc::new(DynamoRates::new(self.dynamodb.clone(), table)),
        };
        let clock = self.client.clock().clone();
        Ok(Backends {
            tasks,
            connections: Connections::new(registry),
            connection_age_max: CONNECTION_AGE_MAX,
            rates,
            load: Load::default(),
            outbound: Outbound::new(self.posts()?),
            results,
            clock: Clock::reading(move || Timestamp::from_millis(clock.now_ms())),
        })
    }

    /// The backends of an app without actions, which keeps no request.
    fn without_requests(&self) -> Result<Backends, BoxError> {
        let (tasks, results) = (MemoryTasks::default(), MemoryResults::default());
        self.backends(Arc::new(tasks), Arc::new(results))
    }

    /// Decides who may connect, and nothing else.
    fn authorizer(&self) -> Result<Runtime, BoxError> {
        let verifier = Verifier::new(self.settings.verifier.clone()).map_err(|error| {
            let error = lift::error::chain(&error);
            format!("`STREAMER_JWT_KEY` or `STREAMER_JWKS_URL`: {error}")
        })?;
        let rules = self.settings.token_rules.clone();
        let app = App::new().authenticate(TokenAuthenticator::new(Arc::new(verifier), rules));
        Ok(app.bind(self.without_requests()?))
    }

    /// Takes connections in and forgets them: it has no actions.
    fn connector(&self) -> Result<Runtime, BoxError> {
        let limits = self.settings.limits.clone();
        let app = App::new().subprotocol(SUBPROTOCOL).limits(limits);
        Ok(app.bind(self.without_requests()?))
    }

    fn service(&self) -> Result<(Runtime, Arc<DynamoTasks>), BoxError> {
        let Settings { aws, places, .. } = &self.settings;
        let (requests, bodies) = (places.requests.as_str(), places.bodies.as_str());
        let tasks = DynamoTasks::new(self.dynamodb.clone(), requests, bodies);
        let tasks = Arc::new(tasks.with_trace(Arc::new(current_trace)));
        let bucket = Bucket::new(&self.client, &places.bucket, aws.s3.as_deref())?;
        let objects = Objects::in_bucket(bucket.store());
        let (client, table) = (self.dynamodb.clone(), places.collections.as_str());
        let kept = self.settings.limits.request_timeout_max + FORGOTTEN_AFTER;
        let collections = Collections::in_table(client, table, kept);
        let bulk = bulk_operation::Options::default();
        let service = Service {
            engine: Engine::new(objects.clone(), process_data::Options::default()),
            reports: Reports::new(objects.clone(), generate_report::Options::default()),
            records: Some(Records {
                bulk: Bulk::new(objects.clone(), collections.clone(), bulk),
                exports: Exports::new(objects, collections),
            }),
            limits: self.settings.limits.clone(),
        };
        let backends = self.backends(Arc::clone(&tasks) as _, Arc::new(bucket))?;
        Ok((app(service).bind(backends), tasks))
    }
}
