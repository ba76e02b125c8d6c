//! In: the template of `deploy/` and the `bootstrap`. Out: the whole behind the local gateway, with DynamoDB Local and an S3.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::{Request, StatusCode};
use lift_aws::s3::Bucket;
use lift_bench::{Claims, Mint};
use lift_dev::dynamodb::local::Local;
use lift_dev::faults::Faults;
use lift_dev::feed::{Entry, Feed};
use lift_dev::plan::Statement;
use lift_dev::ports::Ports;
use lift_dev::server::{Dev, Settings};
use lift_dev::template;
use object_store::ObjectStoreExt;
use object_store::path::Path as At;
use serde_json::Value;
use streamer::auth::{Keys, MintRequest, mint};
use streamer_client::Client;
use streamer_client::options::{Options, Token};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::dynamodb_local;
use crate::moto::{self, BUCKET, S3};
use crate::relay::Relay;

pub(crate) const DEADLINE: Duration = Duration::from_secs(120);
const REGION: &str = "us-east-1";
const TENANT: &str = "acme";
/// The line of the template that names another S3.
const S3_ENDPOINT: &str = "AWS_ENDPOINT_URL_S3: !Ref S3Endpoint";

/// What is unlike a deployment.
pub(crate) struct Setup {
    /// How many times as fast the time of schedules, retries and idle connections passes.
    pub(crate) speed: u32,
    /// Texts of the template and what is in their place.
    pub(crate) replaced: Vec<(&'static str, &'static str)>,
    /// What strikes, as `lift dev --fault` has it.
    pub(crate) faults: &'static [&'static str],
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            speed: 1,
            replaced: Vec::new(),
            faults: &[],
        }
    }
}

/// What the functions call their services through.
pub(crate) struct Relays {
    pub(crate) dynamodb: Relay,
    pub(crate) lambda: Relay,
    pub(crate) posts: Relay,
    pub(crate) s3: Relay,
}

