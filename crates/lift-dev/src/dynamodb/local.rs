//! In: where DynamoDB Local may be. Out: a running one that ends with its owner, or how to get it.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, interval, timeout};

use super::{Client, EndpointError, Error};
use lift_aws_client::sigv4::Credentials;

/// Runs its arguments until they end or standard input does, so that Java does not outlive an owner
/// that is killed: its end of the pipe closes with it.
const LEASH: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
{ read -r _ <&3; kill -9 $child; } 2>/dev/null &
exec 3<&-
wait $child
"#;
/// What a shell answers where there is no such program.
const NO_PROGRAM: i32 = 127;
/// The file that tells DynamoDB Local's directory from others.
const JAR: &str = "DynamoDBLocal-";
/// How long it may take to answer: about two seconds on an idle machine.
const START_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(5);
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Why there is no DynamoDB Local.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// No directory has its jars.
    #[error(
        "no DynamoDB Local in {looked_in}; with Java 17 and Maven this brings it (48 MB):\n  {}",
        how_to_get(.directory)
    )]
    NotFound {
        /// Where it was looked for.
        looked_in: String,
        /// Where the command puts it.
        directory: PathBuf,
    },
    /// `java` cannot be run.
    #[error("`java` cannot be run; DynamoDB Local needs Java 17 or later on the PATH")]
    Java(#[source] io::Error),
    /// It ended at once.
    #[error("DynamoDB Local ended with {status}; to see why: {command}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// What was run.
        command: String,
    },
    /// It does not answer.
    #[error("DynamoDB Local does not answer within {} s", START_DEADLINE.as_secs())]
    Silent(#[source] Option<Error>),
    /// There is no port for it.
    #[error("no port of 127.0.0.1 is free")]
    Port(#[source] io::Error),
    /// There is no client for it.
    #[error("no client for DynamoDB Local")]
    Client(#[from] EndpointError),
}

/// A DynamoDB Local in memory. Dropping it kills it.
#[derive(Debug)]
pub struct Local {
    child: Child,
    endpoint: String,
}

/// The directory with the jars: `configured` (the variable `LIFT_DYNAMODB_LOCAL`) alone if there is
/// one, else `lift/dynamodb-local` in the user's cache directory.
///
/// # Errors
/// [`LocalError::NotFound`], which says how to get it.
pub fn find(configured: Option<&Path>, cache: &Path) -> Result<PathBuf, LocalError> {
    let directory = configured.map_or_else(|| cache.join("lift/dynamodb-local"), Path::to_owned);
    let mut names = std::fs::read_dir(&directory)
        .into_iter()
        .flatten()
        .flatten();
    if names.any(|entry| entry.file_name().to_string_lossy().starts_with(JAR)) {
        return Ok(directory);
    }
    Err(LocalError::NotFound {
        looked_in: format!("`{}`", directory.display()),
        directory,
    })
}

/// A command for a shell that puts the jars into `directory`. 3.3.1 is newer and names versions of
/// the AWS SDK that Maven Central does not have.
#[must_use]
pub fn how_to_get(directory: &Path) -> String {
    let pom = concat!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>lift</groupId>",
        "<artifactId>dynamodb-local</artifactId><version>1</version><packaging>pom</packaging>",
        "<dependencies><dependency><groupId>software.amazon.dynamodb</groupId>",
        "<artifactId>DynamoDBLocal</artifactId><version>3.1.0</version></dependency>",
        "</dependencies></project>",
    );
    let directory = directory.display();
    format!(
        "mkdir -p '{directory}' && cd '{directory}' && echo '{pom}' > pom.xml && mvn -q -B dependency:copy-dependencies -DoutputDirectory=."
    )
}

impl Local {
    /// Starts the one in a directory of jars, on a free port, and waits until it answers.
    ///
    /// # Errors
    /// If Java is missing, or it ends or does not answer within a minute.
    pub async fn start(jars: &Path) -> Result<Self, LocalError> {
        let port = free_port().map_err(LocalError::Port)?;
        let jars = std::path::absolute(jars).unwrap_or_else(|_| jars.to_owned());
        let classpath = jars.join("*");
        let mut command = Command::new("sh");
        command
            .args(["-c", LEASH, "dynamodb-local", "java"])
            .arg(format!("-Dsqlite4java.library.path={}", jars.display()))
            .arg("-cp")
            .arg(&classpath)
            .arg("software.amazon.dynamodb.services.local.main.ServerRunner")
            // Without -sharedDb each access key and region sees tables of its own.
            .args(["-inMemory", "-sharedDb", "-port", &port.to_string()])
            // Where it leaves a file about its telemetry otherwise is the user's directory.
            .env("DDB_LOCAL_TELEMETRY", "0")
            .current_dir(&jars)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let words = command
            .as_std()
            .get_args()
            .skip(3)
            .map(|word| format!("{word:?}"));
        let shown = words.collect::<Vec<_>>().join(" ");
        let child = command.spawn().map_err(LocalError::Java)?;
        let endpoint = format!("http://127.0.0.1:{port}");
        let mut local = Self { child, endpoint };
        let until = Instant::now() + START_DEADLINE;
        let mut ticks = interval(ASK_EVERY);
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            ticks.tick().await;
            if let Ok(Some(status)) = local.child.try_wait() {
                if status.code() == Some(NO_PROGRAM) {
                    return Err(LocalError::Java(io::ErrorKind::NotFound.into()));
                }
                let command = shown;
                return Err(LocalError::Ended { status, command });
            }
            if Instant::now() > until {
                return Err(LocalError::Silent(None));
            }
        }
        let client = local.client("us-east-1")?;
        let answered = client
            .call("DynamoDB_20120810.ListTables", &json!({}))
            .await;
        answered.map_err(|error| LocalError::Silent(Some(error)))?;
        Ok(local)
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A client of it; it takes any credentials, letters and digits alone.
    ///
    /// # Errors
    /// If TLS cannot be set up, which such a client could use.
    pub fn client(&self, region: &str) -> Result<Client, EndpointError> {
        let credentials = Credentials {
            access_key: "local".to_owned(),
            secret_key: "local".to_owned(),
            session_token: None,
        };
        Client::new(&self.endpoint, region, credentials)
    }

    /// Kills it and waits for its end, at most 5 s.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn stop(mut self) -> io::Result<()> {
        // Waiting closes its standard input, which ends it.
        timeout(STOP_DEADLINE, self.child.wait()).await?.map(drop)
    }
}

/// One that Java can have at once: ports of connections that ended in the last minute are not (`SO_REUSEADDR` would hide
/// that), and it listens on all addresses.
fn free_port() -> io::Result<u16> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::UNSPECIFIED, 0).into())?;
    Ok(socket.local_addr()?.port())
}
