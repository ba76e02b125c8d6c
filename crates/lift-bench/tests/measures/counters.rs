//! One fault at a time comes in; the counters that go up, by how much, and that no other does, come out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::Mutex,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use lift_bench::report::count::{self, *};

use crate::{
    load::{IDS, THIRTY, counted, load, plain},
    server::{Do, Rules, Server, Upgrade},
    streamer,
};

/// A run, and everything that it must count.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) scenario: String,
    pub(crate) rules: Rules,
    pub(crate) counts: Vec<(&'static str, u64)>,
    pub(crate) errors: Vec<(&'static str, u64)>,
    pub(crate) closes: Vec<(u16, u64)>,
    pub(crate) handshakes: Vec<(u16, u64)>,
}

impl Case {
    /// Three clients, thirty messages; `but` is what differs from a run in which all is well.
    fn plain(name: &'static str, rules: Rules, but: &[(&'static str, u64)]) -> Self {
        let mut counts = BTreeMap::from([
            (CONNECTIONS, 3),
            (OPENED, 3),
            (DUE, 30),
            (SENT, 30),
            (ANSWERED, 30),
        ]);
        counts.extend(but.iter().copied());
        Self {
            name,
            scenario: plain(IDS, THIRTY, "drain: 1s"),
            rules,
            counts: counts.into_iter().filter(|(_, n)| *n > 0).collect(),
            errors: vec![],
            closes: vec![],
            handshakes: vec![(101, 3)],
        }
    }

    /// The names of what it counted; what is not as it must be is added to `wrong`.
    async fn check(self, wrong: &Mutex<Vec<String>>) -> Vec<&'static str> {
        let server = Server::start(self.rules);
        let report = load(&self.scenario, &server).await;
        let total = &report.total;
        let check = |what, is: &dyn Debug, expected: &dyn Debug| {
            let (is, expected) = (format!("{is:?}"), format!("{expected:?}"));
            if is != expected {
                let text = format!("{}, {what}:\n  {is}, not\n  {expected}", self.name);
                wrong.lock().unwrap().push(text);
            }
        };
        let errors: BTreeMap<_, _> = self.errors.into_iter().collect();
        let closes: BTreeMap<_, _> = self.closes.into_iter().collect();
        let handshakes: BTreeMap<_, _> = self.handshakes.into_iter().collect();
        let counts: BTreeMap<_, _> = self.counts.into_iter().collect();
        check("counts", &counted(&total.counts), &counts);
        check("errors", &counted(&total.errors), &errors);
        check("closes", &total.closes, &closes);
        check("handshakes", &total.handshakes, &handshakes);
        counts.into_keys().collect()
    }
}

