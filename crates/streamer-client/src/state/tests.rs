//! Conversations come in line by line, the actions of the pure session are compared with what is expected.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::error::Error;

/// A session and its clock; jitter is always the whole ceiling.
struct Play {
    session: Session,
    start: Instant,
    now: Instant,
}

impl Play {
    fn new() -> Self {
        let start = Instant::now();
        Self {
            session: Session::new(start, "p"),
            start,
            now: start,
        }
    }

    /// One that is connected by link 1 at 0 s.
    fn connected() -> Self {
        let mut play = Self::new();
        play.check(&[("0 tick", "dial 1"), ("0 opened 1", "")]);
        play
    }

    /// Each line: seconds since the start and one input; then the actions, joined by `; `.
    #[track_caller]
    fn check(&mut self, lines: &[(&str, &str)]) {
        for (line, expected) in lines {
            let (at, input) = line.split_once(' ').unwrap();
            self.now = self.start + Duration::from_secs_f64(at.parse().unwrap());
            let input = self.input(input);
            let actions = self.session.handle(self.now, 1.0, input);
            let said: Vec<_> = actions.iter().map(said).collect();
            assert_eq!(said.join("; "), *expected, "after `{line}`");
            let due = self.session.next_due();
            assert!(
                due.is_none_or(|due| due > self.now),
                "still due after `{line}`"
            );
        }
    }

    fn input(&self, line: &str) -> Input {
        let mut words = line.splitn(3, ' ');
        let verb = words.next().unwrap();
        let mut number = || words.next().unwrap().parse::<u64>().unwrap();
        match verb {
            "tick" => Input::Tick,
            "cut" => Input::Cut {
                away: Duration::from_secs(number()),
            },
            "close" => Input::Close,
            "dial-failed" => Input::DialFailed("connection refused".into()),
            "throttled" => Input::Throttled("the server answered 429".into()),
            "refused" => Input::Refused(u16::try_from(number()).unwrap()),
            "opened" => Input::Opened(Link(number())),
            "lost" => Input::Lost(
                Link(number()),
                words.next().map(|code| code.parse().unwrap()),
            ),
            "forget" => Input::Forget(Ticket(number())),
            "call" => self.call(number(), Awaits::Answer),
            "ping" => self.call(number(), Awaits::Pong),
            "follow" => {
                let ticket = Ticket(number());
                let (request_id, after_seq) = words.next().unwrap().split_once('@').unwrap();
                let from = From {
                    request_id: RequestId::new(request_id),
                    after_seq: after_seq.parse().unwrap(),
                };
                Input::Follow {
                    ticket,
                    from,
                    deadline: self.now + Duration::from_secs(30),
                }
            }
            "got" => {
                let link = Link(number());
                Input::Received(
                    link,
                    Box::new(ServerMessage::parse(&message(words.next().unwrap())).unwrap()),
                )
            }
            other => panic!("no input is called `{other}`"),
        }
    }

    fn call(&self, number: u64, awaits: Awaits) -> Input {
        let id = format!("c{number}");
        let action = if awaits == Awaits::Pong {
            "ping"
        } else {
            "work"
        };
        let text = text_of(&ClientMessage::new(action).with_id(id.clone()));
        let deadline = self.now + Duration::from_secs(30);
        Input::Call(Call {
            ticket: Ticket(number),
            id,
            text,
            deadline,
            awaits,
        })
    }
}

/// `type key=value …` as JSON; a value that is no JSON is a string.
fn message(line: &str) -> String {
    let mut words = line.split(' ');
    let mut object = serde_json::Map::new();
    object.insert("type".into(), words.next().unwrap().into());
    if line == "gateway-error" {
        return r#"{"message": "Internal server error", "connectionId":"L1", "requestId":"x"}"#
            .into();
    }
    for word in words {
        let (key, value) = word.split_once('=').unwrap();
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        object.insert(key.into(), value);
    }
    Value::from(object).to_string()
}

