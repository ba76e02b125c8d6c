//! In: who waits and which environments there are. Out: who gets which, and what starts or ends for it.

use std::time::Duration;

use tokio::time::Instant;

use super::super::failure::Ceiling;
use super::{
    ABOUT_TO_BE_FREE, Action, Answered, Attempt, Environment, EnvironmentId, ExtensionKind,
    Function, HELD_MAX, INIT, Phase, Pool, Reason, Subscription, Ticket, USED_LATELY, Waiting,
};

/// Time from SIGTERM to SIGKILL ("Lambda execution environment lifecycle", shutdown phase).
const GRACE_INTERNAL: Duration = Duration::from_millis(500);
const GRACE_EXTERNAL: Duration = Duration::from_secs(2);

impl Function {
    /// Time that who waits may be kept from a new start.
    pub(super) fn patience(&self) -> Duration {
        if self.holds > 0 {
            HELD_MAX
        } else {
            ABOUT_TO_BE_FREE
        }
    }
}

impl Environment {
    fn is_settled(&self) -> bool {
        let external = |each: &&super::Extension| each.kind == ExtensionKind::External;
        self.runtime_waits
            && self.extensions.iter().all(|each| each.waits)
            && self.extensions.iter().filter(external).count() >= self.externals
    }
}

impl Pool {
    /// Everybody of the environment may have asked for the next event.
    pub(super) fn settle(&mut self, now: Instant, id: EnvironmentId, out: &mut Vec<Action>) {
        let Self {
            environments,
            functions,
            ..
        } = self;
        let Some(environment) = environments.get_mut(&id) else {
            return;
        };
        let index = environment.function;
        let Some(function) = functions.get_mut(index) else {
            return;
        };
        if !environment.is_settled() {
            return;
        }
        let (cold, by) = match environment.phase {
            Phase::Starting { by, attempt } => {
                let cold = now.saturating_duration_since(environment.born);
                (Some(cold), (attempt == Attempt::Second).then_some(by))
            }
            Phase::Busy {
                answer: Answered::Yes,
                ..
            } => (None, None),
            Phase::Busy { .. } | Phase::Idle { .. } | Phase::Stopping { .. } => return,
        };
        environment.phase = Phase::Idle { since: now };
        if environment.generation != function.generation {
            self.stop(now, id, out);
            return;
        }
        if let Some(ticket) = function.next(now) {
            let until = now + function.allowed.timeout;
            let until = by.map_or(until, |by| until.min(by));
            self.deliver(id, ticket, until, cold, out);
        }
    }

    /// Gives who waits what is idle, and starts environments for the others.
    pub(super) fn pump(&mut self, now: Instant, index: usize, out: &mut Vec<Action>) {
        while let Some(id) = self.idle(index) {
            let Some(function) = self.functions.get_mut(index) else {
                return;
            };
            let Some(ticket) = function.next(now) else {
                break;
            };
            let until = now + function.allowed.timeout;
            self.deliver(id, ticket, until, None, out);
        }
        loop {
            let (starting, soon, running) = self.census(index);
            let Some(function) = self.functions.get_mut(index) else {
                return;
            };
            let held = function.holds > 0;
            let Some(&Waiting {
                ticket,
                since,
                spares,
            }) = function.waiting.get(starting)
            else {
                return;
            };
            let waited = now.saturating_duration_since(since);
            let patient = if held { HELD_MAX } else { ABOUT_TO_BE_FREE };
            if waited < patient && (held || function.waiting.len() <= starting + soon) {
                return;
            }
            let ceiling = function.allowed.concurrency_max;
            let refused = if ceiling.is_some_and(|most| running >= most) {
                Some(Ceiling::Reserved)
            } else if running > 0 && waited < USED_LATELY && self.spares_others(now, spares) {
                if let Some(function) = self.functions.get_mut(index) {
                    let waiting = function.waiting.iter_mut().skip(starting);
                    waiting.for_each(|waiting| waiting.spares = true);
                }
                return;
            } else {
                self.make_room(out).err()
            };
            // Somebody else's that has answered makes room as soon as it is idle.
            if refused == Some(Ceiling::Environments)
                && waited < ABOUT_TO_BE_FREE
                && self.is_one_about_to_be_free()
            {
                return;
            }
            match refused {
                None => self.start(now, index, Attempt::First, out),
                Some(ceiling) => {
                    if let Some(function) = self.functions.get_mut(index) {
                        function.waiting.remove(starting);
                    }
                    out.push(Action::Fail(ticket, Reason::Throttled(ceiling)));
                }
            }
        }
    }

    /// A start came to nothing: again for who waits, in the function's own time; then it fails.
    pub(super) fn start_failed(
        &mut self,
        now: Instant,
        id: EnvironmentId,
        reason: Reason,
        out: &mut Vec<Action>,
    ) {
        let Some(environment) = self.environments.get(&id) else {
            return;
        };
        let (index, phase) = (environment.function, environment.phase);
        let stale = self
            .functions
            .get(index)
            .is_none_or(|function| function.generation != environment.generation);
        self.kill(id, out);
        let Some(function) = self.functions.get_mut(index) else {
            return;
        };
        let Phase::Starting { attempt, .. } = phase else {
            return;
        };
        if !stale && !function.waiting.is_empty() {
            match attempt {
                Attempt::First => self.start(now, index, Attempt::Second, out),
                Attempt::Second => {
                    let failed = function.waiting.pop_front();
                    out.extend(failed.map(|failed| Action::Fail(failed.ticket, reason)));
                }
            }
        }
        self.pump(now, index, out);
    }

