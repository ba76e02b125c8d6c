//! In: what happens to a pool, as a script. Out: whether its actions are the rules.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Action, Allowed, EnvironmentId, Extension, ExtensionKind, Freeze, InitError, Limits, Pool,
    Reason, Subscription, Ticket,
};
use crate::lambda::Ceiling;

const TIMEOUT: u64 = 3_000;

/// A pool with what it did, written as words.
struct Script {
    pool: Pool,
    begun: Instant,
    now_ms: u64,
    tickets: u64,
}

impl Script {
    fn new(concurrency_max: Option<usize>, environments_max: usize, freeze: Freeze) -> Self {
        let limits = Limits {
            environments_max,
            idle: Duration::from_secs(300),
            freeze,
            cold_start: Duration::ZERO,
        };
        let allowed = Allowed {
            timeout: Duration::from_millis(TIMEOUT),
            concurrency_max,
        };
        Self {
            pool: Pool::new(limits, [allowed.clone(), allowed]),
            begun: Instant::now(),
            now_ms: 0,
            tickets: 0,
        }
    }

    /// One line of a script: a verb and a number. What follows from it comes back, one word an action.
    fn line(&mut self, line: &str) -> String {
        let (verb, number) = line.split_once(' ').unwrap_or((line, "0"));
        let number: u64 = number.parse().unwrap();
        let id = EnvironmentId(number);
        let index = usize::try_from(number).unwrap();
        let now = self.begun + Duration::from_millis(self.now_ms);
        let mut out = Vec::new();
        let error = InitError {
            error_type: "E".to_owned(),
            message: "m".to_owned(),
            payload: bytes::Bytes::new(),
        };
        match verb {
            "invoke" => {
                self.tickets += 1;
                self.pool.invoke(now, index, Ticket(self.tickets), &mut out);
            }
            "next" if self.pool.runtime_next(now, id, &mut out).is_err() => {
                return "refused".to_owned();
            }
            "next" => {}
            "answer" => self.pool.answered(id),
            "exit" => self.pool.exited(now, id, error, &mut out),
            "init-error" if self.pool.init_error(now, id, error, &mut out).is_err() => {
                return "refused".to_owned();
            }
            "init-error" => {}
            "replace" => self.pool.replace(now, index, &mut out),
            "hold" => self.pool.hold(index),
            "release" => self.pool.release(now, index, &mut out),
            "internal" | "external" => {
                let (kind, invoke) = match verb {
                    "internal" => (ExtensionKind::Internal, Subscription::No),
                    _ => (ExtensionKind::External, Subscription::Yes),
                };
                let registered = self.pool.register(id, Extension::new(kind, invoke));
                return registered
                    .map_or("refused".to_owned(), |number| format!("number {number}"));
            }
            "expect" => self.pool.expect_externals(id, 1),
            "extension-next" => self.pool.extension_next(now, id, 0, &mut out),
            "shut-down" => self.pool.shut_down(now, &mut out),
            "wait" => {
                let until = now + Duration::from_millis(number);
                let mut at = now;
                // As the shell does: the time passes unseen but for what the pool asked to be woken for.
                while let Some(due) = self.pool.wake_at(at).filter(|due| *due <= until) {
                    assert!(due > at || at == now, "woken again and again");
                    at = due;
                    self.pool.tick(at, &mut out);
                }
                self.now_ms += number;
            }
            _ => panic!("{verb}"),
        }
        let words: Vec<_> = out.into_iter().map(|action| self.word(action)).collect();
        words.join(", ")
    }

    fn word(&self, action: Action) -> String {
        let ms = |at: Instant| at.duration_since(self.begun).as_millis();
        match action {
            Action::Start(id, function) => format!("start {} of {function}", id.0),
            Action::Thaw(id) => format!("thaw {}", id.0),
            Action::Freeze(id) => format!("freeze {}", id.0),
            Action::Deliver {
                environment,
                ticket,
                until,
                cold,
            } => {
                let cold = if cold.is_some() { " cold" } else { "" };
                format!(
                    "{} to {} until {}{cold}",
                    ticket.0,
                    environment.0,
                    ms(until)
                )
            }
            Action::Fail(ticket, reason) => {
                let reason = match reason {
                    Reason::TimedOut => "timed out",
                    Reason::Exited(_) => "exited",
                    Reason::InitFailed(_) => "init",
                    Reason::Throttled(Ceiling::Reserved) => "reserved",
                    Reason::Throttled(Ceiling::Environments) => "environments",
                    Reason::ShuttingDown => "shutting down",
                };
                format!("fail {} {reason}", ticket.0)
            }
            Action::Overstayed(id) => format!("overstayed {}", id.0),
            Action::Stop(id, at) => format!("stop {} by {}", id.0, ms(at)),
            Action::Kill(id) => format!("kill {}", id.0),
        }
    }
}

fn check(mut script: Script, lines: &[(&str, &str)]) {
    for (number, (line, expected)) in lines.iter().enumerate() {
        assert_eq!(script.line(line), *expected, "line {number}: {line}");
    }
}

