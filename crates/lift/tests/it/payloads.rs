//! Typed payloads: JSON goes in, the value or every wrong place comes out; nothing is altered.

use std::collections::BTreeMap;

use lift::app::App;
use lift::error::Error;
use lift::extract::Payload;
use lift::json::Json;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::world::{Client, World, places};

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Order {
    name: String,
    count: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    big: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lines: Vec<Line>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    free: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<Kind>,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Line {
    product: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    price: Option<f64>,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Retail,
    Wholesale,
}

fn client() -> Client {
    async fn order(Payload(order): Payload<Order>) -> Result<Order, Error> {
        Ok(order)
    }
    async fn number(Payload(number): Payload<f64>) -> Result<f64, Error> {
        Ok(number)
    }
    async fn raw(payload: Json) -> Result<Json, Error> {
        Ok(payload)
    }
    let app = App::new()
        .on("order", order)
        .on("number", number)
        .on("raw", raw);
    World::new(app).connect("c1=", "ann")
}

/// An order with these further fields is taken and comes back as it was.
async fn check_taken(client: &Client, fields: &str) {
    let payload = format!(r#"{{"name":"ann","count":3{fields}}}"#);
    let answer = client
        .send(&format!(r#"{{"action":"order","payload":{payload}}}"#))
        .await;
    let expected: Value = serde_json::from_str(&payload).unwrap();
    assert_eq!(answer["data"], expected, "{payload}: {answer}");
}

/// A payload is refused at exactly these places.
async fn check(client: &Client, payload: &str, pointers: &[&str]) {
    let message = format!(r#"{{"action":"order","payload":{payload}}}"#);
    let answer = client.send(&message).await;
    assert_eq!(
        answer["error"]["code"], "VALIDATION_ERROR",
        "{payload}: {answer}"
    );
    let mut named = places(&answer);
    named.sort_unstable();
    assert_eq!(named, pointers, "{payload}: {answer}");
    for field in answer["error"]["fields"].as_array().unwrap() {
        let message = field["message"].as_str().unwrap();
        assert!(
            !message.is_empty() && !message.contains("line 1"),
            "{answer}"
        );
    }
}

/// An order with this further field is refused at this place.
async fn check_field(client: &Client, field: &str, pointer: &str) {
    check(
        client,
        &format!(r#"{{"name":"ann","count":3,{field}}}"#),
        &[pointer],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_good_payload_arrives_whole() {
    let client = client();
    check_taken(&client, "").await;
    check_taken(&client, r#","big":18446744073709551615,"ratio":0.1"#).await;
    check_taken(
        &client,
        r#","ratio":9007199254740992.0,"free":{"x":[1,2.5,"three",null]}"#,
    )
    .await;
    check_taken(
        &client,
        r#","lines":[{"product":"p","price":1.25}],"tags":{"a":1,"~/":2}"#,
    )
    .await;
    check_taken(&client, r#","kind":"retail""#).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_or_misshapen_is_named_in_its_own_place() {
    let client = client();
    check(&client, "null", &["/payload/count", "/payload/name"]).await;
    check(&client, "[]", &["/payload"]).await;
    check(&client, "{}", &["/payload/count", "/payload/name"]).await;
    check(
        &client,
        r#"{"name":null,"count":"3"}"#,
        &["/payload/count", "/payload/name"],
    )
    .await;
    check(&client, r#"{"name":"a","count":256}"#, &["/payload/count"]).await;
    check(&client, r#"{"name":"a","count":-1}"#, &["/payload/count"]).await;
    check(&client, r#"{"name":"a","count":1.5}"#, &["/payload/count"]).await;
    check_field(
        &client,
        r#""lines":[{"product":"p"},{}]"#,
        "/payload/lines/1/product",
    )
    .await;
    check_field(
        &client,
        r#""lines":[{"product":7}]"#,
        "/payload/lines/0/product",
    )
    .await;
    check_field(&client, r#""tags":{"a/b~c":"x"}"#, "/payload/tags/a~1b~0c").await;
    check_field(&client, r#""kind":"retial""#, "/payload/kind").await;
    check_field(&client, r#""name2":"\ud800""#, "/payload/name2").await;
}

#[tokio::test(start_paused = true)]
async fn unknown_fields_are_named() {
    let client = client();
    check_field(&client, r#""colour":1"#, "/payload/colour").await;
    check_field(
        &client,
        r#""lines":[{"product":"p","a/b":1}]"#,
        "/payload/lines/0/a~1b",
    )
    .await;
    check(
        &client,
        r#"{"name":"a","count":1,"x":1,"y":2}"#,
        &["/payload/x", "/payload/y"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn repeated_fields_are_named_wherever_they_are() {
    let client = client();
    check(
        &client,
        r#"{"name":"a","count":1,"name":"a"}"#,
        &["/payload/name"],
    )
    .await;
    check(
        &client,
        r#"{"name":"a","count":1,"n\u0061me":"a"}"#,
        &["/payload/name"],
    )
    .await;
    check_field(
        &client,
        r#""lines":[{"product":"p","product":"q"}]"#,
        "/payload/lines/0/product",
    )
    .await;
    check_field(&client, r#""tags":{"a":1,"a":2}"#, "/payload/tags/a").await;
    check_field(
        &client,
        r#""free":{"x":[{"y":1,"y":1}]}"#,
        "/payload/free/x/0/y",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_number_that_cannot_be_held_exactly_is_an_error() {
    let client = client();
    check_field(&client, r#""big":18446744073709551616"#, "/payload/big").await;
    check_field(&client, r#""big":1.0"#, "/payload/big").await;
    check_field(&client, r#""ratio":9007199254740993"#, "/payload/ratio").await;
    check_field(
        &client,
        r#""ratio":123456789012345678901234567890"#,
        "/payload/ratio",
    )
    .await;
    check_field(
        &client,
        r#""ratio":0.12345678901234567890123"#,
        "/payload/ratio",
    )
    .await;
    check_field(&client, r#""ratio":1e400"#, "/payload/ratio").await;
    check_field(&client, r#""ratio":1e-400"#, "/payload/ratio").await;
    check_field(
        &client,
        r#""free":{"x":[123456789012345678901234567890]}"#,
        "/payload/free/x/0",
    )
    .await;
    let number = r#"{"action":"number","payload":9007199254740993}"#;
    client
        .check_refused(number, "VALIDATION_ERROR", &["/payload"])
        .await;
    for exact in [
        "0.1",
        "1.50",
        "1e3",
        "-0.0",
        "1e22",
        "100000000000000000000",
        "5e-324",
    ] {
        let message = format!(r#"{{"action":"number","payload":{exact}}}"#);
        let answer = client.send(&message).await;
        assert_eq!(
            answer["data"],
            json!(exact.parse::<f64>().unwrap()),
            "{exact}: {answer}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_absent_payload_lacks_what_is_required_and_no_more() {
    #[derive(Default, Deserialize, Serialize, JsonSchema)]
    struct Page {
        limit: Option<u8>,
    }
    async fn page(Payload(page): Payload<Page>) -> Result<Page, Error> {
        Ok(page)
    }
    let client = World::new(App::new().on("page", page)).connect("c1=", "ann");
    for payload in [
        "",
        r#","payload":null"#,
        r#","payload":{}"#,
        r#","payload":{"limit":null}"#,
    ] {
        let answer = client
            .send(&format!(r#"{{"action":"page"{payload}}}"#))
            .await;
        assert_eq!(
            answer["data"],
            json!({"limit": null}),
            "{payload}: {answer}"
        );
    }
    let unknown = r#"{"action":"page","payload":{"limit":1,"more":1}}"#;
    client
        .check_refused(unknown, "VALIDATION_ERROR", &["/payload/more"])
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_untyped_payload_is_not_looked_into() {
    let client = client();
    let payload = r#"{"a":1,"a":2,"n":123456789012345678901234567890}"#;
    let answer = client
        .send_raw(&format!(r#"{{"action":"raw","payload":{payload}}}"#))
        .await;
    assert!(answer.contains(payload), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn an_action_tells_the_schema_of_its_payload() {
    async fn order(Payload(_): Payload<Order>) -> Result<(), Error> {
        Ok(())
    }
    async fn free() -> Result<(), Error> {
        Ok(())
    }
    let app = App::new().on("order", order).on("free", free);
    let schema = app.actions()["order"].schema().unwrap();
    assert_eq!(schema["title"], "Order");
    assert_eq!(schema["required"], json!(["name", "count"]));
    assert_eq!(app.actions()["free"].schema(), None);
}

/// One step.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
enum Step {
    /// Keeps rows.
    Filter { column: String, is: Comparison },
    /// Keeps columns.
    Select { columns: Vec<String> },
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Comparison {
    /// Equal.
    Eq,
    /// Greater or equal.
    Ge,
}

#[tokio::test(start_paused = true)]
async fn a_wrong_choice_is_told_what_there_is_to_choose() {
    async fn steps(Payload(steps): Payload<Vec<Step>>) -> Result<usize, Error> {
        Ok(steps.len())
    }
    let client = World::new(App::new().on("steps", steps)).connect("c1=", "ann");
    let (operations, comparisons) = (
        r#"must be one of "filter", "select""#,
        r#"must be one of "eq", "ge""#,
    );
    for (step, pointer, message) in [
        (
            json!({"op": "fliter", "column": "n", "is": "ge"}),
            "/op",
            operations,
        ),
        (json!({"op": 7}), "/op", operations),
        (json!({"column": "n", "is": "ge"}), "/op", "is required"),
        (
            json!({"op": "filter", "column": "n", "is": ">="}),
            "/is",
            comparisons,
        ),
        (
            json!({"op": "filter", "is": "ge"}),
            "/column",
            "is required",
        ),
        (
            json!({"op": "select", "columns": ["n"], "is": "ge"}),
            "/is",
            "is not known here",
        ),
    ] {
        let good = json!({"op": "select", "columns": []});
        let answer = client.ask("steps", json!([good, step])).await;
        let field = json!([{"pointer": format!("/payload/1{pointer}"), "message": message}]);
        assert_eq!(answer["error"]["fields"], field, "{step}");
    }
}
