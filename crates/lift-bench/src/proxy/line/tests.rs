//! Bytes come at given times; when they may leave is compared with what the conditions say.

use std::num::NonZeroU32;

use super::*;
use crate::scenario::Span;

const MS: Duration = Duration::from_millis(1);

fn clear() -> Conditions {
    Conditions::clear()
}

fn latency(from_ms: u32, to_ms: u32) -> Conditions {
    let (from, to) = (MS * from_ms, MS * to_ms);
    Conditions {
        latency: Span { from, to },
        ..clear()
    }
}

fn rate(bytes_per_second: u32) -> Conditions {
    Conditions {
        bytes_per_second: NonZeroU32::new(bytes_per_second),
        ..clear()
    }
}

fn bytes(count: usize) -> Bytes {
    Bytes::from(vec![7; count])
}

/// A line, and the times and sizes of what left it when it was asked whenever it wanted to be.
struct Run {
    line: Line,
    base: Instant,
    now: Instant,
    left: Vec<(u128, usize)>,
}

impl Run {
    fn new(conditions: Conditions) -> Self {
        let base = Instant::now();
        Self {
            line: Line::new(conditions, base),
            base,
            now: base,
            left: Vec::new(),
        }
    }

    /// Waits until there is nothing to wait for; returns the last step, and when it was asked for.
    fn drain(&mut self) -> (Step, u128) {
        loop {
            let plan = self.line.plan(self.now, None);
            let at_ms = (self.now - self.base).as_millis();
            match (plan.step, plan.wake) {
                (Step::Write(count), _) => {
                    assert_eq!(self.line.first(count).len(), count);
                    self.line.leave(count);
                    self.left.push((at_ms, count));
                }
                (Step::Wait, Some(wake)) => {
                    assert!(wake > self.now, "it asks for a time that has come");
                    self.now = wake;
                }
                (step, _) => return (step, at_ms),
            }
        }
    }

    fn total(&self) -> usize {
        self.left.iter().map(|(_, count)| count).sum()
    }
}

#[test]
fn nothing_wrong_lets_all_pass_at_once() {
    let mut run = Run::new(clear());
    run.line.push(bytes(5_000), run.base, 0.5);
    run.line.push(bytes(1), run.base, 0.5);
    assert_eq!(run.drain(), (Step::Wait, 0));
    assert_eq!(run.left, [(0, 5_000), (0, 1)]);
}

#[test]
fn bytes_leave_after_their_own_latency() {
    let mut run = Run::new(latency(100, 100));
    run.line.push(bytes(10), run.base, 0.0);
    run.line.push(bytes(20), run.base + MS * 30, 0.0);
    run.line.end(Step::End, run.base + MS * 50, 0.0);
    assert_eq!(run.drain(), (Step::End, 150));
    assert_eq!(run.left, [(100, 10), (130, 20)]);
}

#[test]
fn a_shorter_latency_never_overtakes_a_longer_one() {
    let mut run = Run::new(latency(10, 110));
    run.line.push(bytes(1), run.base, 1.0);
    run.line.push(bytes(2), run.base + MS, 0.0);
    run.line.push(bytes(3), run.base + MS * 105, 0.0);
    run.drain();
    assert_eq!(run.left, [(110, 1), (110, 2), (115, 3)]);
}

#[test]
fn latency_does_not_limit_what_passes() {
    let mut run = Run::new(latency(100, 100));
    let mut pushed = 0;
    for at in 0..50 {
        let now = run.base + MS * at;
        let room = run.line.plan(now, None).read;
        assert_eq!(room, READ_BYTES_MAX, "after {pushed} bytes");
        run.line.push(bytes(room), now, 0.0);
        pushed += room;
    }
    run.drain();
    assert_eq!(run.left.first(), Some(&(100, READ_BYTES_MAX)));
    assert_eq!(run.left.last(), Some(&(149, READ_BYTES_MAX)));
}

#[test]
fn a_line_that_is_full_is_not_read_into() {
    for (conditions, held_max) in [
        (clear(), DIRECT_BYTES_MAX),
        (latency(10_000, 10_000), DELAYED_BYTES_MAX),
    ] {
        for size in [1, 100, READ_BYTES_MAX] {
            let mut run = Run::new(conditions);
            while run.line.plan(run.base, None).read > 0 {
                let room = run.line.plan(run.base, None).read;
                run.line.push(bytes(size.min(room)), run.base, 0.0);
                assert!(run.line.held <= held_max, "{size} bytes at a time");
            }
            let first = run.line.first(usize::MAX).len();
            run.line.leave(first);
            assert!(run.line.plan(run.base, None).read > 0, "it stays closed");
            run.drain();
            assert_eq!(run.line.held, 0);
        }
    }
}

#[test]
fn bytes_never_pass_faster_than_they_may_and_hardly_slower() {
    for bytes_per_second in [1, 7, 1_000, 1_000_000, u32::MAX] {
        let mut run = Run::new(rate(bytes_per_second));
        let seconds = if bytes_per_second < 100 { 20 } else { 2 };
        let count = (bytes_per_second as usize * seconds).min(1_000_000);
        let mut rest = count;
        while rest > 0 || !run.line.waiting.is_empty() {
            let plan = run.line.plan(run.now, None);
            let read = plan.read.min(rest);
            match plan.step {
                Step::Write(count) => {
                    run.line.leave(count);
                    let passed = run.now - run.base;
                    run.left.push((passed.as_nanos(), count));
                    let may = passed.as_secs_f64() * f64::from(bytes_per_second);
                    assert!(run.total() as f64 <= may + 1e-6, "at {passed:?}");
                }
                _ if read > 0 => {
                    run.line.push(bytes(read), run.now, 0.0);
                    rest -= read;
                }
                // A timer is up to a millisecond late.
                _ => run.now = plan.wake.unwrap() + MS,
            }
        }
        let took = (run.now - run.base).as_secs_f64();
        let least = count as f64 / f64::from(bytes_per_second);
        assert!(
            took <= least + 0.025,
            "{bytes_per_second} a second: {took} s for {least} s"
        );
    }
}

