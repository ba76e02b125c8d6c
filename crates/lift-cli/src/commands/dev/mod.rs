//! In: a template and how it is to run. Out: its APIs on this machine, and what happens in them, line by line.

mod screen;
mod setup;

use std::{path::Path, time::Duration};

use lift_dev::{
    build::build_all,
    feed::Feed,
    plan::Plan,
    ports::Ports,
    server::{Dev, Settings, StartError},
    watch::Watch,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::screen::{Screen, Stage};
use crate::{
    args::dev::{DevArgs, Switch},
    config::Aws,
    failure::{Exit, Failure, chain},
    output::say,
};

/// Time for the last lines, where whoever reads them has stopped.
const LAST_LINES: Duration = Duration::from_secs(2);

pub(crate) fn run(args: DevArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("the system refuses threads", &error))?;
    let ran = runtime.block_on(dev(args));
    // What still shows something has had its time.
    runtime.shutdown_background();
    ran
}

async fn dev(args: DevArgs) -> Result<(), Failure> {
    let template = setup::template(&args)?;
    let (plan, ports) = setup::plan(&template, &args)?;
    let directory = setup::home(&template)?;
    let aws = Aws::read();
    let local = match args.dynamodb.as_deref() {
        Some("local") => Some(setup::dynamodb_local(&aws).await?),
        Some(_) | None => None,
    };
    let settings = setup::settings(&args, &directory, local.as_ref(), aws)?;

    let screen = Screen {
        json: args.json,
        quiet: args.quiet,
    };
    let (feed, happened) = Feed::with_detail(screen.detail());
    let (stage, stages) = watch::channel(Stage::Starting);
    if let Some(local) = &local {
        feed.notice(format!("DynamoDB Local is at {}", local.endpoint()));
    }
    let showing = TaskTracker::new();
    let shown = screen.follow(happened, stages);
    showing.spawn_blocking(move || tokio::runtime::Handle::current().block_on(shown));
    showing.close();
    let ran = serve(
        &args,
        (screen, &stage),
        &template,
        (plan, settings, ports),
        feed.clone(),
    )
    .await;
    if let Some(local) = local {
        let ended = local.stop().await;
        ended.map_err(|error| failed("DynamoDB Local does not end", &error))?;
    }
    let missed = feed.missed();
    stage.send_replace(Stage::Ended);
    let shown = tokio::time::timeout(LAST_LINES, showing.wait()).await;
    if shown.is_ok() && missed > 0 {
        say(&format!(
            "{missed} lines were not shown: they came too fast"
        ));
    }
    ran
}

/// Builds, starts and runs until the first Ctrl-C or SIGTERM; a second one does not wait.
async fn serve(
    args: &DevArgs,
    (screen, stage): (Screen, &watch::Sender<Stage>),
    template: &Path,
    (plan, settings, ports): (Plan, Settings, Ports),
    feed: Feed,
) -> Result<(), Failure> {
    let mut stop = Stop::new().map_err(|error| failed("the system refuses signals", &error))?;
    for skipped in &plan.skipped {
        feed.notice(format!("template, {skipped}"));
    }
    let directory = settings.directory.clone();
    let starting = async {
        let building = build_all(&plan, &directory, &feed).await;
        building.map_err(|error| not_started(&error))?;
        let watch = match args.watch {
            Switch::On => Some(
                Watch::start(&plan, &directory, template)
                    .map_err(|error| failed("the code cannot be watched", &error))?,
            ),
            Switch::Off => None,
        };
        let started = Dev::start(plan, settings, ports, feed.clone()).await;
        let running = started.map_err(|error| not_started(&error))?;
        Ok((running, watch))
    };
    let (running, watch) = tokio::select! {
        started = starting => started?,
        stopped = stop.next() => return Err(stopped),
    };
    screen.begin(args, &running)?;
    stage.send_replace(Stage::Running);
    let functions = running.functions().clone();
    let shutdown = CancellationToken::new();
    let watching = TaskTracker::new();
    if let Some(watch) = watch {
        watching.spawn(watch.follow(functions.clone(), feed.clone(), shutdown.clone()));
    }
    watching.close();
    let mut ended = std::pin::pin!(async {
        running.run(shutdown.clone()).await;
        shutdown.cancel();
        watching.wait().await;
    });
    tokio::select! {
        () = &mut ended => return Ok(()),
        _first = stop.next() => {}
    }
    screen.ending(functions.invocations(), &feed);
    shutdown.cancel();
    drop(functions);
    tokio::select! {
        () = ended => Ok(()),
        stopped = stop.next() => Err(stopped),
    }
}

/// Ctrl-C and SIGTERM.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Failure {
        let exit = tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
        };
        Failure::new(
            exit,
            "stopped before the end",
            "a signal",
            "functions are ended with this process",
        )
    }
}

fn not_started(error: &StartError) -> Failure {
    let (what, cause, help) = match error {
        StartError::Build(cause) => (
            "a function's code does not build",
            chain(cause),
            "the command runs in the template's directory; docs/dev-templates.md says how to give another",
        ),
        StartError::State { .. } => (
            "the template's directory takes no `.lift`",
            chain(error),
            "certificates and failed events are kept in `.lift` beside the template: make the directory \
             writable, or run a copy of the project that is",
        ),
        _ => return failed("the template does not run", error),
    };
    Failure::new(Exit::Failed, what, cause, help)
}

fn failed(what: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(
        Exit::Failed,
        what,
        chain(error),
        "`lift dev --help` shows every option",
    )
}
