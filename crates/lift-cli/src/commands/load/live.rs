//! What happened in each second comes in; a bar on a terminal, or a line each second, goes out to stderr.

use std::{future::Future, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lift_bench::{report::Moment, scenario::Scenario};
use tokio::sync::watch;

use crate::{config::Environment, output::say};

/// Seconds between two lines where nothing is drawn.
const LINE_EVERY: u64 = 5;

/// What is told each second, and what shows it until the run is over.
pub(super) fn show(
    scenario: &Scenario,
    environment: &Environment,
    quiet: bool,
) -> (watch::Sender<Moment>, impl Future<Output = ()>) {
    let (live, mut moments) = watch::channel(Moment::default());
    let mut ends = Duration::ZERO;
    let phases: Vec<(u64, String)> = scenario
        .phases
        .iter()
        .map(|phase| {
            ends += phase.duration;
            (ends.as_secs(), phase.name.clone())
        })
        .collect();
    let lasts = ends.as_secs();
    let bar = (environment.draws() && !quiet).then(|| bar(lasts));
    let mut told = None;
    let shown = async move {
        while moments.changed().await.is_ok() {
            let moment = moments.borrow_and_update().clone();
            let phase = phases.iter().find(|(ends, _)| moment.second < *ends);
            let phase = phase.map_or("draining", |(_, name)| name.as_str());
            match &bar {
                Some(bar) => {
                    bar.set_position(moment.second.saturating_add(1).min(lasts));
                    bar.set_prefix(phase.to_owned());
                    bar.set_message(line(&moment));
                }
                // Several processes tell of the same second.
                None if !quiet
                    && moment.second % LINE_EVERY == 0
                    && told != Some(moment.second) =>
                {
                    told = Some(moment.second);
                    say(&format!(
                        "{:>4} s · {phase} · {}",
                        moment.second,
                        line(&moment)
                    ));
                }
                None => {}
            }
        }
        if let Some(bar) = &bar {
            bar.finish_and_clear();
        }
        std::future::pending().await
    };
    (live, shown)
}

fn bar(seconds: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed:>4} [{bar:24}] {prefix}\n{wide_msg}")
        .expect("the template is a constant, and a test draws it")
        .progress_chars("=> ");
    let bar =
        ProgressBar::with_draw_target(Some(seconds.max(1)), ProgressDrawTarget::stderr_with_hz(4));
    bar.set_style(style);
    bar
}

fn line(moment: &Moment) -> String {
    let ms = |us: Option<u64>| {
        us.map_or_else(
            || "-".to_owned(),
            |us| format!("{}.{}", us / 1000, us % 1000 / 100),
        )
    };
    format!(
        "{} open, {:.0} opened/s · {:.0} sent/s, {:.0} answered/s, {:.0} errors/s · p50 {} p99 {} max {} ms",
        moment.open,
        moment.opened,
        moment.sent,
        moment.answered,
        moment.errors,
        ms(moment.p50_us),
        ms(moment.p99_us),
        ms(moment.max_us),
    )
}