pub(crate) struct World {
    home: TempDir,
    url: String,
    /// `http://127.0.0.1:PORT`, where functions are invoked.
    at: String,
    bucket: Bucket,
    stop: CancellationToken,
    running: JoinSet<()>,
    happened: Arc<Mutex<Vec<Entry>>>,
    /// What each function may do.
    pub(crate) roles: BTreeMap<String, Vec<Statement>>,
    /// MB of memory of each function.
    pub(crate) memory: BTreeMap<String, u32>,
    _s3: S3,
    local: Local,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl World {
    /// Everything started; none where a part is missing.
    pub(crate) async fn start(setup: Setup) -> Option<Self> {
        let (s3, local) = tokio::join!(moto::start(), dynamodb_local::start());
        let ports = Ports::bind(([127, 0, 0, 1], 0).into()).unwrap();
        Some(Self::run(setup, s3?, local?, ports, S3_ENDPOINT).await)
    }

    /// The same with relays between the functions and what they call.
    pub(crate) async fn relayed(setup: Setup) -> Option<(Self, Relays)> {
        let (s3, local) = tokio::join!(moto::start(), dynamodb_local::start());
        let (s3, local) = (s3?, local?);
        let ports = Ports::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let at = format!("http://{}", ports.authorities().of(0));
        let relays = Relays {
            dynamodb: Relay::start(local.endpoint()).await,
            lambda: Relay::start(&at).await,
            posts: Relay::start(&at).await,
            s3: Relay::start(&s3.endpoint).await,
        };
        let mut endpoints = format!("AWS_ENDPOINT_URL_S3: {}", relays.s3.url());
        for (service, url) in [
            ("DYNAMODB", relays.dynamodb.url()),
            ("LAMBDA", relays.lambda.url()),
            (
                "APIGATEWAYMANAGEMENTAPI",
                &format!("{}/v1", relays.posts.url()),
            ),
        ] {
            endpoints.push_str(&format!("\n        AWS_ENDPOINT_URL_{service}: {url}"));
        }
        Some((Self::run(setup, s3, local, ports, &endpoints).await, relays))
    }

    async fn run(setup: Setup, s3: S3, local: Local, ports: Ports, endpoints: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let bucket = Bucket::new(&moto::aws(REGION), BUCKET, Some(&s3.endpoint)).unwrap();
        let at = format!("http://{}", ports.authorities().of(0));
        let mut reading = template::Settings::default();
        reading.authorities = ports.authorities();
        reading.parameters.extend([
            ("JwtKey".to_owned(), public_key(home.path())),
            ("S3Endpoint".to_owned(), s3.endpoint.clone()),
        ]);
        let plan = template::read(&template(home.path(), &setup, endpoints), &reading).unwrap();
        let functions = plan.functions.iter();
        let roles = functions.map(|it| (it.name.clone(), it.statements.clone()));
        let roles = roles.collect();
        let memory = plan.functions.iter();
        let memory = memory.map(|it| (it.name.clone(), it.memory_mb)).collect();
        let mut settings = Settings::new(home.path());
        settings.speed = NonZeroU32::new(setup.speed).unwrap();
        settings.dynamodb = Some(local.client(REGION).unwrap());
        let faults = setup.faults.iter().map(|fault| fault.parse().unwrap());
        settings.faults = Faults::new(7, faults);
        let (feed, mut happens) = Feed::new();
        let dev = Dev::start(plan, settings, ports, feed).await.unwrap();
        let url = dev.endpoints()[0].url.clone();
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(dev.run(stop.clone()));
        let happened = Arc::new(Mutex::new(Vec::new()));
        let noting = Arc::clone(&happened);
        running.spawn(async move {
            while let Some(one) = happens.recv().await {
                println!("{one:?}");
                noting.lock().unwrap().push(one.entry);
            }
        });
        Self {
            home,
            url,
            at,
            bucket,
            stop,
            running,
            happened,
            roles,
            memory,
            _s3: s3,
            local,
        }
    }

    /// How often something happened so far.
    pub(crate) fn count(&self, is_it: impl Fn(&Entry) -> bool) -> usize {
        let happened = self.happened.lock().unwrap();
        happened.iter().filter(|entry| is_it(entry)).count()
    }

    /// What functions wrote to their logs so far.
    pub(crate) fn log(&self) -> Vec<String> {
        let happened = self.happened.lock().unwrap();
        let lines = happened.iter().filter_map(|entry| match entry {
            Entry::Log { line, .. } => Some(line.clone()),
            _ => None,
        });
        lines.collect()
    }

    /// Waits until something holds.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let waiting = async {
            let mut again = interval(Duration::from_millis(50));
            while !holds().await {
                again.tick().await;
            }
        };
        let waited = timeout(DEADLINE, waiting).await;
        waited.unwrap_or_else(|_late| panic!("it is not so: {what}"));
    }

    /// What a function answers to an event, or fails with.
    pub(crate) async fn invoke(&self, function: &str, event: &str) -> Result<Value, Value> {
        let lambda = moto::aws(REGION).endpoint("lambda", &self.at).unwrap();
        let path = format!("/2015-03-31/functions/{function}/invocations");
        let request = Request::post(path).body(event.to_owned().into()).unwrap();
        let answer = lambda.send(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
        let body = serde_json::from_slice(answer.body()).unwrap();
        match answer.headers().contains_key("x-amz-function-error") {
            true => Err(body),
            false => Ok(body),
        }
    }

    /// What was sent to an on-failure queue of the template.
    pub(crate) fn failed(&self, queue: &str) -> Vec<Value> {
        let path = self
            .home
            .path()
            .join(format!(".lift/failures/{queue}.jsonl"));
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// A client of a user of `acme`, which connects anew whenever it is cut.
    pub(crate) async fn client(&self, user: &str) -> Client {
        self.client_of(TENANT, user).await
    }

    /// One who may see what the tenant's other users did.
    pub(crate) async fn reporter(&self, user: &str) -> Client {
        let granted = vec!["*".to_owned(), "tenant.read".to_owned()];
        let connecting = Client::connect(self.options(TENANT, user, Some(granted)));
        timeout(DEADLINE, connecting).await.unwrap().unwrap()
    }

    pub(crate) async fn client_of(&self, tenant: &str, user: &str) -> Client {
        let connecting = Client::connect(self.options(tenant, user, None));
        timeout(DEADLINE, connecting).await.unwrap().unwrap()
    }

    /// Why a user of `acme` is not connected.
    pub(crate) async fn refused(&self, user: &str) -> String {
        let connecting = Client::connect(self.options(TENANT, user, None));
        let refused = timeout(DEADLINE, connecting).await.unwrap();
        format!("{:?}", refused.unwrap_err())
    }

    /// Why a token's bearer is not connected.
    pub(crate) async fn refused_token(&self, token: &str) -> String {
        let token = Token::fixed(token);
        let connecting = Client::connect(Options::new(self.url.clone()).token(token));
        let refused = timeout(DEADLINE, connecting).await.unwrap();
        format!("{:?}", refused.unwrap_err())
    }

    /// The key of the tokens, which is no secret.
    pub(crate) fn public_key(&self) -> String {
        public_key(self.home.path())
    }

    fn options(&self, tenant: &str, user: &str, permissions: Option<Vec<String>>) -> Options {
        let token = minted(&self.keys(), tenant, user, permissions);
        Options::new(self.url.clone()).token(Token::fixed(token))
    }

    fn keys(&self) -> Keys {
        Keys::read(&self.home.path().join("keys")).unwrap()
    }

    /// Where clients connect.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What signs the tokens of a load's clients.
    pub(crate) fn minting(&self) -> Mint {
        let keys = self.keys();
        Arc::new(move |claims: &Claims| Ok(minted(&keys, &claims.tenant, &claims.sub, None)))
    }

    /// An object of `acme`.
    pub(crate) async fn put(&self, name: &str, text: String) {
        self.put_of(TENANT, name, text).await;
    }

    pub(crate) async fn put_of(&self, tenant: &str, name: &str, text: String) {
        let at = At::parse(format!("objects/{tenant}/{name}")).unwrap();
        self.bucket.store().put(&at, text.into()).await.unwrap();
    }

    pub(crate) async fn get(&self, name: &str) -> String {
        self.get_of(TENANT, name).await
    }

    pub(crate) async fn get_of(&self, tenant: &str, name: &str) -> String {
        let at = At::parse(format!("objects/{tenant}/{name}")).unwrap();
        let found = self.bucket.store().get(&at).await.unwrap();
        String::from_utf8(found.bytes().await.unwrap().to_vec()).unwrap()
    }

    /// Ends the processes of a role at once, as a machine's failure does; how many there were.
    pub(crate) fn kill(&self, role: &str) -> usize {
        kill(self.home.path(), role)
    }

    /// Does so later.
    pub(crate) fn killer(&self, role: &'static str) -> impl FnOnce() -> usize + Send + 'static {
        let home = self.home.path().to_owned();
        move || kill(&home, role)
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let ended = async { while self.running.join_next().await.is_some() {} };
        timeout(DEADLINE, ended).await.unwrap();
        self.local.stop().await.unwrap();
    }
}

fn kill(home: &Path, role: &str) -> usize {
    let (handler, ours) = (format!("_HANDLER={role}\0"), home.display().to_string());
    let mut killed = 0;
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let environ = std::fs::read(process.path().join("environ")).unwrap_or_default();
        let environ = String::from_utf8_lossy(&environ);
        if environ.contains(&handler) && environ.contains(&ours) {
            let pid = process.file_name();
            let kill = Command::new("kill").arg("-9").arg(pid).status();
            killed += usize::from(kill.unwrap().success());
        }
    }
    killed
}

/// A token that is valid for an hour.
fn minted(keys: &Keys, tenant: &str, user: &str, permissions: Option<Vec<String>>) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let request = MintRequest {
        sub: user.to_owned(),
        tenant: Some(tenant.to_owned()),
        permissions,
        issuer: None,
        audience: None,
        expires_in: Duration::from_secs(3600),
        now_ms: u64::try_from(now.unwrap().as_millis()).unwrap(),
    };
    mint(keys, &request).unwrap()
}

/// Makes the key of the tokens.
fn public_key(home: &Path) -> String {
    let keys = home.join("keys");
    Keys::open(&keys).unwrap();
    let mut files = std::fs::read_dir(&keys)
        .unwrap()
        .map(|file| file.unwrap().path());
    let key = files.find(|path| path.extension().is_some_and(|end| end == "pem"));
    std::fs::read_to_string(key.unwrap()).unwrap()
}

/// The template of `deploy/` with the `bootstrap` of this build, or another one.
fn template(home: &Path, setup: &Setup, endpoints: &str) -> PathBuf {
    let mut text = std::fs::read_to_string(root().join("deploy/template.yaml")).unwrap();
    let given = std::env::var("LAMBDA_BOOTSTRAP").ok();
    let bootstrap = given.as_deref().unwrap_or(env!("CARGO_BIN_EXE_bootstrap"));
    let always = [
        ("../target/package/streamer.zip", bootstrap),
        (S3_ENDPOINT, endpoints),
    ];
    for (old, new) in always.into_iter().chain(setup.replaced.iter().copied()) {
        assert!(text.contains(old), "the template has no `{old}`");
        text = text.replace(old, new);
    }
    let template = home.join("template.yaml");
    std::fs::write(&template, text).unwrap();
    template
}
