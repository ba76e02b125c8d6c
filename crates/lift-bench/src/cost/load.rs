//! A scenario comes in; how often what happens when, run by nobody, goes out.
//!
//! Clients are counted, not simulated one by one: where 0.3 of a client starts in a second, 0.3 of its life is added.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::scenario::{Behaviour, Cut, Fault, Message, Phase, Protocol, Scenario};

use super::{
    assumed::Assumed,
    kind::{self, Moment, Sort},
    life::{Life, What},
    sizes::Sizes,
    timeline::{Reader, Slicing, Timeline, millis, seconds},
};

/// Clients whose tokens are looked at for how users share the load.
const CLIENTS_MAX: u32 = 1_000;
/// A Streamer client that said nothing for this long says `ping` (`crates/streamer-client/src/state/links.rs`).
const PING_AFTER_MS: u64 = 240_000;

/// What a scenario's run is, second by second.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Load {
    /// Length of the run.
    pub run_seconds: f64,
    /// Length of a slice; a peak is the fullest slice's mean.
    pub slice_seconds: f64,
    /// What happens.
    pub flows: Vec<Flow>,
    /// Seconds of all connections together.
    pub open_seconds: f64,
    /// Connections at once in the fullest slice.
    pub open_peak: f64,
    /// The longest that a connection lasts.
    pub longest_open_seconds: f64,
    /// The longest that a connection says nothing.
    pub longest_idle_seconds: f64,
    /// The part of the load that is the busiest user's.
    pub user_share: f64,
    /// Whether each client is a user of its own, so that more clients are more users.
    pub users: Users,
    /// The part of the load that is the busiest tenant's.
    pub tenant_share: f64,
    /// What was left out or taken for something else, a sentence each.
    pub notes: Vec<String>,
}

/// Whose clients are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Users {
    /// Each is another's.
    Each,
    /// Some share one.
    Shared,
}

/// One sort of event over the run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Flow {
    /// What it is.
    pub sort: Sort,
    /// How often in each slice.
    pub amounts: Vec<f64>,
    /// How often because the run ends, after all slices.
    pub at_end: f64,
}

impl Flow {
    /// How often in all.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.amounts.iter().sum::<f64>() + self.at_end
    }
}

/// A behaviour, and what its clients did so far.
struct Track<'a> {
    name: &'a str,
    of: &'a Behaviour,
    speaks: Protocol,
    life: Life<'a>,
    /// Which of the lanes each entry of the life is in.
    lanes_of: Vec<usize>,
    /// Connects, disconnects, resumes, seconds open, then each message.
    lanes: Vec<Timeline>,
    sends: Vec<&'a Message>,
    reader: Reader,
    open: f64,
    started: Option<u64>,
}

const CONNECT: usize = 0;
const DISCONNECT: usize = 1;
const RESUME: usize = 2;
const OPEN: usize = 3;
const MESSAGES: usize = 4;

impl<'a> Track<'a> {
    fn new(name: &'a str, of: &'a Behaviour, scenario: &Scenario, slicing: Slicing) -> Self {
        let life = Life::of(of);
        let mut sends: Vec<&Message> = of.messages.iter().collect();
        let mut lanes_of = Vec::new();
        for entry in &life.entries {
            lanes_of.push(match entry.what {
                What::Connect => CONNECT,
                What::Disconnect => DISCONNECT,
                What::Resume => RESUME,
                What::Open => OPEN,
                What::Send(message) => {
                    let known = sends.iter().position(|it| std::ptr::eq(*it, message));
                    MESSAGES
                        + known.unwrap_or_else(|| {
                            sends.push(message);
                            sends.len() - 1
                        })
                }
            });
        }
        let lanes = vec![Timeline::new(slicing); MESSAGES + sends.len()];
        Self {
            name,
            of,
            speaks: of.speaks.unwrap_or(scenario.speaks),
            life,
            lanes_of,
            reader: Reader::default(),
            lanes,
            sends,
            open: 0.0,
            started: None,
        }
    }

    fn lane(&mut self, lane: usize) -> &mut Timeline {
        self.lanes.get_mut(lane).expect("each lane was made")
    }

    /// So many clients start.
    fn start(&mut self, at_ms: u64, clients: f64) {
        if clients <= 0.0 {
            return;
        }
        self.started.get_or_insert(at_ms);
        for (entry, lane) in self.life.entries.iter().zip(&self.lanes_of) {
            let (from, until) = (
                at_ms.saturating_add(entry.from_ms),
                at_ms.saturating_add(entry.until_ms),
            );
            if let Some(timeline) = self.lanes.get_mut(*lane) {
                timeline.over(from, until, entry.times * clients);
            }
        }
    }

