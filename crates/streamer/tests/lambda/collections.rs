//! In: changes of records. Out: whether the collection has them, in DynamoDB.

use serde_json::json;
use streamer_client::options::Terms;

use crate::asking::{asked, completed};
use crate::world::{Setup, World};

#[tokio::test(flavor = "multi_thread")]
async fn records_are_changed_and_read_back() {
    let Some(world) = World::start(Setup::default()).await else {
        return;
    };
    let client = world.client("ada").await;
    let items = json!([
        {"op": "create", "key": "c-1", "record": {"name": "Ada"}},
        {"op": "create", "key": "c-2", "record": {"credit": 12}},
        {"op": "create", "key": "c-3", "record": {}},
        {"op": "update", "key": "c-1", "record": {"name": "Grace"}, "if_version": 1},
        {"op": "delete", "key": "c-3"},
        {"op": "create", "key": "c-2", "record": {}},
    ]);
    let changes =
        json!({"collection": "customers", "items": items, "output": {"name": "done.ndjson"}});
    let result =
        completed(&mut asked(&client, "bulk_operation", &changes, Terms::default()).await).await;
    let counts = ["created", "updated", "deleted", "conflicts"].map(|count| &result[count]);
    assert_eq!(counts, [3, 1, 1, 1]);
    let outcomes = world.get("done.ndjson").await;
    assert_eq!(outcomes.lines().count(), 6, "{outcomes}");
    let export = json!({"collection": "customers", "output": {"name": "customers.ndjson"}});
    let result =
        completed(&mut asked(&client, "export_collection", &export, Terms::default()).await).await;
    assert_eq!(result["records"], 2);
    let expected = "{\"key\":\"c-1\",\"version\":4,\"record\":{\"name\":\"Grace\"}}\n\
                    {\"key\":\"c-2\",\"version\":2,\"record\":{\"credit\":12}}\n";
    assert_eq!(world.get("customers.ndjson").await, expected);
    world.stop().await;
}
