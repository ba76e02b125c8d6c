//! In: a function whose environment is to run. Out: its processes and their Runtime API, until they end.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncRead;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::archive::Code;
use super::host::Host;
use super::launch::Launch;
use super::pool::{EnvironmentId, InitError};
use super::process::Process;
use super::variables::{Facts, variables};
use super::{random, runtime_api};

/// Time for what a process wrote last.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Connections of one environment; a runtime needs one, and each extension another.
const CONNECTIONS_MAX: usize = 64;

/// Runs one environment, whose start takes so much longer, to its end and reports it.
pub(super) async fn run(
    host: Arc<Host>,
    id: EnvironmentId,
    (function, delay): (usize, Duration),
    killed: CancellationToken,
) {
    if !delay.is_zero() {
        let delay = tokio::time::sleep(delay);
        if killed.run_until_cancelled(delay).await.is_none() {
            return;
        }
    }
    let ended = match Environment::start(&host, id, function).await {
        Ok(environment) => environment.run(&killed).await,
        Err(error) => Some(InitError {
            error_type: "Runtime.InvalidEntrypoint".to_owned(),
            message: format!("Error: {error}"),
            payload: bytes::Bytes::new(),
        }),
    };
    if let Some(error) = ended {
        host.ended(id, error);
    }
}

struct Environment<'a> {
    host: &'a Arc<Host>,
    id: EnvironmentId,
    function: usize,
    listener: TcpListener,
    code: Arc<Code>,
    runtime: Process,
    extensions: Vec<Process>,
    readers: JoinSet<()>,
}

impl<'a> Environment<'a> {
    async fn start(
        host: &'a Arc<Host>,
        id: EnvironmentId,
        function: usize,
    ) -> Result<Self, io::Error> {
        let (launch, code) = host.launch(function).map_err(io::Error::other)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let api = listener.local_addr()?.to_string();
        let known = host
            .functions
            .get(function)
            .ok_or(io::ErrorKind::NotFound)?;
        let log_stream = format!("{}/[$LATEST]{}", host.clock.day(), random::hex::<16>());
        let facts = Facts {
            function: &known.function,
            launch: &launch,
            region: &host.region,
            api: &api,
            runtimes: &host.places.runtimes,
            log_stream: &log_stream,
        };
        let all = variables(&facts, &host.inherited, &host.settings.environment);
        let command = |program: &std::ffi::OsStr| {
            let mut command = Command::new(program);
            command.env_clear().envs(&all).current_dir(&launch.root);
            command
        };
        let answered = host.step(|_, state, _| {
            let running = state.running.get_mut(&id)?;
            running.externals = external_names(&launch);
            state.pool.expect_externals(id, running.externals.len());
            Some(running.answered.subscribe())
        });
        let answered = answered.ok_or(io::ErrorKind::Interrupted)?;
        let mut readers = JoinSet::new();
        let mut spawn = |command: Command| {
            let process = Process::spawn(command, Arc::clone(&host.watchdog));
            let mut process = process?;
            let child = process.child();
            for output in outputs(child) {
                readers.spawn(Arc::clone(&known.log).copy(output, answered.clone()));
            }
            Ok::<_, io::Error>(process)
        };
        let extensions = launch.extensions.iter();
        let extensions = extensions.map(|program| spawn(command(program.as_os_str())));
        let extensions = extensions.collect::<Result<Vec<_>, _>>()?;
        let mut runtime = command(&launch.program);
        runtime.args(&launch.arguments);
        let runtime = spawn(runtime).map_err(|error| {
            let program = launch.program.to_string_lossy();
            io::Error::new(error.kind(), format!("fork/exec {program}: {error}"))
        })?;
        let groups: Vec<_> = std::iter::once(&runtime)
            .chain(&extensions)
            .map(Process::group)
            .collect();
        host.step(|_, state, _| {
            if let Some(running) = state.running.get_mut(&id) {
                running.groups = groups;
            }
        });
        Ok(Self {
            host,
            id,
            function,
            listener,
            code,
            runtime,
            extensions,
            readers,
        })
    }