fn said(action: &Action) -> String {
    match action {
        Action::Dial(link) => format!("dial {}", link.0),
        Action::Close(link) => format!("close {}", link.0),
        Action::Cut(link) => format!("cut {}", link.0),
        Action::Send(link, text) => {
            let sent: Value = serde_json::from_str(text).unwrap();
            let mut said = format!("send {} {}", link.0, sent["action"].as_str().unwrap());
            if let Some(id) = sent["id"].as_str() {
                said += &format!(" {id}");
            }
            for from in sent["payload"]["requests"].as_array().into_iter().flatten() {
                said += &format!(
                    " {}@{}",
                    from["request_id"].as_str().unwrap(),
                    from["after_seq"]
                );
            }
            said
        }
        Action::Answer(ticket, answer) => format!("{}: {}", ticket.0, answered(answer)),
        Action::Update(ticket, update) => format!("{}: {}", ticket.0, updated(update)),
    }
}

fn answered(answer: &Result<Answer, Error>) -> String {
    match answer {
        Ok(Answer::Response { data, .. }) => format!("response {data}"),
        Ok(Answer::Accepted {
            request_id,
            status,
            duplicate,
        }) => {
            format!(
                "accepted {request_id} {}{}",
                status.as_str(),
                if *duplicate { " duplicate" } else { "" }
            )
        }
        Ok(Answer::Pong { .. }) => "pong".into(),
        Err(Error::Rejected(body)) => body.code.to_string(),
        Err(other) => other.to_string(),
    }
}

fn updated(update: &Update) -> String {
    match update {
        Update::Progress(progress) => format!("{}% #{}", progress.percentage, progress.seq),
        Update::Resumed { recovered } => format!("resumed {recovered}"),
        Update::Done(Outcome::Complete(Output::Inline(result))) => format!("complete {result}"),
        Update::Done(Outcome::Complete(Output::At { url, .. })) => format!("complete at {url}"),
        Update::Done(Outcome::Cancelled) => "cancelled".into(),
        Update::Done(Outcome::Failed(body)) => format!("failed {}", body.code),
    }
}

const ACK: &str = "0 got 1 acknowledgment id=c1 request_id=R1 status=queued duplicate=false";

#[test]
fn an_answer_goes_to_the_call_with_its_id_once() {
    Play::connected().check(&[
        ("0 call 1", "send 1 work c1"),
        ("0 call 2", "send 1 work c2"),
        ("0 got 1 response id=c2 data=2", "2: response 2"),
        ("0 got 1 response id=c2 data=2", ""),
        ("0 got 1 response id=nobody data=2", ""),
        ("0 got 1 response data=2", ""),
        (
            r#"0 got 1 error id=c1 error={"code":"CONFLICT","message":"m"}"#,
            "1: CONFLICT",
        ),
        (
            r#"0 got 1 error error={"code":"INVALID_JSON","message":"m"}"#,
            "",
        ),
        ("0 got 1 chunk seq=1", ""),
    ]);
}

#[test]
fn a_call_without_an_answer_ends_at_its_deadline() {
    let mut play = Play::new();
    play.check(&[("0 tick", "dial 1"), ("0 call 1", "")]);
    assert_eq!(
        play.session.next_due(),
        Some(play.start + Duration::from_secs(30))
    );
    play.check(&[
        ("29.9 tick", ""),
        ("30 tick", "1: no answer came in time"),
        ("31 opened 1", ""),
    ]);
}

#[test]
fn progress_is_told_in_order_and_never_falls() {
    Play::connected().check(&[
        ("0 call 1", "send 1 work c1"),
        (ACK, "1: accepted R1 queued"),
        (
            "0 got 1 progress id=c1 request_id=R1 seq=2 percentage=20",
            "1: 20% #2",
        ),
        (
            "0 got 1 progress id=c1 request_id=R1 seq=2 percentage=20",
            "",
        ),
        (
            "0 got 1 progress id=c1 request_id=R1 seq=1 percentage=10",
            "",
        ),
        // A second claim starts below what was shown.
        (
            "0 got 1 progress id=c1 request_id=R1 seq=1000001 percentage=15",
            "1: 20% #1000001",
        ),
        (
            "0 got 1 progress id=c1 request_id=R1 seq=3 percentage=90",
            "",
        ),
        (
            "0 got 1 complete id=c1 request_id=R1 seq=1000002 result=7",
            "1: complete 7",
        ),
        (
            "0 got 1 complete id=c1 request_id=R1 seq=1000002 result=7",
            "",
        ),
        (
            "0 got 1 progress id=c1 request_id=R1 seq=1000003 percentage=99",
            "",
        ),
    ]);
}