fn usual() -> Script {
    Script::new(None, 4, Freeze::On)
}

#[test]
fn an_environment_is_started_used_frozen_and_reclaimed() {
    let lines = [
        ("invoke", "start 1 of 0"),
        ("wait 100", ""),
        ("next 1", "1 to 1 until 3100 cold"),
        ("next 1", "refused"),
        ("answer 1", ""),
        ("next 1", ""),
        ("wait 9", ""),
        ("wait 1", "freeze 1"),
        ("wait 990", ""),
        ("invoke", "thaw 1, 2 to 1 until 4100"),
        ("answer 1", ""),
        ("next 1", ""),
        ("wait 9", ""),
        ("invoke", "3 to 1 until 4109"),
        ("answer 1", ""),
        ("next 1", ""),
        ("wait 10", "freeze 1"),
        ("wait 299989", ""),
        ("wait 1", "kill 1"),
    ];
    check(usual(), &lines);
    let unfrozen = [
        ("invoke", "start 1 of 0"),
        ("next 1", "1 to 1 until 3000 cold"),
        ("answer 1", ""),
        ("next 1", ""),
        ("wait 1000", ""),
        ("invoke", "2 to 1 until 4000"),
    ];
    check(Script::new(None, 4, Freeze::Off), &unfrozen);
}

#[test]
fn who_waits_gets_what_is_free_first() {
    let lines = [
        ("invoke", "start 1 of 0"),
        ("invoke", "start 2 of 0"),
        ("next 2", "1 to 2 until 3000 cold"),
        ("answer 2", ""),
        ("next 2", "2 to 2 until 3000"),
        ("next 1", ""),
        ("wait 10", "freeze 1"),
    ];
    check(usual(), &lines);
}

#[test]
fn an_answer_without_next_is_waited_for_a_moment() {
    let begin = [
        ("invoke", "start 1 of 0"),
        ("next 1", "1 to 1 until 3000 cold"),
        ("answer 1", ""),
        ("invoke", ""),
        ("wait 99", ""),
    ];
    let soon = [begin.as_slice(), &[("next 1", "2 to 1 until 3099")]].concat();
    check(usual(), &soon);
    let late = [
        ("wait 1", "start 2 of 0"),
        ("wait 2900", "overstayed 1, kill 1"),
    ];
    check(usual(), &[begin.as_slice(), &late].concat());
    let full = [begin.as_slice(), &[("wait 1", "fail 2 reserved")]].concat();
    check(Script::new(Some(1), 4, Freeze::On), &full);
}

#[test]
fn limits_throttle_unless_somebody_elses_idle_environment_can_go() {
    let lines = [
        ("invoke 0", "start 1 of 0"),
        ("next 1", "1 to 1 until 3000 cold"),
        ("invoke 0", "fail 2 reserved"),
        ("invoke 1", "start 2 of 1"),
    ];
    check(Script::new(Some(1), 4, Freeze::On), &lines);
    let lines = [
        ("invoke 0", "start 1 of 0"),
        ("next 1", "1 to 1 until 3000 cold"),
        ("invoke 1", "fail 2 environments"),
        ("answer 1", ""),
        ("next 1", ""),
        ("invoke 1", "kill 1, start 2 of 1"),
    ];
    check(Script::new(None, 1, Freeze::On), &lines);
}

#[test]
fn what_somebody_else_has_answered_in_is_waited_for_a_moment() {
    let begin = [
        ("invoke 0", "start 1 of 0"),
        ("next 1", "1 to 1 until 3000 cold"),
        ("answer 1", ""),
        ("invoke 1", ""),
    ];
    let free = [
        ("next 1", ""),
        ("wait 10", "freeze 1, kill 1, start 2 of 1"),
    ];
    let script = || Script::new(None, 1, Freeze::On);
    check(script(), &[begin.as_slice(), &free].concat());
    let stays = [("wait 99", ""), ("wait 1", "fail 2 environments")];
    check(script(), &[begin.as_slice(), &stays].concat());
}

#[test]
fn two_busy_functions_at_the_ceiling_do_not_end_each_others_environments() {
    let begin = [
        ("invoke 0", "start 1 of 0"),
        ("next 1", "1 to 1 until 3000 cold"),
        ("invoke 1", "start 2 of 1"),
        ("next 2", "2 to 2 until 3000 cold"),
        ("answer 1", ""),
        ("next 1", ""),
        // There is no room but in the place of the other's.
        ("invoke 1", ""),
        ("wait 500", "freeze 1"),
    ];
    let script = || Script::new(None, 2, Freeze::On);
    let free = [("answer 2", ""), ("next 2", "3 to 2 until 3500")];
    check(script(), &[begin.as_slice(), &free].concat());
    let stays = [("wait 499", ""), ("wait 1", "kill 1, start 3 of 1")];
    check(script(), &[begin.as_slice(), &stays].concat());
    let long_idle = [
        ("answer 2", ""),
        ("next 2", "3 to 2 until 3500"),
        ("wait 500", ""),
        ("invoke 1", "kill 1, start 3 of 1"),
    ];
    check(script(), &[begin.as_slice(), &long_idle].concat());
    // Once the other has not been used for a second it is not spared any more, whoever has waited how long.
    let grows_old = [
        ("wait 499", ""),
        ("invoke 1", ""),
        ("wait 1", "kill 1, start 3 of 1"),
    ];
    check(script(), &[begin.as_slice(), &grows_old].concat());
    // Its own function may have it first: who waits is not refused for that.
    let taken = [
        ("invoke 0", "thaw 1, 4 to 1 until 3500"),
        ("wait 400", ""),
        ("answer 2", ""),
        ("next 2", "3 to 2 until 3900"),
    ];
    check(script(), &[begin.as_slice(), &taken].concat());
    let never_free = [
        ("invoke 0", "thaw 1, 4 to 1 until 3500"),
        ("wait 499", ""),
        ("wait 1", "fail 3 environments"),
    ];
    check(script(), &[begin.as_slice(), &never_free].concat());
}

