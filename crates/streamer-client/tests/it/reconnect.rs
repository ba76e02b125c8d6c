//! Connections that break in every way come in; nothing asked for may be lost, or done twice.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use serde_json::json;
use streamer_client::{
    Client, Error, Reason, State,
    options::{Terms, Token},
    request::Outcome,
};

use crate::{
    calls::{accepted, next},
    server::play,
};

#[test]
fn a_request_cut_in_its_middle_is_resumed_with_a_fresh_token() {
    play(
        |server| async move {
            let mut first = server.accept().await;
            assert_eq!(first.authorization, "Bearer t1");
            let ask = first.hear_action("work").await;
            first.acknowledge(&ask, "R1").await;
            first.progress("R1", 4, 40.0).await;
            first.hear_cut().await;

            let mut second = server.accept().await;
            assert_eq!(second.authorization, "Bearer t2");
            let ask = second.hear_action("request.resume").await;
            assert_eq!(
                ask["payload"],
                json!({"requests": [{"request_id": "R1", "after_seq": 4}]})
            );
            second.resumed(&ask, "R1").await;
            let ping = second.hear_action("ping").await;
            second.progress("R1", 4, 40.0).await;
            second.progress("R1", 1_000_001, 30.0).await;
            second.say(json!({"type": "pong", "id": ping["id"]})).await;
            second.answer_ping().await;
            second.complete("R1", 1_000_002, json!(1)).await;
            second.complete("R1", 1_000_002, json!(1)).await;
            second.hear_close().await;
        },
        |options| async move {
            let asked = Arc::new(AtomicU32::new(0));
            let token = Token::from_fn(move || {
                let number = asked.fetch_add(1, Ordering::SeqCst) + 1;
                async move { Ok(format!("t{number}")) }
            });
            let client = Client::connect(options.token(token)).await.unwrap();
            let mut request = accepted(&client, Terms::default()).await;
            assert_eq!(next(&mut request).await, "40% #4");
            client.cut().await;
            assert_eq!(next(&mut request).await, "resumed true");
            client.ping().await.unwrap();
            assert_eq!(next(&mut request).await, "40% #1000001");
            client.ping().await.unwrap();
            assert_eq!(next(&mut request).await, "complete 1");
            client.close().await;
        },
    );
}

#[test]
fn an_unanswered_submit_is_sent_again_with_its_key() {
    play(
        |server| async move {
            let mut first = server.accept().await;
            let lost = first.hear_action("work").await;
            drop(first);

            let mut second = server.accept().await;
            let again = second.hear_action("work").await;
            assert_eq!(again, lost);
            let acknowledgment = json!({
                "type": "acknowledgment", "id": again["id"], "request_id": "R1", "status": "running", "duplicate": true,
            });
            second.say(acknowledgment).await;
            let ask = second.hear_action("request.resume").await;
            second.resumed(&ask, "R1").await;
            second.complete("R1", 1, json!(1)).await;
            second.hear_close().await;
        },
        |options| async move {
            let client = Client::connect(options).await.unwrap();
            let mut request = accepted(&client, Terms::default()).await;
            assert!(request.is_duplicate());
            assert!(matches!(
                request.outcome().await.unwrap(),
                Outcome::Complete(_)
            ));
            client.close().await;
        },
    );
}

#[test]
fn going_away_moves_to_a_new_connection_before_the_old_is_closed() {
    play(
        |server| async move {
            let mut old = server.accept().await;
            let ask = old.hear_action("work").await;
            old.acknowledge(&ask, "R1").await;
            old.say(json!({"type": "going_away", "reconnect_after_ms": 10}))
                .await;

            let mut new = server.accept().await;
            let ask = new.hear_action("request.resume").await;
            // Until the resume is answered the old connection still counts.
            old.progress("R1", 1, 10.0).await;
            new.progress("R1", 1, 10.0).await;
            new.resumed(&ask, "R1").await;
            assert_eq!(old.hear_close().await, 1000);
            new.complete("R1", 2, json!(1)).await;
            new.hear_close().await;
        },
        |options| async move {
            let client = Client::connect(options).await.unwrap();
            let mut request = accepted(&client, Terms::default()).await;
            let state = client.state();
            assert!(matches!(
                request.outcome().await.unwrap(),
                Outcome::Complete(_)
            ));
            assert_eq!(*state.borrow(), State::Connected);
            client.close().await;
        },
    );
}

#[test]
fn a_close_code_decides_whether_to_come_back() {
    play(
        |server| async move {
            server.accept().await.close(1012).await;
            let mut second = server.accept().await;
            second.hear_action("work").await;
            second.close(1003).await;
        },
        |options| async move {
            let client = Client::connect(options).await.unwrap();
            let mut state = client.state();
            state
                .wait_for(|state| matches!(state, State::Waiting { .. }))
                .await
                .unwrap();
            state
                .wait_for(|state| *state == State::Connected)
                .await
                .unwrap();
            let lost = client.submit("work", &(), Terms::default()).await;
            assert!(
                matches!(lost, Err(Error::Closed(Reason::Code(1003)))),
                "{lost:?}"
            );
            client.close().await;
        },
    );
}

#[test]
fn a_token_that_expires_on_the_connection_is_replaced() {
    play(
        |server| async move {
            let mut old = server.accept().await;
            let ask = old.hear_action("work").await;
            let error = json!({"code": "TOKEN_EXPIRED", "message": "m", "retryable": true});
            old.say(json!({"type": "error", "id": ask["id"], "error": error}))
                .await;
            let mut new = server.accept().await;
            assert_eq!(new.hear_action("work").await, ask);
            new.respond(&ask, json!("done")).await;
            assert_eq!(old.hear_close().await, 1000);
            new.hear_close().await;
        },
        |options| async move {
            let client = Client::connect(options).await.unwrap();
            assert_eq!(
                client
                    .call("work", &json!({"n": 1}), Terms::default())
                    .await
                    .unwrap()
                    .get(),
                r#""done""#
            );
            client.close().await;
        },
    );
}

#[test]
fn a_refused_reconnect_ends_what_is_open() {
    play(
        |server| async move {
            let mut first = server.accept().await;
            let ask = first.hear_action("work").await;
            first.acknowledge(&ask, "R1").await;
            drop(first);
            server.refuse("403 Forbidden").await;
        },
        |options| async move {
            let client = Client::connect(options).await.unwrap();
            let mut request = accepted(&client, Terms::default()).await;
            assert_eq!(next(&mut request).await, "nothing");
            assert!(matches!(
                request.outcome().await,
                Err(Error::Refused { status: 403 })
            ));
            let reason = Reason::Refused { status: 403 };
            assert_eq!(*client.state().borrow(), State::Closed { reason });
            client.close().await;
        },
    );
}
