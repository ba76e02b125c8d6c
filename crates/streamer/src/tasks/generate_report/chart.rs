//! Days with figures come in; charts go out, as SVG that a page can hold.

use super::day::Day;
use super::tally::Group;
use super::text::{count, duration};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 220.0;
/// Room for the figures at the left, and for the days below.
const LEFT: f64 = 56.0;
const BELOW: f64 = 24.0;
const ABOVE: f64 = 10.0;

/// A figure as a length. Exact up to 2^53, and a chart shows three digits of it.
fn float(number: u64) -> f64 {
    let (high, low) = (number >> 32, number & u64::from(u32::MAX));
    let part = |part: u64| f64::from(u32::try_from(part).unwrap_or(u32::MAX));
    part(high) * 4_294_967_296.0 + part(low)
}

/// The least of 1, 2, 5, 10, 20, … that is not below `most`.
fn ceiling(most: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for step in [1, 2, 5] {
            let top = power.saturating_mul(step);
            if top >= most || top == u64::MAX {
                return top;
            }
        }
        power = power.saturating_mul(10);
    }
}

/// The plane of one chart.
struct Plane {
    svg: String,
    top: u64,
    slot: f64,
}

impl Plane {
    fn new(title: &str, days: &[(Day, Group)], most: u64, label: impl Fn(u64) -> String) -> Self {
        let top = ceiling(most.max(1));
        let slots = float(days.len().max(1) as u64);
        let mut plane = Self {
            svg: format!(
                "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n"
            ),
            top,
            slot: (WIDTH - LEFT) / slots,
        };
        for part in [0, 1, 2] {
            let value = top / 2 * part + top % 2 * (part / 2);
            let y = plane.y(value);
            let shown = label(value);
            plane.svg.push_str(&format!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{shown}</text>\n",
                LEFT - 6.0,
                y + 4.0
            ));
        }
        let (first, last) = (days.first(), days.last().filter(|_| days.len() > 1));
        for (day, x, anchor) in [(first, LEFT, "start"), (last, WIDTH, "end")] {
            if let Some((day, _)) = day {
                let y = HEIGHT - 6.0;
                plane.svg.push_str(&format!(
                    "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{day}</text>\n"
                ));
            }
        }
        plane
    }

    fn y(&self, value: u64) -> f64 {
        let room = HEIGHT - ABOVE - BELOW;
        ABOVE + room * (1.0 - float(value.min(self.top)) / float(self.top))
    }

    fn x(&self, at: usize) -> f64 {
        LEFT + self.slot * float(at as u64)
    }

    fn end(mut self) -> String {
        self.svg.push_str("</svg>\n");
        self.svg
    }
}

/// A bar for each day, of its requests by how they ended.
pub(super) fn requests(days: &[(Day, Group)]) -> String {
    let most = days.iter().map(|(_, group)| group.requests()).max();
    let mut plane = Plane::new("Requests per day", days, most.unwrap_or(0), count);
    for (at, (day, group)) in days.iter().enumerate() {
        let gap = (plane.slot * 0.2).min(3.0);
        let (x, width) = (plane.x(at) + gap / 2.0, plane.slot - gap);
        let title = format!(
            "{day}: {} requests, {} completed, {} failed, {} cancelled, {} open",
            group.requests(),
            group.completed,
            group.failed,
            group.cancelled,
            group.open()
        );
        plane.svg.push_str(&format!("<g><title>{title}</title>"));
        let mut below = 0;
        let parts = [
            ("completed", group.completed),
            ("failed", group.failed),
            ("cancelled", group.cancelled),
            ("open", group.open()),
        ];
        for (class, part) in parts.into_iter().filter(|(_, part)| *part > 0) {
            let (bottom, top) = (plane.y(below), plane.y(below + part));
            below += part;
            plane.svg.push_str(&format!(
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{:.1}\"/>",
                (bottom - top).max(0.5)
            ));
        }
        plane.svg.push_str("</g>\n");
    }
    plane.end()
}

/// Two lines over the days: the median and the 95th percentile of the durations.
pub(super) fn durations(days: &[(Day, Group)]) -> String {
    let most = days
        .iter()
        .filter_map(|(_, group)| group.durations.percentile(95));
    let label = |millis| duration(Some(millis));
    let mut plane = Plane::new("Durations per day", days, most.max().unwrap_or(0), label);
    for (class, percent) in [("p95", 95), ("p50", 50)] {
        let mut line = Vec::new();
        for (at, (day, group)) in days.iter().enumerate() {
            let Some(millis) = group.durations.percentile(percent) else {
                draw(&mut plane.svg, class, &mut line);
                continue;
            };
            let (x, y) = (plane.x(at) + plane.slot / 2.0, plane.y(millis));
            line.push(format!("{x:.1},{y:.1}"));
            let title = format!("{day}: {} {class}", duration(Some(millis)));
            plane.svg.push_str(&format!(
                "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"><title>{title}</title></circle>\n"
            ));
        }
        draw(&mut plane.svg, class, &mut line);
    }
    plane.end()
}

/// Ends a line: a day on which nothing ended breaks it.
fn draw(svg: &mut String, class: &str, line: &mut Vec<String>) {
    if line.len() > 1 {
        let points = line.join(" ");
        svg.push_str(&format!(
            "<polyline class=\"{class}\" points=\"{points}\"/>\n"
        ));
    }
    line.clear();
}
