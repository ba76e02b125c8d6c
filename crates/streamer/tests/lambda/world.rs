//! In: the template of `deploy/` and the `bootstrap`. Out: the whole behind the local gateway, with DynamoDB Local and an S3.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use lift_aws::s3::Bucket;
use lift_dev::dynamodb::local::Local;
use lift_dev::feed::Feed;
use lift_dev::ports::Ports;
use lift_dev::server::{Dev, Settings};
use lift_dev::template;
use object_store::ObjectStoreExt;
use object_store::path::Path as At;
use streamer::auth::{Keys, MintRequest, mint};
use streamer_client::Client;
use streamer_client::options::{Options, Token};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::dynamodb_local;
use crate::moto::{self, BUCKET, S3};

pub(crate) const DEADLINE: Duration = Duration::from_secs(120);
const REGION: &str = "us-east-1";
const TENANT: &str = "acme";

pub(crate) struct World {
    home: TempDir,
    url: String,
    bucket: Bucket,
    stop: CancellationToken,
    running: JoinSet<()>,
    _s3: S3,
    local: Local,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl World {
    /// Everything started, time of schedules and retries `speed` times as fast; none where a part is missing.
    pub(crate) async fn start(speed: u32) -> Option<Self> {
        let (s3, local) = tokio::join!(moto::start(), dynamodb_local::start());
        let (s3, local) = (s3?, local?);
        let home = tempfile::tempdir().unwrap();
        let bucket = Bucket::new(&moto::aws(REGION), BUCKET, Some(&s3.endpoint)).unwrap();

        let keys = home.path().join("keys");
        Keys::open(&keys).unwrap();
        let mut files = std::fs::read_dir(&keys)
            .unwrap()
            .map(|file| file.unwrap().path());
        let key = files.find(|path| path.extension().is_some_and(|end| end == "pem"));
        let key = std::fs::read_to_string(key.unwrap()).unwrap();
        let template = home.path().join("template.yaml");
        let text = std::fs::read_to_string(root().join("deploy/template.yaml")).unwrap();
        let bootstrap = env!("CARGO_BIN_EXE_bootstrap");
        let text = text.replace("../target/package/streamer.zip", bootstrap);
        std::fs::write(&template, text).unwrap();

        let ports = Ports::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let mut reading = template::Settings::default();
        reading.authorities = ports.authorities();
        reading.parameters.extend([
            ("JwtKey".to_owned(), key),
            ("S3Endpoint".to_owned(), s3.endpoint.clone()),
        ]);
        let plan = template::read(&template, &reading).unwrap();
        let mut settings = Settings::new(home.path());
        settings.speed = NonZeroU32::new(speed).unwrap();
        settings.dynamodb = Some(local.client(REGION).unwrap());
        let (feed, mut happened) = Feed::new();
        let dev = Dev::start(plan, settings, ports, feed).await.unwrap();
        let url = dev.endpoints()[0].url.clone();
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(dev.run(stop.clone()));
        running.spawn(async move {
            while let Some(happened) = happened.recv().await {
                println!("{happened:?}");
            }
        });
        Some(Self {
            home,
            url,
            bucket,
            stop,
            running,
            _s3: s3,
            local,
        })
    }

    /// A client of a user of `acme`, which connects anew whenever it is cut.
    pub(crate) async fn client(&self, user: &str) -> Client {
        self.client_of(TENANT, user).await
    }

    pub(crate) async fn client_of(&self, tenant: &str, user: &str) -> Client {
        let keys = Keys::read(&self.home.path().join("keys")).unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let request = MintRequest {
            sub: user.to_owned(),
            tenant: Some(tenant.to_owned()),
            permissions: None,
            issuer: None,
            audience: None,
            expires_in: Duration::from_secs(3600),
            now_ms: u64::try_from(now.unwrap().as_millis()).unwrap(),
        };
        let token = Token::fixed(mint(&keys, &request).unwrap());
        let connecting = Client::connect(Options::new(self.url.clone()).token(token));
        timeout(DEADLINE, connecting).await.unwrap().unwrap()
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
        let handler = format!("_HANDLER={role}\0");
        let ours = format!("{}", self.home.path().display());
        let mut killed = 0;
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let environ = std::fs::read(process.path().join("environ")).unwrap_or_default();
            let environ = String::from_utf8_lossy(&environ);
            if environ.contains(&handler) && environ.contains(&ours) {
                let pid = process.file_name();
                let pid = pid.to_str().unwrap();
                killed += usize::from(
                    Command::new("kill")
                        .args(["-9", pid])
                        .status()
                        .unwrap()
                        .success(),
                );
            }
        }
        killed
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let ended = async { while self.running.join_next().await.is_some() {} };
        timeout(DEADLINE, ended).await.unwrap();
        self.local.stop().await.unwrap();
    }
}