    /// The error of a process that ended by itself; none where the environment was killed.
    async fn run(mut self, killed: &CancellationToken) -> Option<InitError> {
        let mut connections = JoinSet::new();
        let ended = loop {
            tokio::select! {
                () = killed.cancelled() => break None,
                status = self.runtime.child().wait() => break Some(exit(&status)),
                () = first_exit(&mut self.extensions) => break Some(InitError {
                    error_type: "Extension.Crash".to_owned(),
                    message: "Error: an extension exited".to_owned(),
                    payload: bytes::Bytes::new(),
                }),
                accepted = self.listener.accept() => {
                    if let Ok((stream, _)) = accepted && connections.len() < CONNECTIONS_MAX {
                        let (host, id) = (Arc::clone(self.host), self.id);
                        let service = service_fn(move |request| {
                            runtime_api::handle(Arc::clone(&host), id, request)
                        });
                        _ = stream.set_nodelay(true);
                        connections.spawn(async move {
                            let connection = http1::Builder::new()
                                .timer(TokioTimer::new())
                                .serve_connection(TokioIo::new(stream), service);
                            _ = connection.await;
                        });
                    }
                }
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        };
        if ended.is_some() {
            // What it sent before it ended counts.
            let rest = async { while connections.join_next().await.is_some() {} };
            _ = tokio::time::timeout(LAST_WORDS, rest).await;
        }
        // What they started and left behind ends, too; only then do the pipes.
        for process in self.extensions.iter().chain([&self.runtime]) {
            process.group().signal(rustix::process::Signal::KILL);
        }
        if killed.is_cancelled() {
            _ = self.runtime.child().wait().await;
        }
        let rest = async { while self.readers.join_next().await.is_some() {} };
        _ = tokio::time::timeout(LAST_WORDS, rest).await;
        if let Some(known) = self.host.functions.get(self.function) {
            known.log.settle();
        }
        if let Some(code) = Arc::into_inner(self.code) {
            // The code is another by now, and nothing else runs in this one: its directory is removed.
            _ = tokio::task::spawn_blocking(move || drop(code)).await;
        }
        ended
    }
}

/// What a process writes.
fn outputs(child: &mut Child) -> impl Iterator<Item = Pin<Box<dyn AsyncRead + Send>>> {
    let stdout = child.stdout.take().map(|stdout| Box::pin(stdout) as _);
    let stderr = child.stderr.take().map(|stderr| Box::pin(stderr) as _);
    stdout.into_iter().chain(stderr)
}

async fn first_exit(extensions: &mut [Process]) {
    if extensions.is_empty() {
        return std::future::pending().await;
    }
    let mut waits: Vec<_> = extensions
        .iter_mut()
        .map(|each| Box::pin(each.child().wait()))
        .collect();
    std::future::poll_fn(|context| {
        let mut ended = Poll::Pending;
        for wait in &mut waits {
            if wait.as_mut().poll(context).is_ready() {
                ended = Poll::Ready(());
                break;
            }
        }
        ended
    })
    .await;
}

/// As Lambda words it.
fn exit(status: &io::Result<ExitStatus>) -> InitError {
    let message = match status {
        Err(error) => format!("Error: {error}"),
        Ok(status) => match (status.code(), status.signal()) {
            (Some(0), _) | (None, None) => {
                "Error: Runtime exited without providing a reason".to_owned()
            }
            (Some(code), _) => format!("Error: Runtime exited with error: exit status {code}"),
            (None, Some(signal)) => {
                let name = match signal {
                    4 => "illegal instruction",
                    6 => "aborted",
                    7 => "bus error",
                    8 => "floating point exception",
                    9 => "killed",
                    11 => "segmentation fault",
                    15 => "terminated",
                    _ => return unnamed(signal),
                };
                format!("Error: Runtime exited with error: signal: {name}")
            }
        },
    };
    InitError {
        error_type: "Runtime.ExitError".to_owned(),
        message,
        payload: bytes::Bytes::new(),
    }
}

fn unnamed(signal: i32) -> InitError {
    InitError {
        error_type: "Runtime.ExitError".to_owned(),
        message: format!("Error: Runtime exited with error: signal: signal {signal}"),
        payload: bytes::Bytes::new(),
    }
}

fn external_names(launch: &Launch) -> Vec<String> {
    let names = launch.extensions.iter().filter_map(|path| path.file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}