#[test]
fn each_way_to_end_is_told() {
    let ends = [
        ("complete id=c1 request_id=R1 seq=1", "1: complete null"),
        (
            "complete id=c1 request_id=R1 seq=1 result_url=http://x expires_at=t",
            "1: complete at http://x",
        ),
        ("cancelled id=c1 request_id=R1 seq=1", "1: cancelled"),
        (
            r#"error id=c1 request_id=R1 seq=1 error={"code":"TASK_FAILED","message":"m"}"#,
            "1: failed TASK_FAILED",
        ),
    ];
    for (end, told) in ends {
        let mut play = Play::connected();
        play.check(&[
            ("0 call 1", "send 1 work c1"),
            (ACK, "1: accepted R1 queued"),
            (&format!("0 got 1 {end}"), told),
        ]);
        assert!(!play.session.is_busy(), "{end}");
    }
}

#[test]
fn news_that_overtake_the_acknowledgment_are_one() {
    Play::connected().check(&[
        ("0 call 1", "send 1 work c1"),
        (
            "0 got 1 progress id=c1 request_id=R1 seq=1 percentage=5",
            "1: accepted R1 running; 1: 5% #1",
        ),
        (ACK, ""),
        (
            "0 got 1 complete id=c1 request_id=R1 seq=2 result=1",
            "1: complete 1",
        ),
        ("0 call 2", "send 1 work c2"),
        (
            "0 got 1 cancelled id=c2 request_id=R2 seq=1",
            "2: accepted R2 cancelled; 2: cancelled",
        ),
    ]);
}

#[test]
fn after_a_cut_everything_is_resumed_and_the_unanswered_is_sent_again() {
    let mut play = Play::connected();
    play.check(&[
        ("0 call 1", "send 1 work c1"),
        (ACK, "1: accepted R1 queued"),
        (
            "0 got 1 progress request_id=R1 seq=3 percentage=30",
            "1: 30% #3",
        ),
        ("6 call 2", "send 1 work c2"),
        ("6 cut 0", "cut 1"),
        ("6 lost 1", ""),
        ("6 call 3", ""),
    ]);
    let until = play.now + Duration::from_millis(250);
    let cause = "the connection was lost".to_owned();
    assert_eq!(
        play.session.state(),
        State::Waiting {
            until,
            attempt: 1,
            cause
        }
    );
    play.check(&[
        ("6.25 tick", "dial 2"),
        ("6.3 got 1 progress request_id=R1 seq=4 percentage=40", ""),
        ("6.5 opened 2", "send 2 request.resume p-r1 R1@3; send 2 work c2; send 2 work c3"),
        (
            r#"7 got 2 response id=p-r1 data={"requests":[{"request_id":"R1","state":"running","recovered":true}]}"#,
            "1: resumed true",
        ),
        ("7 got 2 progress request_id=R1 seq=9 percentage=90", "1: 90% #9"),
        // The second message had been received: following it again makes sure that nothing was missed.
        (
            "7 got 2 acknowledgment id=c2 request_id=R2 status=running duplicate=true",
            "2: accepted R2 running duplicate; send 2 request.resume p-r2 R2@0",
        ),
    ]);
    assert_eq!(play.session.state(), State::Connected);
}