fn echo(client: u64, seq: u32) -> Do {
    Do::Say(format!("lift:{client}.{seq};"))
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn of_answers() -> Vec<Case> {
    let twice = |client, seq| Some(vec![echo(client, seq), echo(client, seq)]);
    vec![
        Case::plain("all is well", Rules::echo(), &[]),
        Case::plain(
            "two are never answered",
            Rules::faulty(|client, seq| matches!((client, seq), (0, 2) | (2, 5)).then(Vec::new)),
            &[(ANSWERED, 28), (LOST, 2)],
        ),
        Case::plain(
            "two are answered twice, one three times",
            Rules::faulty(move |client, seq| match (client, seq) {
                (1, 3 | 4) => twice(client, seq),
                (2, 1) => Some(vec![echo(2, 1), echo(2, 1), echo(2, 1)]),
                _ => None,
            }),
            &[(DUPLICATES, 4)],
        ),
        Case::plain(
            "two are answered after the next",
            Rules::faulty(|client, seq| {
                matches!((client, seq), (0, 3) | (1, 9))
                    .then(|| vec![Do::Hold(format!("lift:{client}.{seq};"))])
            }),
            &[(REORDERED, 2)],
        ),
        Case {
            scenario: plain(
                "{ in_flight: 50, messages: [{ text: 'yes {{ id }}', expect: { contains: 'yes' } }] }",
                THIRTY,
                "drain: 1s",
            ),
            errors: vec![("UNEXPECTED_ANSWER", 2)],
            ..Case::plain(
                "two are answered with something else",
                Rules::faulty(|client, seq| {
                    (seq == 7 && client < 2).then(|| vec![echo(client, seq)])
                }),
                &[(ANSWERED, 28), (REFUSED, 2)],
            )
        },
        Case {
            scenario: plain(IDS, THIRTY, "late_after: 1s, drain: 3s"),
            ..Case::plain(
                "one is answered late",
                Rules::faulty(|client, seq| {
                    let wait = Do::Wait(Duration::from_millis(1500));
                    ((client, seq) == (1, 10)).then(|| vec![wait, echo(1, 10)])
                }),
                &[(LATE, 1)],
            )
        },
        Case::plain(
            "texts come that answer nothing, and one answer goes to another client",
            Rules::faulty(|client, seq| match (client, seq) {
                (0, 4) => Some(vec![echo(0, 4), Do::Say("hello".to_owned()), echo(0, 99)]),
                // Client 2 has a message of this number, too.
                (1, 5) => Some(vec![echo(2, 5)]),
                _ => None,
            }),
            &[(UNKNOWN, 3), (ANSWERED, 29), (LOST, 1)],
        ),
        Case {
            scenario: plain(
                "{ messages: [{ text: '{{ id }}', expect: nothing }] }",
                THIRTY,
                "drain: 1s",
            ),
            ..Case::plain(
                "nothing is expected, and comes once, twice or never",
                Rules::faulty(move |client, seq| match client {
                    0 => Some(vec![]),
                    1 => None,
                    _ => twice(client, seq),
                }),
                &[(ANSWERED, 20), (DUPLICATES, 10)],
            )
        },
        Case {
            // The client waits for 2.5 s, at whose beginning its other nine are due.
            scenario: plain(
                "{ messages: [{ text: 'm {{ id }}' }] }",
                "{ name: one, duration: 50ms, messages_per_second: 60 }
  - { name: nine, duration: 1ms, messages_per_second: 27000 }
  - { name: rest, duration: 3s }",
                "late_after: 2s, drain: 500ms",
            ),
            ..Case::plain(
                "an answer that does not come holds its client up for a time",
                Rules::faulty(|client, seq| ((client, seq) == (0, 1)).then(Vec::new)),
                &[(ANSWERED, 29), (LOST, 1), (LATE, 9)],
            )
        },
    ]
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn of_connections() -> Vec<Case> {
    let ends = |name, end: Do, code| Case {
        scenario: plain(
            IDS,
            "{ name: four, duration: 200ms, messages_per_second: 60 }
  - { name: rest, duration: 1s }
  - { name: six, duration: 300ms, messages_per_second: 60 }",
            "drain: 1s",
        ),
        closes: vec![(code, 1)],
        ..Case::plain(
            name,
            Rules::faulty(move |client, seq| ((client, seq) == (0, 4)).then(|| vec![end.clone()])),
            // The fourth was sent; the six after it found no connection.
            &[
                (DROPPED, 1),
                (SENT, 24),
                (ANSWERED, 23),
                (LOST, 1),
                (UNSENT, 6),
            ],
        )
    };
    let refused = |name, upgrade, errors: &[_], handshakes: &[_]| Case {
        errors: errors.to_vec(),
        handshakes: handshakes.to_vec(),
        ..Case::plain(
            name,
            Rules::echo().upgrade(move |number| {
                if number == 2 {
                    upgrade
                } else {
                    Upgrade::Accept
                }
            }),
            &[(OPENED, 2), (FAILED, 1)],
        )
    };
    let cut = |name, offline: &str| Case {
        scenario: plain(
            IDS,
            &format!(
                "{{ name: cut, duration: 1s, faults: [{{ cut: {{ offline: {offline} }} }}] }}\n  - {THIRTY}"
            ),
            "drain: 1s",
        ),
        handshakes: vec![(101, 6)],
        ..Case::plain(name, Rules::echo(), &[(CUT, 3), (RECONNECTED, 3)])
    };
    vec![
        ends("a connection is closed with a code", Do::Close(4001), 4001),
        ends("a connection breaks", Do::Break, 1006),
        refused(
            "a handshake is refused",
            Upgrade::Status(503),
            &[],
            &[(101, 2), (503, 1)],
        ),
        refused(
            "a handshake is not answered",
            Upgrade::HangUp,
            &[("UNREACHABLE", 1)],
            &[(101, 2)],
        ),
        Case {
            scenario: plain(IDS, THIRTY, "connect_within: 200ms, drain: 500ms"),
            ..refused(
                "a handshake takes too long",
                Upgrade::Ignore,
                &[("UNREACHABLE", 1)],
                &[(101, 2)],
            )
        },
        cut("the scenario cuts", "100ms"),
        cut("the scenario cuts, and clients come back at once", "0"),
        Case {
            scenario: plain(
                "{ steps: [connect, disconnect, connect, { send: { text: '{{ id }}' } }, disconnect] }",
                "{ name: rest, duration: 100ms }",
                "drain: 5s",
            ),
            handshakes: vec![(101, 6)],
            ..Case::plain(
                "clients leave and come back by themselves",
                Rules::echo(),
                &[(RECONNECTED, 3), (DUE, 3), (SENT, 3), (ANSWERED, 3)],
            )
        },
        Case {
            scenario: plain(IDS, THIRTY, "drain: 1s").replace(
                "duration: 200ms, connections_per_second: 15",
                "duration: 200ms, connections_per_second: 100, hold: 5",
            ),
            handshakes: vec![(101, 5)],
            ..Case::plain(
                "no more clients start than are held",
                Rules::echo(),
                &[(CONNECTIONS, 5), (OPENED, 5)],
            )
        },
        Case {
            scenario: plain(IDS, THIRTY, "drain: 1s").replace(
                "duration: 200ms, connections_per_second: 15",
                "duration: 1ms",
            ),
            handshakes: vec![],
            ..Case::plain(
                "nobody is there",
                Rules::echo(),
                &[
                    (CONNECTIONS, 0),
                    (OPENED, 0),
                    (SENT, 0),
                    (ANSWERED, 0),
                    (MISSED, 30),
                ],
            )
        },
        Case {
            scenario: plain(
                IDS,
                &format!(
                    "{{ name: cut, duration: 300ms, faults: [{{ cut: {{ offline: 1m }} }}] }}\n  - {THIRTY}"
                ),
                "drain: 1s",
            ),
            ..Case::plain(
                "clients are away when the run ends",
                Rules::echo(),
                &[(CUT, 3), (SENT, 0), (ANSWERED, 0), (MISSED, 30)],
            )
        },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_counter_goes_up_by_what_happened_and_by_nothing_else() {
    let cases = of_answers()
        .into_iter()
        .chain(of_connections())
        .chain(streamer::cases());
    let wrong = Mutex::default();
    // A few at a time, so that none has to wait for a processor for long.
    let checks = stream::iter(cases.map(|case| case.check(&wrong)));
    let names: Vec<_> = checks.buffer_unordered(8).collect().await;
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let met: BTreeSet<_> = names.into_iter().flatten().collect();
    let none: Vec<_> = count::ALL
        .iter()
        // It takes a server of the scenario's own: `scenarios/short/avalanche.yaml`, and the books' own tests.
        .filter(|name| !met.contains(*name) && **name != count::KILLED)
        .collect();
    assert_eq!(
        none,
        Vec::<&&str>::new(),
        "counters that no case makes go up"
    );
}
