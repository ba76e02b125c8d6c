//! In: requests of clients. Out: whether they are answered as on one machine.

use lift_dev::feed::Entry;
use serde_json::json;
use streamer_client::options::Terms;
use streamer_client::request::Update;
use tokio::time::timeout;

use crate::asking::{aggregate, completed, many, refused, rows, submitted};
use crate::world::{DEADLINE, Setup, World};

#[tokio::test(flavor = "multi_thread")]
async fn the_journey_is_that_of_one_machine() {
    let Some(world) = World::start(Setup::default()).await else {
        return;
    };
    let client = world.client("ada").await;
    let payload = json!({"x": [1, 2.50]});
    let calling = client.call("echo", &payload, Terms::default());
    let echoed = timeout(DEADLINE, calling).await.unwrap().unwrap();
    assert_eq!(echoed.get(), payload.to_string());
    timeout(DEADLINE, client.ping()).await.unwrap().unwrap();

    let n = many(30_000);
    let (text, expected) = rows(n);
    world.put("sales.csv", text).await;
    let mut request = submitted(&client, &aggregate("sales.csv", "kinds.csv")).await;
    // What is said meanwhile is asked for again.
    client.cut().await;
    let result = completed(&mut request).await;
    assert_eq!(
        (&result["rows_in"], &result["rows_out"]),
        (&json!(n), &json!(3))
    );
    assert_eq!(world.get("kinds.csv").await, expected);
    let other = world.client("bob").await;
    let id = request.id().clone();
    assert!(
        other.get(&id).await.is_err(),
        "another's request is not found"
    );
    let state = client.get(&id).await.unwrap().state;
    assert_eq!(format!("{state:?}"), "Completed");
    let said = |function: &str, parts: &[&str]| {
        world.count(|entry| {
            matches!(entry, Entry::Log { function: of, line } if of == function && parts.iter().all(|part| line.contains(part)))
        })
    };
    let of_it = format!(r#""request_id":"{id}""#);
    world
        .until(
            "its end is counted, and its lines can be found",
            async || {
                said(
                    "ProcessorFunction",
                    &["lift_tasks_total", r#""outcome":"ok""#, "_aws"],
                ) == 1
                    && said(
                        "ProcessorFunction",
                        &[&of_it, "xray_trace_id", "function_request_id"],
                    ) > 0
                    && said(
                        "MessageFunction",
                        &["lift_requests_total", r#""action":"echo""#],
                    ) == 1
            },
        )
        .await;

    let missing = refused(&client, &aggregate("none.csv", "x.csv")).await;
    assert_eq!(missing, "NOT_FOUND");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_processor_is_killed_goes_on_and_ends_once() {
    let Some(world) = World::start(Setup {
        speed: 60,
        ..Setup::default()
    })
    .await
    else {
        return;
    };
    let client = world.client("ada").await;
    let n = many(400_000);
    let (text, expected) = rows(n);
    world.put("sales.csv", text).await;
    let mut request = submitted(&client, &aggregate("sales.csv", "kinds.csv")).await;
    let begun = async {
        loop {
            match request.next().await {
                Some(Update::Progress(_)) => return,
                Some(Update::Resumed { .. }) => {}
                other => panic!("it ended before it was killed: {other:?}"),
            }
        }
    };
    timeout(DEADLINE, begun).await.unwrap();
    assert!(world.kill("processor") >= 1);
    let result = completed(&mut request).await;
    assert_eq!(result["rows_in"], n);
    assert_eq!(world.get("kinds.csv").await, expected);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_of_megabytes_is_published_where_there_was_none_whatever_the_tenant_is_called() {
    let Some(world) = World::start(Setup::default()).await else {
        return;
    };
    let mut text = "id,text\n".to_owned();
    for id in 0..9_000 {
        text.push_str(&format!("{id},{}\n", "x".repeat(1_024)));
    }
    for tenant in ["acme", "a|b:c@d+e=f"] {
        let client = world.client_of(tenant, "ada").await;
        world.put_of(tenant, "sales.csv", text.clone()).await;
        let payload =
            json!({"input": "sales.csv", "operations": [], "output": {"name": "copy.csv"}});
        let mut request = submitted(&client, &payload).await;
        let result = completed(&mut request).await;
        assert_eq!(result["rows_out"], 9_000, "{tenant}");
        assert!(world.get_of(tenant, "copy.csv").await == text, "{tenant}");
        assert_eq!(refused(&client, &payload).await, "CONFLICT", "{tenant}");
    }
    world.stop().await;
}
