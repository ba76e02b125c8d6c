//! Lines of numbers come in, where a page draws them goes out.

use serde::Serialize;

use super::scale::{Scale, times};

/// One plot, before it has a size.
#[derive(Debug)]
pub(super) struct Plot {
    pub(super) title: &'static str,
    pub(super) note: String,
    pub(super) unit: &'static str,
    pub(super) across: Across,
    pub(super) up: Scale,
    pub(super) lines: Vec<Line>,
}

/// What goes from left to right.
#[derive(Debug)]
pub(super) enum Across {
    /// Seconds, with the phases behind them and the faults in them.
    Time {
        to_s: f64,
        phases: Vec<Band>,
        faults: Vec<Fault>,
    },
    /// Percentiles.
    Tail(Scale),
}

/// A phase.
#[derive(Debug, Clone)]
pub(super) struct Band {
    pub(super) from_s: f64,
    pub(super) to_s: f64,
    pub(super) name: String,
    pub(super) measured: bool,
}

/// The time from which something was made to go wrong.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) at_s: f64,
    pub(super) name: String,
}

#[derive(Debug)]
pub(super) struct Line {
    pub(super) name: String,
    /// `line`, `dashed` or `stick`.
    pub(super) style: &'static str,
    /// Across and up; a gap where nothing was measured.
    pub(super) points: Vec<(f64, Option<f64>)>,
}

/// A plot as a page shows it.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    title: &'static str,
    note: String,
    legend: Vec<Key>,
    drawings: [Drawing; 2],
}

#[derive(Debug, Serialize)]
struct Key {
    class: String,
    name: String,
}

/// A plot of one size; every place is in its own units.
#[derive(Debug, Serialize)]
struct Drawing {
    class: &'static str,
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    below: String,
    last: f64,
    unit: String,
    across: String,
    bands: Vec<Shade>,
    faults: Vec<Tick>,
    up: Vec<Tick>,
    along: Vec<Tick>,
    paths: Vec<Path>,
}

#[derive(Debug, Serialize)]
struct Shade {
    x: String,
    width: String,
    class: &'static str,
    name: String,
    label: String,
    label_x: String,
}

#[derive(Debug, Serialize)]
struct Tick {
    at: String,
    label: String,
}

#[derive(Debug, Serialize)]
struct Path {
    class: String,
    d: String,
}

/// For a desk, and for a phone: text keeps its size where a plot is drawn anew rather than made smaller.
const SIZES: [(&str, f64, f64); 2] = [("wide", 640.0, 270.0), ("narrow", 360.0, 250.0)];
/// How wide a digit is, about, at the page's size of letters in plots.
const LETTER: f64 = 6.6;

impl Plot {
    /// Nothing where there is nothing to draw.
    pub(super) fn figure(self) -> Option<Figure> {
        let drawn = |line: &Line| line.points.iter().any(|(_, up)| up.is_some());
        if !self.lines.iter().any(drawn) {
            return None;
        }
        let lines = self.lines.iter().enumerate().map(|(index, line)| Key {
            class: class(index, line),
            name: line.name.clone(),
        });
        let fault = matches!(&self.across, Across::Time { faults, .. } if !faults.is_empty());
        let legend = lines.chain(fault.then(|| Key {
            class: "fault".to_owned(),
            name: "a fault begins".to_owned(),
        }));
        Some(Figure {
            legend: legend.collect(),
            drawings: SIZES.map(|size| self.drawing(size)),
            title: self.title,
            note: self.note,
        })
    }