    /// So many connections are lost, and come back.
    fn cut(&mut self, at_ms: u64, clients: f64, offline_ms: u64) {
        if clients <= 0.0 {
            return;
        }
        let back_ms = at_ms.saturating_add(offline_ms);
        self.lane(DISCONNECT).at(at_ms, clients);
        self.lane(CONNECT).at(back_ms, clients);
        self.lane(RESUME).at(back_ms, clients);
        self.lane(OPEN)
            .over(at_ms, back_ms, -clients * seconds(offline_ms));
    }

    /// What the phases ask those that stay to send.
    fn send(&mut self, at_ms: u64, messages: f64) {
        let of = self.of;
        let weights: f64 = of.messages.iter().map(|it| f64::from(it.weight)).sum();
        for (n, message) in of.messages.iter().enumerate() {
            let part = f64::from(message.weight) / weights.max(1.0);
            self.lane(MESSAGES + n).at(at_ms, messages * part);
        }
    }
}

/// A phase, and when it is.
#[derive(Clone, Copy)]
struct Stage<'a> {
    phase: &'a Phase,
    from_ms: u64,
    until_ms: u64,
}

impl Stage<'_> {
    /// Connections and messages in a part of it.
    fn asked(&self, from_ms: u64, until_ms: u64) -> (f64, f64) {
        let phase = self.phase;
        let rate = |from: f64| match phase.ramp_to {
            Some(to) if from > 0.0 => {
                let middle = seconds(from_ms - self.from_ms) + seconds(until_ms - self.from_ms);
                let length = seconds(self.until_ms - self.from_ms);
                from + (to - from) * middle / 2.0 / length
            }
            _ => from,
        };
        // Where a phase has a `ramp_to`, one of its rates is 0 and stays so.
        let took = seconds(until_ms - from_ms);
        (
            rate(phase.connections_per_second) * took,
            rate(phase.messages_per_second) * took,
        )
    }
}

impl Load {
    /// What a scenario does, for a deployment at its own target.
    #[must_use]
    pub fn of(scenario: &Scenario, assumed: &Assumed, tasks: &BTreeSet<String>) -> Self {
        let mut stages = Vec::new();
        let mut end_ms = 0_u64;
        for phase in &scenario.phases {
            let from_ms = end_ms;
            end_ms = end_ms.saturating_add(millis(phase.duration));
            stages.push(Stage {
                phase,
                from_ms,
                until_ms: end_ms,
            });
        }
        let slicing = Slicing::of(end_ms.max(1));
        let behaviours = scenario.behaviours.iter();
        let mut tracks: Vec<_> = behaviours
            .map(|(name, of)| Track::new(name, of, scenario, slicing))
            .collect();
        for (from_ms, until_ms) in slicing.slices() {
            for track in &mut tracks {
                let open = track.lanes.get(OPEN).map(|lane| track.reader.next(lane));
                let open = open.unwrap_or_default() / seconds(until_ms - from_ms);
                track.open = open.max(0.0);
            }
            for stage in &stages {
                step(
                    &mut tracks,
                    *stage,
                    from_ms.max(stage.from_ms),
                    until_ms.min(stage.until_ms),
                );
            }
        }
        let gathering = Gathering {
            scenario,
            stages: &stages,
            slicing,
            assumed,
            tasks,
        };
        gathering.load(&tracks)
    }
}

/// What happens in a part of a phase.
fn step(tracks: &mut [Track<'_>], stage: Stage<'_>, from_ms: u64, until_ms: u64) {
    if from_ms >= until_ms {
        return;
    }
    let phase = stage.phase;
    let at_ms = from_ms.midpoint(until_ms);
    let (mut connections, messages) = stage.asked(from_ms, until_ms);
    if let Some(hold) = phase.hold {
        let open: f64 = tracks.iter().map(|track| track.open).sum();
        connections = connections.min(f64::from(hold) - open).max(0.0);
    }
    let starts = |track: &Track<'_>| match &phase.behaviour {
        Some(only) => f64::from(u8::from(track.name == only)),
        None => f64::from(track.of.weight),
    };
    let sends = |track: &Track<'_>| match track.of.messages.is_empty() {
        true => 0.0,
        false => starts(track),
    };
    let all_starts: f64 = tracks.iter().map(starts).sum();
    let all_sends: f64 = tracks.iter().map(sends).sum();
    for track in tracks {
        let (starting, sending) = (starts(track), sends(track));
        track.start(at_ms, connections * starting / all_starts.max(1.0));
        track.send(at_ms, messages * sending / all_sends.max(1.0));
        for fault in &phase.faults {
            if let Fault::Cut(cut) = fault {
                cuts(track, cut, stage, from_ms, until_ms);
            }
        }
    }
}

