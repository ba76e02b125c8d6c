//! Calls come in, the server's answers go out as results and typed errors.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json, value::RawValue};
use streamer_client::{
    Client, Error, Reason, State,
    options::Terms,
    protocol::{
        error::ErrorCode,
        request::List,
        view::{self, RequestId},
    },
    request::{Outcome, Output, Request, Submitted, Update},
};

use crate::server::play;

/// The request that an action was accepted as.
pub(crate) async fn accepted(client: &Client, terms: Terms) -> Request {
    match client
        .submit("work", &json!({"n": 1}), terms)
        .await
        .unwrap()
    {
        Submitted::Accepted(request) => request,
        answered @ Submitted::Answered { .. } => panic!("{answered:?}"),
    }
}

/// The next news in words.
pub(crate) async fn next(request: &mut Request) -> String {
    match request.next().await {
        None => "nothing".to_owned(),
        Some(Update::Progress(progress)) => format!("{}% #{}", progress.percentage, progress.seq),
        Some(Update::Resumed { recovered }) => format!("resumed {recovered}"),
        Some(Update::Done(Outcome::Complete(Output::Inline(result)))) => {
            format!("complete {result}")
        }
        Some(Update::Done(other)) => format!("{other:?}"),
    }
}

#[test]
fn an_echo_comes_back_as_it_was_sent() {
    play(
        |server| async move {
            let mut connection = server.accept().await;
            assert_eq!(
                (&*connection.authorization, &*connection.offered),
                ("Bearer t1", "streamer.v1")
            );
            let ask = connection.hear_action("echo").await;
            assert_eq!(
                (ask["payload"].as_str(), ask["metadata"]["k"].as_str()),
                (Some("hello"), Some("v"))
            );
            connection.respond(&ask, ask["payload"].clone()).await;
            let ask = connection.hear_action("echo").await;
            connection
                .say_text(&format!(
                    r#"{{"type":"response","id":{},"data":1.00}}"#,
                    ask["id"]
                ))
                .await;
            assert_eq!(connection.hear_close().await, 1000);
        },
        |options| async move {
            let client = Client::connect(options).await.unwrap();
            assert_eq!(*client.state().borrow(), State::Connected);
            let metadata = Some(BTreeMap::from([("k".to_owned(), "v".to_owned())]));
            let terms = Terms {
                metadata,
                ..Terms::default()
            };
            assert_eq!(
                client.call("echo", "hello", terms).await.unwrap().get(),
                r#""hello""#
            );
            let number = RawValue::from_string("1.00".into()).unwrap();
            assert_eq!(
                client
                    .call("echo", &number, Terms::default())
                    .await
                    .unwrap()
                    .get(),
                "1.00"
            );
            let (clone, state) = (client.clone(), client.state());
            client.close().await;
            assert_eq!(
                *state.borrow(),
                State::Closed {
                    reason: Reason::Asked
                }
            );
            let late = clone.call("echo", &(), Terms::default()).await;
            assert!(
                matches!(late, Err(Error::Closed(Reason::Asked))),
                "{late:?}"
            );
        },
    );
}