#[test]
fn a_start_is_tried_again_in_the_functions_own_time() {
    let failed = [
        ("invoke", "start 1 of 0"),
        ("init-error 1", "kill 1, start 2 of 0"),
        ("init-error 2", "kill 2, fail 1 init"),
        ("init-error 2", "refused"),
    ];
    check(usual(), &failed);
    let slow = [
        ("invoke", "start 1 of 0"),
        ("wait 9999", ""),
        ("wait 1", "kill 1, start 2 of 0"),
        ("wait 2999", ""),
        ("wait 1", "kill 2, fail 1 timed out"),
    ];
    check(usual(), &slow);
    let recovers = [
        ("invoke", "start 1 of 0"),
        ("exit 1", "kill 1, start 2 of 0"),
        ("wait 1000", ""),
        ("next 2", "1 to 2 until 3000 cold"),
        ("init-error 2", "refused"),
    ];
    check(usual(), &recovers);
    // Each who waits hears of a failure of its own.
    let two = [
        ("invoke", "start 1 of 0"),
        ("invoke", "start 2 of 0"),
        ("exit 1", "kill 1, start 3 of 0"),
        ("exit 3", "kill 3, fail 1 init"),
        ("next 2", "2 to 2 until 3000 cold"),
    ];
    check(usual(), &two);
}

#[test]
fn a_crash_and_a_timeout_end_the_environment_and_its_invocation() {
    let lines = [
        ("invoke", "start 1 of 0"),
        ("next 1", "1 to 1 until 3000 cold"),
        ("exit 1", "kill 1, fail 1 exited"),
        ("invoke", "start 2 of 0"),
        ("next 2", "2 to 2 until 3000 cold"),
        ("wait 2999", ""),
        ("wait 1", "kill 2, fail 2 timed out"),
        ("exit 2", ""),
        ("invoke", "start 3 of 0"),
    ];
    check(usual(), &lines);
}

#[test]
fn replaced_code_finishes_and_is_not_used_again() {
    let lines = [
        ("invoke", "start 1 of 0"),
        ("next 1", "1 to 1 until 3000 cold"),
        ("invoke", "start 2 of 0"),
        ("replace", "kill 2, start 3 of 0"),
        ("answer 1", ""),
        ("next 1", "kill 1"),
        ("next 3", "2 to 3 until 3000 cold"),
        ("answer 3", ""),
        ("next 3", ""),
        ("replace", "kill 3"),
    ];
    check(usual(), &lines);
}

#[test]
fn a_hold_keeps_invocations_for_two_seconds_at_most() {
    let lines = [
        ("invoke", "start 1 of 0"),
        ("next 1", "1 to 1 until 3000 cold"),
        ("answer 1", ""),
        ("next 1", ""),
        ("hold", ""),
        ("invoke", ""),
        ("wait 1999", "freeze 1"),
        ("wait 1", "thaw 1, 2 to 1 until 5000"),
        ("answer 1", ""),
        ("next 1", ""),
        ("invoke", ""),
        ("replace", "kill 1"),
        ("release", "start 2 of 0"),
    ];
    check(usual(), &lines);
}

#[test]
fn extensions_are_waited_for_and_have_their_grace() {
    let internal = [
        ("invoke", "start 1 of 0"),
        ("internal 1", "number 0"),
        ("next 1", ""),
        ("extension-next 1", "1 to 1 until 3000 cold"),
        ("internal 1", "refused"),
        ("answer 1", ""),
        ("next 1", ""),
        ("shut-down", "stop 1 by 500"),
        ("wait 500", "kill 1"),
        ("invoke", "fail 2 shutting down"),
    ];
    check(usual(), &internal);
    let external = [
        ("invoke", "start 1 of 0"),
        ("expect 1", ""),
        ("next 1", ""),
        ("external 1", "number 0"),
        ("extension-next 1", "1 to 1 until 3000 cold"),
        ("answer 1", ""),
        ("next 1", ""),
        ("extension-next 1", ""),
        ("wait 10", "freeze 1"),
        ("shut-down", "thaw 1, stop 1 by 2010"),
        ("exit 1", "kill 1"),
    ];
    check(usual(), &external);
}
