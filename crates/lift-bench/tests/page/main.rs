//! Reports come in as pages; what a browser makes of them comes out. Skipped where there is no `chromium`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

mod chromium;
#[expect(dead_code, reason = "the tests of reports use the rest")]
#[path = "../report/sample.rs"]
mod sample;

use lift_bench::{
    comparison::{self, Comparison, Run, Scenarios, Side},
    report::{FaultReport, Form},
};

use crate::chromium::{Chromium, Seen};

/// How wide a phone and a desk are.
const WIDTHS: [u32; 2] = [400, 1400];

/// What the page measures of itself.
const MEASURE: &str = r"(() => {
    const name = element => `${element.tagName}.${element.getAttribute('class') || ''} ${element.textContent.slice(0, 40)}`;
    const visible = element => element.getClientRects().length > 0;
    const room = document.documentElement.clientWidth;
    const outside = [...document.querySelectorAll('body *')]
        .filter(element => visible(element) && !element.closest('.scroll table'))
        .filter(element => {
            const { left, right } = element.getBoundingClientRect();
            return right > room + 0.5 || left < -0.5;
        });
    const plots = [...document.querySelectorAll('figure > svg')].filter(visible);
    const texts = plot => [...plot.querySelectorAll('text')].filter(text => text.textContent);
    const cut = plots.flatMap(plot => texts(plot).filter(text => {
        const box = text.getBBox();
        return box.x < 0 || box.y < 0 || box.x + box.width > plot.viewBox.baseVal.width
            || box.y + box.height > plot.viewBox.baseVal.height;
    }));
    const overlapping = plots.flatMap(plot => {
        const boxes = texts(plot).map(text => ({ text, box: text.getBBox() }));
        return boxes.filter(({ box }, index) => boxes.slice(0, index).some(({ box: other }) =>
            box.x < other.x + other.width && other.x < box.x + box.width
                && box.y + 2 < other.y + other.height - 2 && other.y + 2 < box.y + box.height - 2));
    });
    const marks = plots.map(plot => [...plot.querySelectorAll('.mark')].filter(mark => {
        const { width, height } = mark.getBBox();
        return (width > 0 || height > 0) && getComputedStyle(mark).stroke !== 'none';
    }).length);
    const faults = plots.map(plot => [...plot.querySelectorAll('.fault')].filter(fault =>
        fault.getBBox().height > 0 && getComputedStyle(fault).stroke !== 'none').length);
    return JSON.stringify({
        faults,
        scrolls: document.documentElement.scrollWidth > room,
        outside: outside.map(name),
        cut: cut.map(name),
        overlapping: overlapping.map(({ text }) => name(text)),
        marks,
        title: document.title,
        scripts: document.scripts.length,
    });
})()";

/// Opens a page at each width; says what the browser had to say.
fn opened(page: &str) -> Option<Vec<Seen>> {
    Chromium::with(async |mut browser| {
        let mut seen = Vec::new();
        for width in WIDTHS {
            seen.push(browser.open(page, width, MEASURE).await);
        }
        browser.close().await;
        seen
    })
}

/// What holds of every page.
fn check(seen: &Seen, plots: usize) {
    let Seen { width, .. } = seen;
    assert_eq!(seen.complaints, Vec::<String>::new(), "{width} wide");
    assert_eq!(seen.requests, Vec::<String>::new(), "{width} wide");
    let measured = &seen.measured;
    for nothing in ["outside", "cut", "overlapping"] {
        let found = measured[nothing].as_array().unwrap();
        assert!(found.is_empty(), "{nothing}, {width} wide: {found:?}");
    }
    assert_eq!(measured["scrolls"], false, "{width} wide");
    assert_eq!(measured["scripts"], 0, "{width} wide");
    let marks = measured["marks"].as_array().unwrap();
    assert_eq!(marks.len(), plots, "{width} wide: {marks:?}");
}