#[test]
fn refusals_and_bad_messages_are_typed() {
    play(
        |server| async move {
            let mut connection = server.accept().await;
            let ask = connection.hear_action("nope").await;
            let error = json!({"code": "UNKNOWN_ACTION", "message": "no such action", "retryable": false, "suggestion": "echo"});
            connection
                .say(json!({"type": "error", "id": ask["id"], "error": error}))
                .await;
            connection.hear_action("slow").await;
            let ask = connection.hear_action("request.get").await;
            connection.respond(&ask, json!({"no": "request"})).await;
            let ask = connection.hear_action("work").await;
            connection.acknowledge(&ask, "R1").await;
            connection.hear_close().await;
        },
        |options| async move {
            let client = Client::connect(options).await.unwrap();
            match client.call("nope", &(), Terms::default()).await {
                Err(Error::Rejected(body)) => assert_eq!(
                    (body.code, body.suggestion.as_deref()),
                    (ErrorCode::UnknownAction, Some("echo"))
                ),
                other => panic!("{other:?}"),
            }
            let terms = Terms {
                answer_within: Some(Duration::from_millis(20)),
                ..Terms::default()
            };
            assert!(matches!(
                client.call("slow", &(), terms).await,
                Err(Error::TimedOut)
            ));
            assert!(matches!(
                client.get(&RequestId::new("R1")).await,
                Err(Error::Json(_))
            ));
            match client.call("work", &(), Terms::default()).await {
                Err(Error::Deferred(request)) => assert_eq!(request.id().as_str(), "R1"),
                other => panic!("{other:?}"),
            }
            let terms = Terms {
                id: Some("a b".into()),
                ..Terms::default()
            };
            match client.call("no way", &(), terms).await {
                Err(error @ Error::Invalid(_)) => {
                    let text = error.to_string();
                    assert!(
                        text.contains("`/id`") && text.contains("`/action`"),
                        "{text}"
                    );
                }
                other => panic!("{other:?}"),
            }
            let large = client
                .call("echo", &"x".repeat(128 * 1024), Terms::default())
                .await;
            assert!(matches!(large, Err(Error::Invalid(_))));
            client.close().await;
        },
    );
}

#[test]
fn a_large_message_arrives_whole() {
    play(
        |server| async move {
            let mut connection = server.accept().await;
            let ask = connection.hear_action("echo").await;
            let text = ask["payload"].as_str().unwrap();
            connection.respond(&ask, json!(text.len())).await;
            connection.hear_close().await;
        },
        |options| async move {
            let client = Client::connect(options).await.unwrap();
            let payload = "é".repeat(60_000);
            assert_eq!(
                client
                    .call("echo", &payload, Terms::default())
                    .await
                    .unwrap()
                    .get(),
                "120000"
            );
            client.close().await;
        },
    );
}

