//! In: a template and how it is to run. Out: its APIs on this machine, and what happens in them, line by line.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use lift_dev::{
    access::Signatures,
    dynamodb::{
        self,
        local::{self, Local},
    },
    faults::Faults,
    feed::{Entry, Feed},
    lambda::{ACCESS_KEY_ID, Freeze, SECRET_ACCESS_KEY},
    server::{Dev, Endpoint, Settings},
    sigv4::Credentials,
    template, watch,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

use crate::{
    args::dev::{self, DevArgs, Switch},
    failure::{Exit, Failure, chain},
    output::{print, say},
};

/// The templates that are looked for.
const TEMPLATES: &[&str] = &["template.yaml", "template.yml", "template.json", "lift.toml"];

pub(crate) fn run(args: DevArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("the system refuses threads", &error))?;
    runtime.block_on(dev(args))
}

async fn dev(args: DevArgs) -> Result<(), Failure> {
    let template = match args.template.clone() {
        Some(template) => template,
        None => TEMPLATES
            .iter()
            .map(PathBuf::from)
            .find(|template| template.exists())
            .ok_or_else(|| {
                let cause = format!("there is none of {} here", TEMPLATES.join(", "));
                Failure::new(
                    Exit::Usage,
                    "nothing to run",
                    cause,
                    "name one with `--template FILE`",
                )
            })?,
    };
    let first = lift_dev::bind(args.listen).map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("cannot listen on {}", args.listen),
            chain(&error),
            "end what uses the port, or choose another with `--listen`; port 0 takes a free one",
        )
    })?;
    let address = first
        .local_addr()
        .map_err(|error| failed("the port has no address", &error))?;
    let mut reading = template::Settings::default();
    reading.parameters = args.parameters.iter().cloned().collect();
    reading.region.clone_from(&args.region);
    reading.authorities = authorities(address);
    let plan = template::read(&template, &reading).map_err(|problems| {
        Failure::new(
            Exit::Usage,
            format!("`{}` cannot be run", template.display()),
            problems.to_string(),
            "correct the template; what it may hold is in docs/dev-templates.md",
        )
    })?;

    let directory = home(&template)?;
    let (feed, entries) = Feed::new();
    let screen = Screen {
        json: args.json,
        quiet: args.quiet,
    };
    let showing = tokio::spawn(screen.follow(entries));
    for skipped in &plan.skipped {
        feed.notice(format!("skipped: {skipped}"));
    }
    let local = match args.dynamodb.as_deref() {
        Some("local") => Some(local().await?),
        Some(_) | None => None,
    };
    let mut settings = Settings::new(&directory);
    settings.relaxed.clone_from(&args.relax);
    settings.speed = args.time_scale;
    settings.faults = Faults::new(args.seed, args.faults.iter().copied());
    settings.signatures = match args.signatures {
        dev::Signatures::Unchecked => Signatures::Unchecked,
        dev::Signatures::Checked => Signatures::Checked,
    };
    settings.freeze = match args.freeze {
        Switch::On => Freeze::On,
        Switch::Off => Freeze::Off,
    };
    if let Some(environments) = args.environments {
        settings.environments_max = environments;
    }
    let endpoint = local.as_ref().map(Local::endpoint).or(args.dynamodb.as_deref());
    if let Some(url) = endpoint {
        let credentials = credentials(url, &mut settings);
        let client = dynamodb::Client::new(url, &args.region, credentials);
        let client = client.map_err(|error| failed("the DynamoDB endpoint cannot be used", &error))?;
        settings.dynamodb = Some(client);
    }
    let building = watch::build_all(&plan, &directory, &feed).await;
    building.map_err(|error| failed("a function's code does not build", &error))?;
    let watch = match args.watch {
        Switch::On => Some(
            watch::Watch::start(&plan, &directory)
                .map_err(|error| failed("the code cannot be watched", &error))?,
        ),
        Switch::Off => None,
    };
    let started = Dev::start(plan, settings, first, feed.clone()).await;
    let running = started.map_err(|error| failed("the template does not run", &error))?;
    let shutdown = CancellationToken::new();
    tokio::spawn(stop(shutdown.clone()));
    let watching = watch.map(|watch| {
        let follow = watch.follow(running.functions().clone(), feed.clone(), shutdown.clone());
        tokio::spawn(follow)
    });
    screen.begin(&args, &running)?;
    running.run(shutdown).await;
    if let Some(watching) = watching {
        _ = watching.await;
    }
    if let Some(local) = local {
        local.stop().await.map_err(|error| failed("DynamoDB Local does not end", &error))?;
    }
    let missed = feed.missed();
    drop(feed);
    _ = showing.await;
    if missed > 0 {
        say(&format!("{missed} lines were not shown: they came too fast"));
    }
    Ok(())
}

