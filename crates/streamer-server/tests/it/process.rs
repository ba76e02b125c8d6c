//! `process_data` from the message to the file.

use serde_json::{Value, json};

use crate::support::home::Home;
use crate::support::{orders, within};

#[tokio::test]
async fn a_request_is_acknowledged_says_how_far_it_is_and_completes_with_its_file() {
    let home = Home::new();
    let server = home.start(&[]).await;
    let folder = home.objects("acme");
    orders::write(&folder.join("in.csv"), 60_000, 1);
    let mut ada = server.connect(&home.token("ada", "acme")).await;
    let message = json!({
        "id": "c-17", "action": "process_data", "payload": orders::payload("in.csv", "out.csv"),
    });
    let answer = ada.ask(message).await;
    assert_eq!(answer["type"], "acknowledgment", "{answer}");
    assert_eq!(
        (&answer["id"], &answer["duplicate"]),
        (&json!("c-17"), &json!(false))
    );
    assert_eq!(answer["status"], "queued", "{answer}");
    let request = answer["request_id"].as_str().unwrap().to_owned();
    let end = ada.ended(&request).await;
    assert!(!end.progress.is_empty(), "no progress");
    assert!(end.progress.iter().all(|progress| progress["id"] == "c-17"));
    assert_eq!(end.message["type"], "complete", "{}", end.message);
    assert_eq!(end.message["id"], "c-17", "{}", end.message);
    let (input, output) = (folder.join("in.csv"), folder.join("out.csv"));
    orders::check(&input, &output);
    let result = &end.message["result"];
    assert_eq!(result["rows_in"], 60_000, "{result}");
    assert_eq!(
        result["rows_out"],
        orders::read(&output).len() - 1,
        "{result}"
    );
    assert_eq!(
        result["bytes"],
        std::fs::metadata(&output).unwrap().len(),
        "{result}"
    );
    assert_eq!(result["output"], "out.csv", "{result}");
    let view = ada
        .call("request.get", json!({"request_id": request}))
        .await;
    assert_eq!(
        (&view["state"], &view["result"]),
        (&json!("completed"), result)
    );
    // Cleaned up while the end is told.
    let cleaned = async {
        while !home.left_of_work().is_empty() {
            ada.call("health", Value::Null).await;
        }
    };
    within("a finished request leaves no work behind", cleaned).await;
}

#[tokio::test]
async fn what_cannot_work_is_refused_before_the_acknowledgment() {
    let home = Home::new();
    let server = home.start(&[]).await;
    let folder = home.objects("acme");
    orders::write(&folder.join("in.csv"), 10, 1);
    std::fs::write(folder.join("taken.csv"), "mine\n").unwrap();
    let mut ada = server.connect(&home.token("ada", "acme")).await;
    let with = |change: fn(&mut Value)| {
        let mut payload = orders::payload("in.csv", "out.csv");
        change(&mut payload);
        payload
    };
    let cases: [(Value, &str, Option<&str>); 10] = [
        (with(|p| p["input"] = json!("none.csv")), "NOT_FOUND", None),
        (
            with(|p| p["output"]["name"] = json!("taken.csv")),
            "CONFLICT",
            None,
        ),
        (
            with(|p| p["input"] = json!("../in.csv")),
            "VALIDATION_ERROR",
            Some("/payload/input"),
        ),
        (
            with(|p| p["output"]["name"] = json!("/etc/x.csv")),
            "VALIDATION_ERROR",
            Some("/payload/output/name"),
        ),
        (
            with(|p| p["operations"][0]["is"] = json!("near")),
            "VALIDATION_ERROR",
            Some("/payload/operations/0"),
        ),
        (
            with(|p| p["operations"][1]["by"] = json!("order_id")),
            "VALIDATION_ERROR",
            Some("/payload/operations/1"),
        ),
        (
            with(|p| p["outputs"] = json!(1)),
            "VALIDATION_ERROR",
            Some("/payload/outputs"),
        ),
        (
            with(|p| p["input"] = json!(7)),
            "VALIDATION_ERROR",
            Some("/payload/input"),
        ),
        (
            json!({"input": "in.csv"}),
            "VALIDATION_ERROR",
            Some("/payload/operations"),
        ),
        (Value::Null, "VALIDATION_ERROR", Some("/payload/input")),
    ];
    for (payload, code, pointer) in cases {
        let error = ada.refused("process_data", payload.clone()).await;
        assert_eq!(error["code"], code, "{payload}: {error}");
        let Some(pointer) = pointer else { continue };
        let found = error["fields"][0]["pointer"].as_str().unwrap();
        assert!(found.starts_with(pointer), "{payload}: {error}");
    }
    assert_eq!(
        ada.call("request.list", Value::Null).await,
        json!({"requests": []})
    );
    assert_eq!(
        std::fs::read_to_string(folder.join("taken.csv")).unwrap(),
        "mine\n"
    );
    let over = with(|p| p["output"] = json!({"name": "taken.csv", "overwrite": true}));
    let request = ada.submit("process_data", over).await;
    assert_eq!(ada.ended(&request).await.message["type"], "complete");
    orders::check(&folder.join("in.csv"), &folder.join("taken.csv"));
}

#[tokio::test]
async fn a_file_that_turns_out_bad_ends_the_request_with_the_line() {
    let home = Home::new();
    let server = home.start(&[]).await;
    let folder = home.objects("acme");
    std::fs::write(
        folder.join("in.csv"),
        "order_id,country,quantity\n1,DE,2\n2,DE\n",
    )
    .unwrap();
    let mut ada = server.connect(&home.token("ada", "acme")).await;
    let request = ada
        .submit("process_data", orders::payload("in.csv", "out.csv"))
        .await;
    let end = ada.ended(&request).await.message;
    assert_eq!(
        (&end["type"], &end["error"]["code"]),
        (&json!("error"), &json!("TASK_FAILED"))
    );
    assert!(
        end["error"].to_string().contains('3'),
        "names the line: {end}"
    );
    assert!(!folder.join("out.csv").exists(), "nothing appears in part");
}