    fn start(&mut self, now: Instant, index: usize, attempt: Attempt, out: &mut Vec<Action>) {
        let Some(function) = self.functions.get(index) else {
            return;
        };
        self.last += 1;
        let id = EnvironmentId(self.last);
        let time = match attempt {
            Attempt::First => INIT,
            Attempt::Second => function.allowed.timeout,
        };
        let environment = Environment {
            function: index,
            generation: function.generation,
            born: now,
            phase: Phase::Starting {
                by: now + self.limits.cold_start + time,
                attempt,
            },
            frozen: false,
            runtime_waits: false,
            extensions: Vec::new(),
            externals: 0,
        };
        self.environments.insert(id, environment);
        out.push(Action::Start(id, index));
    }

    fn deliver(
        &mut self,
        id: EnvironmentId,
        ticket: Ticket,
        until: Instant,
        cold: Option<Duration>,
        out: &mut Vec<Action>,
    ) {
        let Some(environment) = self.environments.get_mut(&id) else {
            return;
        };
        environment.phase = Phase::Busy {
            ticket,
            until,
            answer: Answered::No,
        };
        environment.runtime_waits = false;
        for extension in &mut environment.extensions {
            extension.waits &= extension.invoke == Subscription::No;
        }
        if std::mem::take(&mut environment.frozen) {
            out.push(Action::Thaw(id));
        }
        out.push(Action::Deliver {
            environment: id,
            ticket,
            until,
            cold,
        });
    }

    /// Ends an environment: at once, or after its extensions' grace.
    pub(super) fn stop(&mut self, now: Instant, id: EnvironmentId, out: &mut Vec<Action>) {
        let Some(environment) = self.environments.get_mut(&id) else {
            return;
        };
        if matches!(environment.phase, Phase::Stopping { .. }) {
            return;
        }
        let kinds = environment.extensions.iter().map(|each| each.kind);
        let grace = kinds.map(|kind| match kind {
            ExtensionKind::Internal => GRACE_INTERNAL,
            ExtensionKind::External => GRACE_EXTERNAL,
        });
        let Some(grace) = grace.max() else {
            return self.kill(id, out);
        };
        let kill_at = now + grace;
        environment.phase = Phase::Stopping { kill_at };
        if std::mem::take(&mut environment.frozen) {
            out.push(Action::Thaw(id));
        }
        out.push(Action::Stop(id, kill_at));
    }

    pub(super) fn kill(&mut self, id: EnvironmentId, out: &mut Vec<Action>) {
        if self.environments.remove(&id).is_some() {
            out.push(Action::Kill(id));
        }
    }

    /// Another environment fits, if need be in the place of the one that idles longest.
    fn make_room(&mut self, out: &mut Vec<Action>) -> Result<(), Ceiling> {
        if self.environments.len() < self.limits.environments_max {
            return Ok(());
        }
        let (_, longest) = self.idle_longest().ok_or(Ceiling::Environments)?;
        self.kill(longest, out);
        Ok(())
    }

    pub(super) fn idle_longest(&self) -> Option<(Instant, EnvironmentId)> {
        let idle = self.environments.iter().filter_map(|(id, each)| {
            let Phase::Idle { since } = each.phase else {
                return None;
            };
            Some((since, *id))
        });
        idle.min()
    }

    /// There is no room but in the place of one that is likely to be wanted again, or was when this began.
    fn spares_others(&self, now: Instant, spares: bool) -> bool {
        let full = self.environments.len() >= self.limits.environments_max;
        let lately = |(since, _)| now.saturating_duration_since(since) < USED_LATELY;
        full && self.idle_longest().map_or(spares, lately)
    }

    fn is_one_about_to_be_free(&self) -> bool {
        let answered = |each: &Environment| {
            let Phase::Busy { answer, .. } = each.phase else {
                return false;
            };
            answer == Answered::Yes
        };
        self.environments.values().any(answered)
    }

    /// The environment that was used last: the others may be reclaimed.
    fn idle(&self, index: usize) -> Option<EnvironmentId> {
        let of_this = self
            .environments
            .iter()
            .filter(|(_, each)| each.function == index);
        let idle = of_this.filter_map(|(id, each)| match each.phase {
            Phase::Idle { since } => Some((since, *id)),
            Phase::Starting { .. } | Phase::Busy { .. } | Phase::Stopping { .. } => None,
        });
        idle.max().map(|(_, id)| id)
    }

    /// Of the current code: what starts, what has answered and is not free yet, and what there is.
    fn census(&self, index: usize) -> (usize, usize, usize) {
        let generation = self
            .functions
            .get(index)
            .map(|function| function.generation);
        let mut counts = (0, 0, 0);
        for each in self.environments.values() {
            if each.function != index || Some(each.generation) != generation {
                continue;
            }
            match each.phase {
                Phase::Starting { .. } => counts.0 += 1,
                Phase::Busy {
                    answer: Answered::Yes,
                    ..
                } => counts.1 += 1,
                Phase::Busy { .. } | Phase::Idle { .. } => {}
                Phase::Stopping { .. } => continue,
            }
            counts.2 += 1;
        }
        counts
    }

    pub(super) fn of(&self, index: usize) -> Vec<(EnvironmentId, Phase)> {
        let of_this = self
            .environments
            .iter()
            .filter(|(_, each)| each.function == index);
        of_this.map(|(id, each)| (*id, each.phase)).collect()
    }
}

impl Function {
    /// Who is to be served now: the first, unless a rebuild holds it.
    fn next(&mut self, now: Instant) -> Option<Ticket> {
        let first = self.waiting.front()?;
        let held = self.holds > 0 && now.saturating_duration_since(first.since) < HELD_MAX;
        if held {
            None
        } else {
            self.waiting.pop_front().map(|first| first.ticket)
        }
    }
}