/// DynamoDB Local, started.
async fn local() -> Result<Local, Failure> {
    let chosen = std::env::var_os("LIFT_DYNAMODB_LOCAL").map(PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = cache.or(home).unwrap_or_else(|| ".cache".into());
    let jars = local::find(chosen.as_deref(), &cache);
    let jars = jars.map_err(|error| failed("DynamoDB Local is not here", &error))?;
    let started = Local::start(&jars).await;
    started.map_err(|error| failed("DynamoDB Local does not run", &error))
}

/// The developer's own for AWS, which functions then have, too; any will do elsewhere.
fn credentials(url: &str, settings: &mut Settings) -> Credentials {
    let own = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let (true, Some(access_key), Some(secret_key)) = (
        url.starts_with("https:"),
        own("AWS_ACCESS_KEY_ID"),
        own("AWS_SECRET_ACCESS_KEY"),
    ) {
        let session_token = own("AWS_SESSION_TOKEN");
        for (name, value) in [
            ("AWS_ACCESS_KEY_ID", Some(&access_key)),
            ("AWS_SECRET_ACCESS_KEY", Some(&secret_key)),
            ("AWS_SESSION_TOKEN", session_token.as_ref()),
        ] {
            let value = value.cloned().unwrap_or_default();
            settings.environment.insert(name.to_owned(), value);
        }
        return Credentials {
            access_key,
            secret_key,
            session_token,
        };
    }
    Credentials {
        access_key: ACCESS_KEY_ID.to_owned(),
        secret_key: SECRET_ACCESS_KEY.to_owned(),
        session_token: None,
    }
}

/// Cancels at the first Ctrl-C or SIGTERM; a second one ends the process as it would any other.
async fn stop(shutdown: CancellationToken) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    shutdown.cancel();
    _ = interrupt.recv().await;
    std::process::exit(i32::from(Exit::Interrupted.code()));
}

/// Where APIs listen, as functions see it: what listens everywhere is called by loopback.
fn authorities(first: SocketAddr) -> template::Authorities {
    let host = match first.ip() {
        ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
        std::net::IpAddr::V4(ip) => ip.to_string(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
    };
    template::Authorities {
        host,
        first_port: first.port(),
    }
}

/// The template's directory.
fn home(template: &Path) -> Result<PathBuf, Failure> {
    let parent = template.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent
        .unwrap_or(Path::new("."))
        .canonicalize()
        .map_err(|error| failed("the template's directory cannot be used", &error))
}

fn failed(what: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(
        Exit::Failed,
        what,
        chain(error),
        "`lift dev --help` shows every option",
    )
}

/// Who reads.
#[derive(Debug, Clone, Copy)]
struct Screen {
    json: bool,
    quiet: bool,
}

impl Screen {
    /// Says where clients connect, and which rules are relaxed.
    fn begin(self, args: &DevArgs, running: &Dev) -> Result<(), Failure> {
        for endpoint in running.endpoints() {
            if self.json {
                print(&format!("{}\n", serde_json::json!(endpoint)))?;
            } else {
                let Endpoint {
                    api, url, tls_url, ..
                } = endpoint;
                say(&format!("{api}  {url}  {tls_url}"));
            }
        }
        if self.quiet || self.json {
            return Ok(());
        }
        let relaxed: Vec<_> = args.relax.iter().map(|quota| quota.name()).collect();
        let relaxed = if relaxed.is_empty() {
            "all in force".to_owned()
        } else {
            format!("without {}", relaxed.join(", "))
        };
        say(&format!("quotas of API Gateway: {relaxed}; time × {}", args.time_scale));
        let faults: Vec<_> = args.faults.iter().map(ToString::to_string).collect();
        if !faults.is_empty() {
            say(&format!("faults: {}; seed {}", faults.join(", "), args.seed));
        }
        say(&format!("certificate: {}", running.certificate().display()));
        Ok(())
    }

    async fn follow(self, mut entries: mpsc::Receiver<Entry>) {
        while let Some(entry) = entries.recv().await {
            if self.json {
                let line = serde_json::to_string(&entry).expect("string keys and plain values");
                // Whoever read it is gone; the functions run on.
                _ = print(&format!("{line}\n"));
            } else if !self.quiet {
                say(&line(&entry));
            }
        }
    }
}

fn line(entry: &Entry) -> String {
    match entry {
        Entry::Notice { text } => format!("· {text}"),
        Entry::Invocation {
            function,
            cause,
            outcome,
            took_us,
            cold_us,
            ..
        } => {
            let cold = cold_us.map(|us| format!("  (start {})", milliseconds(us)));
            let cold = cold.unwrap_or_default();
            let took = milliseconds(*took_us);
            format!("{cause:<12} {function:<20} {outcome}  {took}{cold}")
        }
        Entry::Log { function, line } => format!("{function} | {line}"),
        Entry::Management {
            method,
            connection,
            bytes,
            status,
            ..
        } => format!("{method:<12} @connections/{connection}  {status}  {bytes} bytes"),
        Entry::Connected { api, status } => format!("{:<12} {api}  {status}", "upgrade"),
        Entry::Batch {
            mapping,
            records,
            outcome,
        } => format!("{:<12} {mapping:<20} {outcome}  {records} records", "stream"),
        _ => String::new(),
    }
}

fn milliseconds(us: impl std::borrow::Borrow<u64>) -> String {
    let us = *us.borrow();
    format!("{}.{} ms", us / 1_000, us % 1_000 / 100)
}