    fn drawing(&self, (class_name, width, height): (&'static str, f64, f64)) -> Drawing {
        let ticks = self.up.ticks();
        let longest = ticks.iter().map(|(_, name)| name.chars().count()).max();
        let letters = u32::try_from(longest.unwrap_or(1)).map_or(1.0, f64::from);
        let area = Area {
            left: (letters * LETTER + 12.0).round(),
            right: width - 22.0,
            top: 42.0,
            bottom: height - 40.0,
        };
        let up = ticks.into_iter().map(|(value, label)| Tick {
            at: coordinate(area.up(self.up.place(value))),
            label,
        });
        let (along, across, bands, faults) = match &self.across {
            Across::Time {
                to_s,
                phases,
                faults,
            } => {
                let (ticks, unit) = times(*to_s);
                let place = |seconds: f64| area.across(seconds / to_s.max(1.0));
                let shades = phases.iter().enumerate();
                let shades = shades.map(|(index, band)| shade(index, band, &place));
                let faults = faults.iter().map(|fault| (fault.at_s, fault.name.clone()));
                (
                    ticks_at(ticks, &place),
                    format!("time after the start, {unit}"),
                    shades.collect(),
                    ticks_at(faults.collect(), &place),
                )
            }
            Across::Tail(scale) => {
                let place = |percent: f64| area.across(scale.place(percent));
                let title = "percentile: so many of a hundred took no longer".to_owned();
                (
                    ticks_at(scale.ticks(), &place),
                    title,
                    Vec::new(),
                    Vec::new(),
                )
            }
        };
        let log = if self.up.is_log() { ", log scale" } else { "" };
        let paths = self.lines.iter().enumerate().map(|(index, line)| Path {
            class: class(index, line),
            d: self.path(&area, line),
        });
        Drawing {
            class: class_name,
            width,
            height,
            left: area.left,
            right: area.right,
            top: area.top,
            bottom: area.bottom,
            below: coordinate(area.bottom + 16.0),
            last: height - 6.0,
            unit: format!("{}{log}", self.unit),
            across,
            bands,
            faults,
            up: up.collect(),
            along,
            paths: paths.collect(),
        }
    }

    fn path(&self, area: &Area, line: &Line) -> String {
        let mut d = String::new();
        let mut drawing = false;
        for (across, up) in &line.points {
            let Some(up) = up.filter(|up| up.is_finite()) else {
                drawing = false;
                continue;
            };
            let x = coordinate(match &self.across {
                Across::Time { to_s, .. } => area.across(across / to_s.max(1.0)),
                Across::Tail(scale) => area.across(scale.place(*across)),
            });
            let y = coordinate(area.up(self.up.place(up)));
            if line.style == "stick" {
                d.push_str(&format!("M{x} {}V{y}", coordinate(area.bottom)));
            } else if drawing {
                d.push_str(&format!("L{x} {y}"));
            } else {
                // A point that stands alone is a dot.
                d.push_str(&format!("M{x} {y}h0"));
                drawing = true;
            }
        }
        d
    }
}

struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Area {
    fn across(&self, place: f64) -> f64 {
        self.left + (self.right - self.left) * place.clamp(0.0, 1.0)
    }

    fn up(&self, place: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * place
    }
}

fn ticks_at(ticks: Vec<(f64, String)>, place: &dyn Fn(f64) -> f64) -> Vec<Tick> {
    let tick = |(value, label)| Tick {
        at: coordinate(place(value)),
        label,
    };
    ticks.into_iter().map(tick).collect()
}

fn shade(index: usize, band: &Band, place: &dyn Fn(f64) -> f64) -> Shade {
    let (from, to) = (place(band.from_s), place(band.to_s));
    let name = if band.measured {
        band.name.clone()
    } else {
        format!("{} (not counted)", band.name)
    };
    Shade {
        x: coordinate(from),
        width: coordinate((to - from).max(0.0)),
        class: match (band.measured, index % 2) {
            (false, _) => "aside",
            (true, 0) => "even",
            (true, _) => "odd",
        },
        label: fitting(&band.name, to - from - 6.0),
        label_x: coordinate(from + 3.0),
        name,
    }
}

/// As much of a name as has room; nothing of it where that says nothing.
fn fitting(name: &str, room: f64) -> String {
    let mut taken = LETTER;
    let fits = |_: &char| {
        taken += LETTER;
        taken <= room
    };
    let start: String = name.chars().take_while(fits).collect();
    match start.chars().count() {
        count if count == name.chars().count() => start,
        0..3 => String::new(),
        _ => format!("{start}…"),
    }
}

fn class(index: usize, line: &Line) -> String {
    format!("c{} {}", index % 6 + 1, line.style)
}

/// A tenth of a unit is less than anyone sees.
fn coordinate(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
