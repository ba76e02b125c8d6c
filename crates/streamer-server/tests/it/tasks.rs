//! `generate_report` and `bulk_operation` over a socket: messages go in, objects come out.

use serde_json::{Value, json};

use crate::support::home::Home;

fn lines(home: &Home, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(home.objects("acme").join(name)).unwrap();
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn a_report_needs_its_grant_and_counts_what_the_tenant_did() {
    let home = Home::new();
    let server = home.start(&[]).await;
    let mut ada = server.connect(&home.token("ada", "acme")).await;
    let refused = ada.refused("generate_report", days("a.csv")).await;
    assert_eq!(refused["code"], "FORBIDDEN", "{refused}");
    let items = json!([{ "op": "create", "key": "k", "record": {} }]);
    for n in 0..3 {
        let output = json!({ "name": format!("{n}.ndjson") });
        let bulk = json!({ "collection": "c", "items": items, "output": output });
        let request = ada.submit("bulk_operation", bulk).await;
        assert_eq!(ada.ended(&request).await.message["type"], "complete");
    }
    let granted = home.token_with("bob", "acme", |token| {
        token.permissions = Some(vec!["generate_report".to_owned(), "tenant.read".to_owned()]);
    });
    let mut bob = server.connect(&granted).await;
    for name in ["report.csv", "report.html"] {
        let from = json!({ "from": "today", "to": "2026-12-31", "output": { "name": name } });
        let refused = bob.refused("generate_report", from).await;
        assert_eq!(
            refused["fields"][0]["pointer"], "/payload/from",
            "{refused}"
        );
        let request = bob.submit("generate_report", days(name)).await;
        let end = bob.ended(&request).await.message;
        assert_eq!(end["type"], "complete", "{end}");
        assert_eq!(end["result"]["output"], name, "{end}");
        // Ada's three, and Bob's own so far.
        assert!(end["result"]["completed"].as_u64() >= Some(3), "{end}");
        assert_eq!(end["result"]["open"], 1, "the report itself: {end}");
        let written = std::fs::read_to_string(home.objects("acme").join(name)).unwrap();
        assert!(written.contains("bulk_operation"), "{written}");
    }
}

/// A report of the year up to now, by the machine's own calendar.
fn days(name: &str) -> Value {
    let days = lift::clock::Clock::system().now().as_millis() / (24 * 3600 * 1000);
    let day = |days: u64| {
        let start = lift::clock::Timestamp::from_millis(days * 24 * 3600 * 1000);
        start.to_string().split('T').next().unwrap().to_owned()
    };
    json!({ "from": day(days - 300), "to": day(days + 1), "output": { "name": name } })
}

#[tokio::test]
async fn a_bulk_operation_goes_on_after_a_kill_and_its_records_outlive_the_process() {
    const ITEMS: usize = 20_000;
    let home = Home::new();
    let mut server = home.start(&[]).await;
    let text: String = (0..ITEMS)
        .map(|n| {
            let record = json!({ "n": n, "text": "x".repeat(200) });
            format!(
                "{}\n",
                json!({ "op": "create", "key": format!("k{n}"), "record": record })
            )
        })
        .collect();
    std::fs::write(home.objects("acme").join("in.ndjson"), text).unwrap();
    let payload =
        json!({ "collection": "c", "input": "in.ndjson", "output": { "name": "out.ndjson" } });
    let token = home.token("ada", "acme");
    let mut ada = server.connect(&token).await;
    let request = ada.submit("bulk_operation", payload).await;
    let progress = ada.progress(&request).await;
    server.kill().await;

    let server = home.start(&[]).await;
    let mut ada = server.connect(&token).await;
    ada.resume(&request, progress["seq"].as_u64().unwrap())
        .await;
    let end = ada.ended(&request).await.message;
    assert_eq!(end["type"], "complete", "{end}");
    let (items, created) = (&end["result"]["items"], &end["result"]["created"]);
    assert_eq!((items, created), (&json!(ITEMS), &json!(ITEMS)), "{end}");
    let outcomes = lines(&home, "out.ndjson");
    assert_eq!(outcomes.len(), ITEMS);
    assert!(outcomes.iter().all(|line| line["outcome"] == "created"));

    let update =
        json!({ "op": "update", "key": "k7", "record": {}, "if_version": outcomes[7]["version"] });
    let again = json!({ "op": "create", "key": "k19999", "record": {} });
    let output = json!({ "name": "more.ndjson" });
    let payload = json!({ "collection": "c", "items": [update, again], "output": output });
    let request = ada.submit("bulk_operation", payload).await;
    let end = ada.ended(&request).await.message;
    assert_eq!(
        (&end["result"]["updated"], &end["result"]["conflicts"]),
        (&json!(1), &json!(1)),
        "{end}"
    );
}