#[test]
fn a_request_is_followed_to_its_end() {
    play(
        |server| async move {
            let mut connection = server.accept().await;
            let ask = connection.hear_action("work").await;
            assert_eq!(
                (&ask["id"], &ask["timeout_ms"]),
                (&json!("mine"), &json!(90_000))
            );
            assert_eq!(ask["idempotency_key"].as_str().unwrap().len(), 32);
            connection.acknowledge(&ask, "R1").await;
            // Each step between a ping and its answer: the client asks for the next when it has looked at this one.
            for (seq, percentage) in [
                (1, 10.0),
                (1, 10.0),
                (5, 50.0),
                (3, 30.0),
                (1_000_001, 40.0),
            ] {
                let ping = connection.hear_action("ping").await;
                connection.progress("R1", seq, percentage).await;
                connection.answer(&ping).await;
            }
            connection
                .complete("R1", 1_000_002, json!({"rows": 3}))
                .await;
            connection
                .complete("R1", 1_000_002, json!({"rows": 3}))
                .await;
            connection.progress("R1", 1_000_003, 99.0).await;
            connection.hear_close().await;
        },
        |options| async move {
            let client = Client::connect(options).await.unwrap();
            let mut tap = client.tap();
            let terms = Terms {
                id: Some("mine".into()),
                timeout: Some(Duration::from_secs(90)),
                ..Terms::default()
            };
            let mut request = accepted(&client, terms).await;
            assert_eq!(
                (request.status(), request.is_duplicate()),
                (view::State::Queued, false)
            );
            let mut heard = Vec::new();
            for _ in 0..5 {
                let pong = client.ping().await.unwrap();
                assert_eq!(pong.server_time.as_deref(), Some("now"));
                heard.push(request.progress().map(|p| (p.seq, p.percentage)).unwrap());
            }
            assert_eq!(
                heard,
                [
                    (1, 10.0),
                    (1, 10.0),
                    (5, 50.0),
                    (5, 50.0),
                    (1_000_001, 50.0)
                ]
            );
            assert_eq!(next(&mut request).await, "50% #1000001");
            assert_eq!(next(&mut request).await, r#"complete {"rows":3}"#);
            assert_eq!(next(&mut request).await, "nothing");
            assert!(matches!(
                request.outcome().await.unwrap(),
                Outcome::Complete(_)
            ));
            assert!(tap.recv().await.unwrap().contains("acknowledgment"));
            client.close().await;
        },
    );
}

#[test]
fn control_actions_have_typed_answers() {
    play(
        |server| async move {
            let mut connection = server.accept().await;
            let view = json!({
                "request_id": "R1", "action": "work", "state": "failed", "attempt": 3,
                "error": {"code": "TASK_FAILED", "message": "row 3", "retryable": false},
                "created_at": "2026-11-22T10:00:00.000Z",
            });
            let ask = connection.hear_action("request.get").await;
            assert_eq!(ask["payload"], json!({"request_id": "R1"}));
            connection.respond(&ask, view.clone()).await;
            let ask = connection.hear_action("request.list").await;
            assert_eq!(ask["payload"], json!({"limit": 1}));
            connection
                .respond(&ask, json!({"requests": [view], "cursor": "more"}))
                .await;
            let ask = connection.hear_action("request.resume").await;
            assert_eq!(
                ask["payload"],
                json!({"requests": [{"request_id": "R2", "after_seq": 7}]})
            );
            connection.resumed(&ask, "R2").await;
            let ask = connection.hear_action("request.cancel").await;
            let cancelling =
                json!({"request_id": "R2", "state": "running", "cancel_requested": true});
            connection.respond(&ask, cancelling).await;
            connection.progress("R2", 7, 70.0).await;
            connection
                .say(json!({"type": "cancelled", "request_id": "R2", "seq": 8}))
                .await;
            let ask = connection.hear_action("request.resume").await;
            let missing = json!({"request_id": "R3", "error": {"code": "NOT_FOUND", "message": "m", "retryable": false}});
            connection
                .respond(&ask, json!({"requests": [missing]}))
                .await;
            connection.hear_close().await;
        },
        |options| async move {
            let client = Client::connect(options).await.unwrap();
            let view = client.get(&RequestId::new("R1")).await.unwrap();
            assert_eq!(view.error.map(|e| e.code), Some(ErrorCode::TaskFailed));
            let page = client
                .list(&List {
                    limit: Some(1),
                    ..List::default()
                })
                .await
                .unwrap();
            assert_eq!(
                (page.requests.len(), page.cursor.as_deref()),
                (1, Some("more"))
            );
            let mut request = client.resume(&RequestId::new("R2"), 7).await.unwrap();
            assert_eq!(request.status(), view::State::Running);
            assert!(request.cancel().await.unwrap().cancel_requested);
            assert!(matches!(
                request.next().await,
                Some(Update::Done(Outcome::Cancelled))
            ));
            match client.resume(&RequestId::new("R3"), 0).await {
                Err(Error::Rejected(body)) => assert_eq!(body.code, ErrorCode::NotFound),
                other => panic!("{other:?}"),
            }
            client.close().await;
        },
    );
}

#[test]
fn plain_text_goes_out_as_it_is_and_the_tap_sees_the_answer() {
    play(
        |server| async move {
            let mut connection = server.accept().await;
            assert_eq!(connection.hear().await, json!([1]));
            connection.say_text("not of the protocol").await;
            connection
                .say(json!({"type": "error", "error": {"code": "INVALID_JSON", "message": "m"}}))
                .await;
            connection.hear_close().await;
        },
        |options| async move {
            let client = Client::connect(options).await.unwrap();
            let mut tap = client.tap();
            client.send_text("[1]").await.unwrap();
            assert_eq!(&*tap.recv().await.unwrap(), "not of the protocol");
            let answer: Value = serde_json::from_str(&tap.recv().await.unwrap()).unwrap();
            assert_eq!(answer["error"]["code"], "INVALID_JSON");
            client.close().await;
        },
    );
}

#[test]
fn dropping_every_handle_closes_the_connection() {
    play(
        |server| async move {
            let mut connection = server.accept().await;
            let ask = connection.hear_action("work").await;
            connection.acknowledge(&ask, "R1").await;
            assert_eq!(connection.hear_close().await, 1000);
        },
        |options| async move {
            let client = Client::connect(options).await.unwrap();
            let request = accepted(&client, Terms::default()).await;
            let mut state = client.state();
            drop((client, request));
            state
                .wait_for(|state| matches!(state, State::Closed { .. }))
                .await
                .unwrap();
        },
    );
}