#[test]
fn what_could_not_be_resumed_is_asked_for_again() {
    let not_recovered = r#"0 got 1 response id=p-r1 data={"requests":[{"request_id":"R1","state":"running","recovered":false}]}"#;
    let busy = r#"2 got 1 error id=p-r2 error={"code":"OVERLOADED","message":"m","retryable":true,"retry_after_ms":5000}"#;
    let lost = r#"39 got 1 response id=p-r4 data={"requests":[{"request_id":"R1","error":{"code":"NOT_FOUND","message":"m"}}]}"#;
    Play::connected().check(&[
        ("0 follow 1 R1@4", "send 1 request.resume p-r1 R1@4"),
        (not_recovered, "1: accepted R1 running duplicate"),
        ("1 tick", ""),
        ("2 tick", "send 1 request.resume p-r2 R1@4"),
        (busy, ""),
        ("7 tick", "send 1 request.resume p-r3 R1@4"),
        // No answer at all, but a connection that lives.
        ("30 got 1 pong", ""),
        ("37 tick", "send 1 request.resume p-r4 R1@4"),
        (lost, "1: failed NOT_FOUND"),
    ]);
}

#[test]
fn a_follower_of_an_unknown_request_is_refused() {
    let missing = r#"0 got 1 response id=p-r1 data={"requests":[{"request_id":"R1","error":{"code":"NOT_FOUND","message":"m"}}]}"#;
    let mut play = Play::connected();
    play.check(&[
        ("0 follow 1 R1@0", "send 1 request.resume p-r1 R1@0"),
        (missing, "1: NOT_FOUND"),
    ]);
    play.check(&[
        ("0 follow 2 R2@0", "send 1 request.resume p-r2 R2@0"),
        (
            "0 got 1 complete request_id=R2 seq=1 result=1",
            "2: accepted R2 completed duplicate; 2: complete 1",
        ),
        ("0 follow 3 R3@0", "send 1 request.resume p-r3 R3@0"),
        ("29 got 1 pong", ""),
        ("30 tick", "3: no answer came in time"),
    ]);
    assert!(!play.session.is_busy());
}

#[test]
fn two_followers_of_one_request_hear_the_same() {
    Play::connected().check(&[
        ("0 call 1", "send 1 work c1"),
        (ACK, "1: accepted R1 queued"),
        (
            "0 got 1 progress request_id=R1 seq=1 percentage=10",
            "1: 10% #1",
        ),
        ("0 call 2", "send 1 work c2"),
        (
            "0 got 1 acknowledgment id=c2 request_id=R1 status=running duplicate=true",
            "2: accepted R1 running duplicate; 2: 10% #1",
        ),
        (
            "0 got 1 progress request_id=R1 seq=2 percentage=20",
            "1: 20% #2; 2: 20% #2",
        ),
        ("0 forget 1", ""),
        (
            "0 got 1 complete request_id=R1 seq=3 result=1",
            "2: complete 1",
        ),
    ]);
}

#[test]
fn resumes_name_at_most_a_hundred_requests() {
    let mut play = Play::connected();
    for number in 1..=201 {
        let input = play.input(&format!("follow {number} R{number}@0"));
        play.session.handle(play.now, 1.0, input);
    }
    play.check(&[("0 cut 0", "cut 1"), ("1 tick", "dial 2")]);
    let sent = play.session.handle(play.now, 1.0, Input::Opened(Link(2)));
    let named: Vec<_> = sent
        .iter()
        .map(|action| said(action).matches('@').count())
        .collect();
    assert_eq!(named, [100, 100, 1]);
}