#[test]
fn a_narrow_way_is_read_only_as_far_ahead_as_it_needs() {
    let mut run = Run::new(Conditions {
        latency: latency(200, 200).latency,
        ..rate(10_000)
    });
    let mut pushed = 0;
    while run.line.plan(run.base, None).read > 0 {
        let room = run.line.plan(run.base, None).read;
        run.line.push(bytes(room), run.base, 0.0);
        pushed += room;
    }
    assert_eq!(pushed, 1_000, "100 ms of bytes: one read too many at most");
    let wake = run.line.plan(run.base, None).wake.unwrap();
    assert_eq!(wake - run.base, MS * 50);
    run.drain();
    assert_eq!(run.left.first(), Some(&(220, 200)));
    assert_eq!(run.left.last(), Some(&(300, 100)));
    assert_eq!(run.total(), 1_000);
}

#[test]
fn an_idle_narrow_way_saves_nothing_up() {
    let mut run = Run::new(rate(1_000));
    run.now = run.base + MS * 10_000;
    run.line.push(bytes(100), run.now, 0.0);
    assert_eq!(run.drain(), (Step::Wait, 10_100));
}

#[test]
fn writes_are_as_small_as_the_slice() {
    let slice = |slice| Conditions {
        slice: NonZeroU32::new(slice),
        ..clear()
    };
    for (conditions, expected) in [
        (slice(4), vec![(0, 4), (0, 4), (0, 2), (0, 3)]),
        (slice(1), vec![(0, 1); 13]),
        (slice(100), vec![(0, 10), (0, 3)]),
        (
            Conditions {
                bytes_per_second: NonZeroU32::new(1_000),
                ..slice(4)
            },
            vec![(4, 4), (8, 4), (10, 2), (13, 3)],
        ),
    ] {
        let mut run = Run::new(conditions);
        run.line.push(bytes(10), run.base, 0.0);
        run.line.push(bytes(3), run.base, 0.0);
        run.drain();
        assert_eq!(run.left, expected);
    }
}

#[test]
fn a_reset_comes_after_just_so_many_bytes() {
    for (reset_after, expected) in [(0, vec![]), (1, vec![(0, 1)]), (12, vec![(0, 10), (0, 2)])] {
        let mut run = Run::new(Conditions {
            reset_after: Some(reset_after),
            ..clear()
        });
        run.line.push(bytes(10), run.base, 0.0);
        run.line.push(bytes(10), run.base, 0.0);
        assert_eq!(run.drain(), (Step::Reset, 0));
        assert_eq!(run.left, expected);
    }
}

#[test]
fn bytes_before_a_reset_are_counted_from_when_it_was_asked_for() {
    let mut run = Run::new(clear());
    run.line.push(bytes(100), run.base, 0.0);
    run.drain();
    let conditions = Conditions {
        reset_after: Some(50),
        ..clear()
    };
    run.line.change(conditions, run.base);
    run.line.push(bytes(40), run.base, 0.0);
    assert_eq!(run.drain().0, Step::Wait);
    run.line.change(conditions, run.base);
    run.line.push(bytes(40), run.base, 0.0);
    assert_eq!(run.drain().0, Step::Reset);
    assert_eq!(run.total(), 150);
}

#[test]
fn what_waits_is_timed_anew_when_the_conditions_change() {
    let mut run = Run::new(latency(1_000, 1_000));
    run.line.push(bytes(1), run.base, 0.0);
    run.line.push(bytes(2), run.base + MS * 100, 0.0);
    run.line.end(Step::End, run.base + MS * 200, 0.0);
    run.line.change(latency(300, 300), run.base + MS * 350);
    run.now = run.base + MS * 350;
    assert_eq!(run.drain(), (Step::End, 500));
    assert_eq!(run.left, [(350, 1), (400, 2)]);

    let mut run = Run::new(rate(1));
    run.line.push(bytes(5_000), run.base, 0.0);
    run.line.change(clear(), run.base + MS);
    run.now = run.base + MS;
    assert_eq!(run.drain(), (Step::Wait, 1));
    assert_eq!(run.left, [(1, 5_000)]);
}

#[test]
fn a_stalled_line_is_not_read_and_still_drains() {
    let mut run = Run::new(latency(10, 10));
    run.line.push(bytes(10), run.base, 0.0);
    let until = run.base + MS * 500;
    let stalled = |line: &Line, at| line.plan(run.base + MS * at, Some(until));
    let waiting = stalled(&run.line, 0);
    assert_eq!((waiting.read, waiting.wake), (0, Some(run.base + MS * 10)));
    assert_eq!(stalled(&run.line, 10).step, Step::Write(10));
    run.line.leave(10);
    let empty = stalled(&run.line, 499);
    assert_eq!((empty.read, empty.wake), (0, Some(until)));
    assert_eq!(stalled(&run.line, 500).read, READ_BYTES_MAX);
}

#[test]
fn an_end_waits_for_the_bytes_before_it() {
    for end in [Step::End, Step::Reset] {
        let mut run = Run::new(rate(1_000));
        run.line.push(bytes(100), run.base, 0.0);
        run.line.end(end, run.base, 0.0);
        assert_eq!(run.line.plan(run.base, None).read, 0, "it has ended");
        assert_eq!(run.drain(), (end, 100));
        assert_eq!(run.total(), 100);
    }
}