fn cuts(track: &mut Track<'_>, cut: &Cut, stage: Stage<'_>, from_ms: u64, until_ms: u64) {
    let begins_ms = stage.from_ms.saturating_add(millis(cut.at));
    let affected = track.open * cut.share.part();
    let offline_ms = millis(cut.offline.at(0.5));
    match cut.each {
        None if (from_ms..until_ms).contains(&begins_ms) => {
            track.cut(begins_ms, affected, offline_ms);
        }
        Some(each) if until_ms > begins_ms => {
            let lasts = seconds(until_ms - from_ms.max(begins_ms));
            let times = affected * lasts / each.as_secs_f64().max(0.001);
            track.cut(from_ms.max(begins_ms), times, offline_ms);
        }
        None | Some(_) => {}
    }
}

/// What turns tracks into a load.
struct Gathering<'a> {
    scenario: &'a Scenario,
    stages: &'a [Stage<'a>],
    slicing: Slicing,
    assumed: &'a Assumed,
    tasks: &'a BTreeSet<String>,
}

impl Gathering<'_> {
    fn load(&self, tracks: &[Track<'_>]) -> Load {
        let sizes = Sizes::new(self.scenario.seed);
        let ours: Vec<_> = tracks
            .iter()
            .filter(|track| track.of.target.is_none())
            .collect();
        let mut open = vec![0.0; self.slicing.slices().count()];
        for track in &ours {
            let lane = track.lanes.get(OPEN).map(Timeline::amounts);
            for (all, one) in open.iter_mut().zip(lane.unwrap_or_default()) {
                *all += one.max(0.0);
            }
        }
        let lengths = self
            .slicing
            .slices()
            .map(|(from, until)| seconds(until - from));
        let open_peak = open.iter().zip(lengths).map(|(open, length)| open / length);
        let open_peak = open_peak.fold(0.0, f64::max);
        let flows = ours.iter().flat_map(|track| {
            let mut flows = self.flows(track, &sizes);
            flows.extend(self.pings(track, open_peak, &flows));
            flows
        });
        let flows = flows.collect();
        let (user_share, users, tenant_share) = self.shares(&sizes, open_peak);
        Load {
            run_seconds: seconds(self.slicing.end_ms),
            slice_seconds: seconds(self.slicing.slice_ms),
            flows,
            open_seconds: open.iter().sum(),
            open_peak,
            longest_open_seconds: self
                .longest(&ours, |track, left_ms| track.life.open_ms.min(left_ms)),
            longest_idle_seconds: self.longest(&ours, |track, left_ms| {
                let silent_ms = self.idle_ms(track, open_peak, left_ms);
                match track.speaks {
                    Protocol::Streamer => silent_ms.min(PING_AFTER_MS),
                    Protocol::Plain => silent_ms,
                }
            }),
            user_share,
            users,
            tenant_share,
            notes: self.notes(tracks),
        }
    }

    fn flows(&self, track: &Track<'_>, sizes: &Sizes) -> Vec<Flow> {
        let name = track.name;
        let sends = track.sends.iter();
        let messages: Vec<_> = sends
            .map(|message| kind::sort(name, message, sizes, self.assumed, self.tasks))
            .collect();
        let has_tasks = messages.iter().any(|sort| sort.kind.is_task());
        let flow = |sort, lane: usize| Flow {
            sort,
            amounts: track
                .lanes
                .get(lane)
                .map(Timeline::amounts)
                .unwrap_or_default(),
            at_end: 0.0,
        };
        let connects = flow(kind::edge(name, Moment::Connect, track.speaks), CONNECT);
        let mut disconnects = flow(
            kind::edge(name, Moment::Disconnect, track.speaks),
            DISCONNECT,
        );
        disconnects.at_end = (connects.total() - disconnects.total()).max(0.0);
        let resumes = flow(kind::resume(name, self.assumed), RESUME);
        let messages = messages.into_iter().enumerate();
        let messages: Vec<_> = messages.map(|(n, sort)| flow(sort, MESSAGES + n)).collect();
        let resumes = has_tasks.then_some(resumes);
        let mut flows = vec![connects, disconnects];
        flows.extend(resumes);
        flows.extend(messages);
        flows.retain(|flow| flow.total() > 0.0);
        flows
    }

    /// What clients say to keep silent connections open: once each so often, but for the messages that they have to send.
    fn pings(&self, track: &Track<'_>, open: f64, flows: &[Flow]) -> Option<Flow> {
        let left_ms = self.slicing.end_ms - track.started?;
        let silent_ms = self.idle_ms(track, open, left_ms);
        if track.speaks == Protocol::Plain || silent_ms <= PING_AFTER_MS {
            return None;
        }
        let mut amounts = track.lanes.get(OPEN).map(Timeline::amounts)?;
        for (slice, seconds_open) in amounts.iter_mut().enumerate() {
            let messages = flows
                .iter()
                .filter(|flow| flow.sort.moment == Moment::Message);
            let said = messages.filter_map(|flow| flow.amounts.get(slice));
            let due = *seconds_open / seconds(PING_AFTER_MS);
            *seconds_open = (due - said.sum::<f64>()).max(0.0);
        }
        Some(Flow {
            sort: kind::ping(track.name),
            amounts,
            at_end: 0.0,
        })
    }

    /// The longest of a time among behaviours, each at most from its first client to the end.
    fn longest(&self, tracks: &[&Track<'_>], of: impl Fn(&Track<'_>, u64) -> u64) -> f64 {
        let left = |started: u64| self.slicing.end_ms.saturating_sub(started);
        let lengths = tracks
            .iter()
            .filter_map(|track| Some(of(track, left(track.started?))));
        seconds(lengths.max().unwrap_or_default())
    }

    /// How long a connection says nothing: in its steps, and while it stays.
    fn idle_ms(&self, track: &Track<'_>, open: f64, left_ms: u64) -> u64 {
        let in_steps = track.life.silent_ms.min(left_ms);
        let Some(stays_ms) = track.life.stays_ms else {
            return in_steps;
        };
        let stays_ms = stays_ms.min(left_ms);
        if track.of.messages.is_empty() {
            return in_steps.max(stays_ms);
        }
        let (mut longest_ms, mut quiet_ms) = (0, 0);
        for stage in self.stages {
            let length_ms = stage.until_ms - stage.from_ms;
            let rate = stage.asked(stage.from_ms, stage.until_ms).1 / seconds(length_ms).max(0.001);
            quiet_ms = match rate > 0.0 {
                false => quiet_ms + length_ms,
                // Each waits for its turn among all that are open.
                true => millis(Duration::try_from_secs_f64(open / rate).unwrap_or(Duration::MAX)),
            };
            longest_ms = longest_ms.max(quiet_ms);
            if rate > 0.0 {
                quiet_ms = 0;
            }
        }
        in_steps.max(longest_ms.min(stays_ms))
    }

    /// The busiest user's and tenant's parts of all clients.
    fn shares(&self, sizes: &Sizes, open: f64) -> (f64, Users, f64) {
        let Some(tokens) = &self.scenario.tokens else {
            return (1.0, Users::Shared, 1.0);
        };
        let clients = (2..=CLIENTS_MAX).take_while(|n| f64::from(*n) <= open.ceil());
        let clients = clients.max().unwrap_or(2);
        let share = |template: &str| {
            let mut counts = BTreeMap::<String, u32>::new();
            for client in 0..clients {
                *counts
                    .entry(sizes.rendered(template, client.into()))
                    .or_default() += 1;
            }
            let most = counts.values().copied().max().unwrap_or(1);
            let of_looked_at = f64::from(most) / f64::from(clients);
            // Where all that were looked at differ, so do the rest.
            match most {
                1 => (1.0 / open.max(1.0), Users::Each),
                _ => (of_looked_at, Users::Shared),
            }
        };
        let (user, users) = share(&tokens.sub);
        (user, users, share(&tokens.tenant).0)
    }

    fn notes(&self, tracks: &[Track<'_>]) -> Vec<String> {
        let mut notes = Vec::new();
        for track in tracks {
            if let Some(target) = &track.of.target {
                let name = track.name;
                notes.push(format!("`{name}` is left out: it goes to `{target}`"));
            } else if track.speaks == Protocol::Plain {
                notes.push(format!(
                    "`{}` speaks `plain`: each message, connect and disconnect is one invocation of a function like the template's for messages, and nothing is known of DynamoDB and S3",
                    track.name
                ));
            }
        }
        let faults = self.scenario.phases.iter().flat_map(|phase| &phase.faults);
        if faults.clone().any(|fault| !matches!(fault, Fault::Cut(_))) {
            notes.push("faults other than `cut` are left out".to_owned());
        }
        if self.scenario.tokens.is_none() {
            notes.push("there are no `tokens`: all clients are taken for one user".to_owned());
        }
        if self.slicing.slice_ms > 1_000 {
            notes.push(format!(
                "peaks are means over {} s",
                seconds(self.slicing.slice_ms)
            ));
        }
        notes
    }
}