#[test]
fn every_plot_is_drawn_and_nothing_leaves_the_screen_or_the_page() {
    let mut report = sample::report();
    report.faults = vec![FaultReport {
        phase: report.phases[1].name.clone(),
        began_us: report.phases[1].began_us + 500_000,
        what: "kill of the server".to_owned(),
        ran: 0,
        failed: 0,
        failure: None,
    }];
    let Some(all) = opened(&report.written(Form::Html)) else {
        return;
    };
    for seen in all {
        check(&seen, 5);
        // In each plot but that of percentiles.
        assert_eq!(
            seen.measured["faults"].to_string(),
            "[1,0,1,1,1]",
            "{} wide",
            seen.width
        );
        // Half, 99 % and the longest; three latencies; three rates; open connections; errors.
        assert_eq!(
            seen.measured["marks"].to_string(),
            "[3,3,3,1,1]",
            "{} wide",
            seen.width
        );
    }
}

#[test]
fn a_week_of_hostile_names_fits_too() {
    let mut report = sample::report();
    let evil = "</title><script>document.title = 'taken'</script><img src='http://127.0.0.1:9/x'>";
    report.name = evil.repeat(3);
    report.about = "a".repeat(500);
    report.target = format!("ws://{}", "host.".repeat(60));
    report.verdict.reasons = vec![evil.to_owned(), "b".repeat(300)];
    report.took_us = 7 * 86_400 * 1_000_000;
    let phase = report.phases[1].clone();
    report.phases = (0..20).map(|_| phase.clone()).collect();
    for (index, phase) in (0..).zip(&mut report.phases) {
        phase.name = format!("{index} {evil}");
        phase.began_us = index * report.took_us / 20;
        phase.took_us = report.took_us / 20;
    }
    let moments = report.timeline.iter().cycle().take(600).cloned();
    report.timeline = moments.collect();
    for (second, moment) in (0..).zip(&mut report.timeline) {
        moment.second = second * 1008;
        moment.max_us = Some(second * second * 1000 + 1);
        moment.sent *= 90.0;
    }
    let Some(all) = opened(&report.written(Form::Html)) else {
        return;
    };
    for seen in all {
        check(&seen, 5);
        let title = seen.measured["title"].as_str().unwrap();
        assert!(title.starts_with("passed: </title><script>"), "{title}");
    }
}

#[test]
fn a_run_without_moments_is_a_page_without_their_plots() {
    let mut report = sample::report();
    report.timeline.clear();
    report.total.latencies.clear();
    let Some(all) = opened(&report.written(Form::Html)) else {
        return;
    };
    for seen in all {
        check(&seen, 0);
    }
}

#[test]
fn a_comparison_fits_a_phone_and_a_desk() {
    let side = |name: &str| Side {
        runs: (0..3)
            .map(|index| Run {
                label: format!("{index}-{name}.json"),
                report: sample::report(),
            })
            .collect(),
        figures: Vec::new(),
    };
    let (baseline, now) = (side("before"), side(&"very-long-".repeat(20)));
    let comparison = Comparison::of(&baseline, &now, Scenarios::Same).unwrap();
    let Some(all) = opened(&comparison.written(comparison::Form::Html)) else {
        return;
    };
    for seen in all {
        check(&seen, 0);
        let title = seen.measured["title"].as_str().unwrap();
        assert!(
            title.starts_with("message-throughput: 0 better, 0 worse"),
            "{title}"
        );
    }
}

#[test]
fn the_browser_tells_of_what_the_other_tests_look_for() {
    let page = "<!doctype html><title>x</title><link rel=icon href=data:,><p style='width: 3000px'>wide</p>
        <img src='http://127.0.0.1:9/x'><script>console.error('no')</script>";
    let Some(all) = opened(page) else {
        return;
    };
    for seen in all {
        assert_eq!(seen.requests, ["http://127.0.0.1:9/x"]);
        assert!(
            seen.complaints.iter().any(|said| said.contains("no")),
            "{seen:?}"
        );
        assert_eq!(seen.measured["scrolls"], true);
        assert_eq!(seen.measured["outside"][0], "P. wide");
    }
}