#[test]
fn going_away_makes_the_new_connection_before_the_old_is_closed() {
    Play::connected().check(&[
        ("0 call 1", "send 1 work c1"),
        (ACK, "1: accepted R1 queued"),
        ("10 call 2", "send 1 work c2"),
        ("10 got 1 going_away reconnect_after_ms=2000", ""),
        ("10 call 3", "send 1 work c3"),
        // A server that stops takes no new work: the next connection will.
        (r#"10 got 1 error id=c3 error={"code":"OVERLOADED","message":"m"}"#, ""),
        ("12 tick", "dial 2"),
        ("12.5 got 1 progress request_id=R1 seq=1 percentage=10", "1: 10% #1"),
        ("13 opened 2", "send 2 request.resume p-r1 R1@1; send 2 work c3"),
        (
            r#"13 got 2 response id=p-r1 data={"requests":[{"request_id":"R1","state":"running","recovered":true}]}"#,
            "1: resumed true",
        ),
        // The old one still owes an answer.
        ("13 got 1 response id=c2 data=2", "2: response 2; close 1"),
        ("13 got 1 progress request_id=R1 seq=2 percentage=20", ""),
        ("13 lost 1 1000", ""),
        ("13 got 2 progress request_id=R1 seq=2 percentage=20", "1: 20% #2"),
    ]);
}

#[test]
fn a_replaced_connection_is_closed_after_ten_seconds_whatever_it_owes() {
    Play::connected().check(&[
        ("0 call 1", "send 1 work c1"),
        ("1 got 1 going_away reconnect_after_ms=0", "dial 2"),
        ("2 opened 2", ""),
        ("11 tick", ""),
        ("12 tick", "close 1; send 2 work c1"),
    ]);
}

#[test]
fn a_replaced_connection_is_closed_in_time_where_there_is_no_other() {
    Play::connected().check(&[
        ("0 call 1", "send 1 work c1"),
        ("1 got 1 going_away reconnect_after_ms=0", "dial 2"),
        ("2 opened 2", ""),
        ("3 lost 2", ""),
        ("3.25 tick", "dial 3"),
        ("11.9 tick", ""),
        ("12 tick", "close 1"),
        ("13 opened 3", "send 3 work c1"),
    ]);
}

#[test]
fn what_may_have_failed_on_a_replaced_connection_has_its_time() {
    Play::connected().check(&[
        ("0 call 1", "send 1 work c1"),
        ("1 got 1 going_away reconnect_after_ms=0", "dial 2"),
        ("2 opened 2", ""),
        ("2.1 got 1 gateway-error", ""),
        ("2.2 got 1 response id=c1 data=1", "1: response 1; close 1"),
    ]);
}

#[test]
fn a_server_that_went_away_is_left_alone_until_its_time() {
    let mut play = Play::connected();
    play.check(&[
        ("6 got 1 going_away reconnect_after_ms=3000", ""),
        ("7 lost 1 1012", ""),
        ("8.9 tick", ""),
        ("9 tick", "dial 2"),
        ("9 dial-failed", ""),
    ]);
    let until = play.now + Duration::from_millis(250);
    assert_eq!(
        play.session.state(),
        State::Waiting {
            until,
            attempt: 1,
            cause: "connection refused".into()
        }
    );
}

#[test]
fn an_expired_token_is_replaced_with_its_connection() {
    Play::connected().check(&[
        ("9 call 1", "send 1 work c1"),
        (
            r#"9 got 1 error id=c1 error={"code":"TOKEN_EXPIRED","message":"m","retryable":true}"#,
            "dial 2",
        ),
        ("9 call 2", "send 1 work c2"),
        (
            r#"9 got 1 error id=c2 error={"code":"TOKEN_EXPIRED","message":"m","retryable":true}"#,
            "",
        ),
        ("10 opened 2", "close 1; send 2 work c1; send 2 work c2"),
        ("10 got 2 response id=c1 data=1", "1: response 1"),
        // Expired again at once: the backoff keeps this from turning in circles.
        (
            r#"10 got 2 error id=c2 error={"code":"TOKEN_EXPIRED","message":"m","retryable":true}"#,
            "",
        ),
        ("10.25 tick", "dial 3"),
        (
            "10.25 refused 401",
            "close 2; 2: the server refused the connection with status 401",
        ),
        (
            "10.25 call 4",
            "4: the server refused the connection with status 401",
        ),
    ]);
}

#[test]
fn a_quiet_connection_is_pinged_and_a_dead_one_replaced() {
    Play::connected().check(&[
        ("239 tick", ""),
        ("240 tick", "send 1 ping"),
        ("249 got 1 pong", ""),
        ("489 tick", "send 1 ping"),
        ("499 tick", "cut 1"),
        ("499.25 tick", "dial 2"),
        ("500 opened 2", ""),
        ("500 call 1", "send 2 work c1"),
        (
            "500 got 2 acknowledgment id=c1 request_id=R1 status=queued",
            "1: accepted R1 queued",
        ),
        // With a request in flight sooner; whatever is heard counts.
        ("530 tick", "send 2 ping"),
        (
            "539 got 2 progress request_id=R1 seq=1 percentage=1",
            "1: 1% #1",
        ),
        ("540 tick", ""),
        ("569 tick", "send 2 ping"),
        ("579 tick", "cut 2"),
        ("579.25 tick", "dial 3"),
        ("580 opened 3", "send 3 request.resume p-r1 R1@1"),
    ]);
}

#[test]
fn a_pong_with_an_id_answers_its_ping_and_one_without_answers_all() {
    Play::connected().check(&[
        ("0 ping 1", "send 1 ping c1"),
        ("0 ping 2", "send 1 ping c2"),
        ("0 got 1 pong id=c2", "2: pong"),
        ("0 ping 3", "send 1 ping c3"),
        ("0 got 1 pong", "1: pong; 3: pong"),
        ("0 got 1 pong", ""),
    ]);
}

#[test]
fn a_dead_server_is_tried_ever_more_seldom() {
    let mut play = Play::new();
    let mut waits = Vec::new();
    for _ in 0..9 {
        let actions = play.session.handle(play.now, 1.0, Input::Tick);
        assert!(
            matches!(actions.as_slice(), [Action::Dial(_)]),
            "{actions:?}"
        );
        play.session.handle(
            play.now,
            1.0,
            Input::DialFailed("connection refused".into()),
        );
        let due = play.session.next_due().unwrap();
        waits.push((due - play.now).as_millis());
        play.now = due;
    }
    assert_eq!(
        waits,
        [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]
    );
    // A connection that does not last is one more failure; one that lasts 5 s is a new start.
    for (lasts, wait) in [(4, 30_000), (5, 250)] {
        let link = match play.session.handle(play.now, 1.0, Input::Tick).as_slice() {
            [Action::Dial(link)] => *link,
            other => panic!("{other:?}"),
        };
        play.session.handle(play.now, 1.0, Input::Opened(link));
        play.now += Duration::from_secs(lasts);
        play.session.handle(play.now, 1.0, Input::Lost(link, None));
        let due = play.session.next_due().unwrap();
        assert_eq!((due - play.now).as_millis(), wait);
        play.now = due;
    }
}

#[test]
fn close_codes_decide_whether_to_come_back() {
    for (code, ends) in [
        (1000, true),
        (1001, false),
        (1003, true),
        (1009, true),
        (1012, false),
        (1013, false),
    ] {
        let mut play = Play::connected();
        let told = if ends {
            let meaning = close::meaning(code);
            format!("1: the client is closed: the server closed with {code}: {meaning}")
        } else {
            String::new()
        };
        play.check(&[
            ("0 call 1", "send 1 work c1"),
            (&format!("0 lost 1 {code}"), &told),
        ]);
        assert_eq!(
            play.session.state()
                == State::Closed {
                    reason: Reason::Code(code)
                },
            ends,
            "{code}"
        );
    }
}

#[test]
fn closing_answers_everybody_and_ends_everything() {
    let mut play = Play::connected();
    play.check(&[
        ("0 call 1", "send 1 work c1"),
        ("0 follow 2 R2@0", "send 1 request.resume p-r1 R2@0"),
        (
            "0 close",
            "close 1; 1: the client is closed: as asked; 2: the client is closed: as asked",
        ),
        ("0 follow 3 R3@0", "3: the client is closed: as asked"),
        ("9 opened 2", ""),
    ]);
    assert_eq!(play.session.next_due(), None);
}

#[test]
fn more_than_the_limit_in_flight_is_refused() {
    let mut play = Play::connected();
    for number in 1..=IN_FLIGHT_MAX {
        let input = play.input(&format!("call {number}"));
        play.session.handle(play.now, 1.0, input);
    }
    play.check(&[
        ("0 call 5000", "5000: too many requests are open"),
        ("0 got 1 response id=c1 data=1", "1: response 1"),
        ("0 call 5001", "send 1 work c5001"),
    ]);
}

/// One step of a random life; numbers choose among what is possible.
fn step() -> impl Strategy<Value = (u8, u64, u64)> {
    (0..13_u8, 0..6_u64, 0..8_u64)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens: nothing is sent on a connection that is not up, each call is answered once, and no follower
    /// sees progress fall, a message twice or anything after the end.
    #[test]
    fn no_life_breaks_the_promises(steps in proptest::collection::vec(step(), 0..120)) {
        let mut play = Play::new();
        let (mut up, mut dialing, mut calls) = (Vec::new(), None, 0_u64);
        let mut answers = std::collections::BTreeMap::<u64, u32>::new();
        let mut shown = std::collections::BTreeMap::<u64, (u64, f64, bool)>::new();
        for (kind, a, b) in steps {
            let link = up.get(usize::try_from(a).unwrap() % 2).copied().unwrap_or(a);
            let line = match kind {
                0 | 1 => { calls += 1; format!("0 call {calls}") }
                2 => { calls += 1; format!("0 follow {calls} R{a}@0") }
                3 => "0 cut 0".to_owned(),
                4 => format!("0 lost {link}"),
                5 | 6 => match dialing.take() {
                    Some(number) => { up.push(number); format!("0 opened {number}") }
                    None => "0 tick".to_owned(),
                },
                7 => format!("0 got {link} acknowledgment id=c{b} request_id=R{a} status=running duplicate={}", b % 2 == 0),
                8 => format!("0 got {link} progress id=c{b} request_id=R{a} seq={b} percentage={}", (b * 37) % 100),
                9 => format!("0 got {link} complete id=c{b} request_id=R{a} seq={b}"),
                11 => format!("0 got {link} gateway-error"),
                10 => format!("0 got {link} going_away reconnect_after_ms={b}"),
                _ => {
                    play.now += Duration::from_secs(b * b);
                    "0 tick".to_owned()
                }
            };
            if line.contains(" lost ") {
                up.retain(|other| *other != link);
            }
            let input = play.input(line.split_once(' ').unwrap().1);
            let actions = play.session.handle(play.now, 0.5, input);
            // Whoever waits for the next time does not do so in vain.
            let due = play.session.next_due();
            prop_assert!(due.is_none_or(|due| due > play.now), "still due after `{}`", line);
            for action in actions {
                match action {
                    Action::Dial(link) => prop_assert_eq!(dialing.replace(link.0), None),
                    Action::Send(link, _) => prop_assert!(up.contains(&link.0), "{} is not up", link.0),
                    Action::Close(link) | Action::Cut(link) => up.retain(|other| *other != link.0),
                    Action::Answer(ticket, _) => *answers.entry(ticket.0).or_default() += 1,
                    Action::Update(ticket, update) => {
                        prop_assert_eq!(answers.get(&ticket.0), Some(&1), "an update before the answer");
                        let (seq, best, done) = shown.entry(ticket.0).or_insert((0, 0.0, false));
                        prop_assert!(!*done, "news after the end");
                        match update {
                            Update::Progress(progress) => {
                                prop_assert!(progress.seq > *seq && progress.percentage >= *best);
                                (*seq, *best) = (progress.seq, progress.percentage);
                            }
                            Update::Resumed { .. } => {}
                            Update::Done(_) => *done = true,
                        }
                    }
                }
            }
        }
        prop_assert!(answers.values().all(|count| *count == 1), "{answers:?}");
        play.now += Duration::from_secs(60);
        for action in play.session.handle(play.now, 0.5, Input::Close) {
            if let Action::Answer(ticket, _) = action {
                *answers.entry(ticket.0).or_default() += 1;
            }
        }
        prop_assert_eq!(answers.len() as u64, calls);
        prop_assert!(answers.values().all(|count| *count == 1), "{answers:?}");
    }
}

#[test]
fn a_client_that_is_to_stay_away_dials_no_sooner() {
    let mut play = Play::connected();
    play.check(&[
        ("6 cut 3", "cut 1"),
        ("6.3 tick", ""),
        ("8.9 tick", ""),
        ("9 tick", "dial 2"),
        ("9 dial-failed", ""),
        // From here on as after any other loss.
        ("9.5 tick", "dial 3"),
    ]);
}

#[test]
fn a_frame_of_the_gateway_that_names_no_message_has_all_that_may_be_meant_sent_again() {
    Play::connected().check(&[
        ("0 call 1", "send 1 work c1"),
        ("0 call 2", "send 1 work c2"),
        ("1 got 1 gateway-error", ""),
        ("1.1 call 3", "send 1 work c3"),
        // What is answered meanwhile was not meant.
        ("1.2 got 1 response id=c2 data=2", "2: response 2"),
        ("1.8 tick", ""),
        ("1.81 tick", "send 1 work c1"),
        // The wait doubles for that which may have failed before, and each has its own.
        ("3 got 1 gateway-error", ""),
        ("3.92 tick", ""),
        ("3.93 tick", "send 1 work c3"),
        ("4 got 1 response id=c3 data=3", "3: response 3"),
        ("4.61 tick", ""),
        ("4.62 tick", "send 1 work c1"),
        ("6 got 1 gateway-error", ""),
        ("6.5 got 1 gateway-error", ""),
        ("7 lost 1", ""),
        ("7.3 tick", "dial 2"),
        ("7.5 opened 2", "send 2 work c1"),
        ("30 tick", "1: no answer came in time"),
    ]);
}

#[test]
fn a_frame_of_the_gateway_has_a_resume_asked_again_unless_it_is_answered() {
    Play::connected().check(&[
        ("0 follow 1 R1@3", "send 1 request.resume p-r1 R1@3"),
        ("1 got 1 gateway-error", ""),
        ("2.9 tick", ""),
        ("3 tick", "send 1 request.resume p-r2 R1@3"),
        ("4 got 1 gateway-error", ""),
        (
            r#"5 got 1 response id=p-r2 data={"requests":[{"request_id":"R1","state":"running","recovered":true}]}"#,
            "1: accepted R1 running duplicate",
        ),
        ("9 tick", ""),
    ]);
}

#[test]
fn what_is_to_be_sent_again_is_due_by_time_alone() {
    let mut play = Play::connected();
    play.check(&[
        ("0 call 1", "send 1 work c1"),
        ("1 got 1 gateway-error", ""),
    ]);
    let after = play.session.next_due().unwrap() - play.start;
    assert_eq!(after.as_millis(), 1809);
}

#[test]
fn a_server_that_takes_no_more_connections_is_tried_again_sooner_than_one_that_is_not_there() {
    let mut play = Play::new();
    play.check(&[
        ("0 tick", "dial 1"),
        // 0.25 s, and half a second more for each throttle before it.
        ("0 throttled", ""),
        ("0.25 tick", "dial 2"),
        ("0.25 throttled", ""),
        ("0.99 tick", ""),
        ("1 tick", "dial 3"),
        ("1 throttled", ""),
        ("2.25 tick", "dial 4"),
        // Failures double their own part.
        ("2.25 dial-failed", ""),
        ("4 tick", "dial 5"),
        ("4 dial-failed", ""),
        ("6 tick", "dial 6"),
    ]);
    let State::Connecting { attempt } = play.session.state() else {
        panic!("{:?}", play.session.state());
    };
    assert_eq!(attempt, 5);
    play.check(&[
        ("6 opened 6", ""),
        ("11 lost 6", ""),
        // A connection that lasted has all of it forgotten.
        ("11.25 tick", "dial 7"),
    ]);
}
