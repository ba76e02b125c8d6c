//! A data directory comes in, a whole server in this process goes out.

use std::{path::Path, sync::Arc, time::Duration};

use lift_server::server::{Options, Server};
use streamer::{
    Records, Service, TokenAuthenticator, TokenRules, app,
    auth::{KeySource, Keys, MintRequest, QueryToken, Tenants, Verifier, VerifierConfig, mint},
    objects::Objects,
    tasks::bulk_operation::{self, Bulk, Collections},
    tasks::export_collection::Exports,
    tasks::generate_report::{self, Reports},
    tasks::process_data::{self, Engine},
};
use streamer_client::{Client, options};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) struct Live {
    pub(crate) url: String,
    stop: CancellationToken,
    running: JoinSet<()>,
}

/// What a deployment has a place for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    Records,
    ObjectsAlone,
}

impl Live {
    pub(crate) async fn start(data: &Path) -> Self {
        Self::holding(data, Holds::Records).await
    }

    pub(crate) async fn holding(data: &Path, holds: Holds) -> Self {
        std::fs::create_dir_all(data).unwrap();
        let keys = data.join("keys");
        Keys::open(&keys).unwrap();
        let verifier = Verifier::new(VerifierConfig {
            keys: vec![KeySource::Directory(keys)],
            algorithms: Vec::new(),
            issuer: None,
            audience: None,
            tenants: Tenants::Any,
            require_permissions: false,
        });
        let rules = TokenRules {
            query: QueryToken::Off,
            origins: Vec::new(),
        };
        let every = process_data::Options {
            checkpoint_every: Duration::from_millis(50),
            ..process_data::Options::default()
        };
        let objects = Objects::open(data).unwrap();
        let collections = Collections::open(data).unwrap();
        let bulk = bulk_operation::Options::default();
        let service = Service {
            engine: Engine::new(objects.clone(), every),
            reports: Reports::new(objects.clone(), generate_report::Options::default()),
            records: (holds == Holds::Records).then(|| Records {
                bulk: Bulk::new(objects.clone(), collections.clone(), bulk),
                exports: Exports::new(objects, collections),
            }),
            limits: lift::limits::Limits::default(),
        };
        let address = ([127, 0, 0, 1], 0).into();
        let tokens = TokenAuthenticator::new(Arc::new(verifier.unwrap()), rules);
        let app = app(service).authenticate(tokens);
        let server = Server::start(app, address, Options::new(data)).await;
        let server = server.unwrap();
        let (url, stop) = (server.url(), CancellationToken::new());
        let mut running = JoinSet::new();
        running.spawn(server.run(stop.clone()));
        Self { url, stop, running }
    }

    /// A client with a token made from the keys in `data`.
    pub(crate) async fn client(&self, data: &Path) -> Client {
        let token = options::Token::fixed(token(data));
        let options = options::Options::new(&self.url).token(token);
        Client::connect(options).await.unwrap()
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.running.join_all().await;
    }
}

/// A token of user `ann` of tenant `acme`, made from the keys in `data`.
pub(crate) fn token(data: &Path) -> String {
    let keys = Keys::read(&data.join("keys")).unwrap();
    let request = MintRequest {
        sub: "ann".to_owned(),
        tenant: Some("acme".to_owned()),
        permissions: None,
        issuer: None,
        audience: None,
        expires_in: Duration::from_secs(600),
        now_ms: now_ms(),
    };
    mint(&keys, &request).unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the binary under test has the real clock"
)]
pub(crate) fn now_ms() -> u64 {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}
