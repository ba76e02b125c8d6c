//! In: connections that open and close. Out: the promises of a registry, and the calls that they cost.

use std::time::Duration;

use lift::clock::Timestamp;
use lift::id::{ConnectionId, Owner};
use lift::registry::{Connections, Kept, Registered, Registry, Room, conformance};
use lift_aws::dynamodb::DynamoRegistry;

use crate::support::{dynamodb, recorder};
use crate::tables::table;

const TABLE: &str = "ConnectionsTable";
const START: Timestamp = Timestamp::from_millis(1_750_000_000_000);

fn connection(id: impl AsRef<str>, user: &str) -> Registered {
    Registered {
        id: ConnectionId::new(id.as_ref()),
        owner: Owner::new("acme", user).unwrap(),
        connected_at: START,
        expires_at: START + Duration::from_secs(3_600),
    }
}

#[tokio::test]
async fn connections_in_dynamodb_keep_every_promise() {
    let Some(client) = dynamodb().await else {
        return;
    };
    conformance::run_all(async || {
        let table = table(&client, TABLE).await;
        Connections::new(DynamoRegistry::new(client.clone(), table))
    })
    .await;
}

#[tokio::test]
async fn what_is_done_to_a_connection_is_one_call() {
    let Some(client) = dynamodb().await else {
        return;
    };
    let table = table(&client, TABLE).await;
    let (through, seen, _server) = recorder(&client).await;
    let registry = DynamoRegistry::new(through, table);
    let one = connection("a=", "ann");
    registry.put(one.clone(), Room::ENDLESS).await.unwrap();
    assert_eq!(seen.take(), ["PutItem"]);
    let found = registry.get(&one.id, START).await.unwrap();
    assert_eq!(
        (found.as_ref(), seen.take()),
        (Some(&one), vec!["GetItem".to_owned()])
    );
    let page = registry.by_user(&one.owner, None, 10, START).await.unwrap();
    assert_eq!(
        (page.connections.len(), seen.take()),
        (1, vec!["Query".to_owned()])
    );
    let tenant = &one.owner.tenant;
    let page = registry.by_tenant(tenant, None, 10, START).await.unwrap();
    assert_eq!(
        (page.connections.len(), seen.take()),
        (1, vec!["Query".to_owned(); 4])
    );
    registry.delete(&one.id).await.unwrap();
    assert_eq!(seen.take(), ["DeleteItem"]);
}

#[tokio::test]
async fn a_count_allows_a_tenth_of_the_limit_and_a_full_user_no_more() {
    let Some(client) = dynamodb().await else {
        return;
    };
    let table = table(&client, TABLE).await;
    let (through, seen, _server) = recorder(&client).await;
    let registry = DynamoRegistry::new(through, table);
    let room = Room {
        per_user: 40,
        per_tenant: usize::MAX,
    };
    for n in 0..40 {
        let kept = registry.put(connection(format!("c{n}="), "ann"), room);
        assert_eq!(kept.await.unwrap(), Kept::Kept, "{n}");
    }
    let seen_of = |seen: Vec<String>, what: &str| seen.iter().filter(|one| *one == what).count();
    let all = seen.take();
    assert_eq!(
        (seen_of(all.clone(), "PutItem"), seen_of(all, "Query")),
        (40, 10)
    );
    let kept = registry.put(connection("more=", "ann"), room).await;
    assert_eq!(kept.unwrap(), Kept::UserFull);
    assert_eq!(seen.take(), ["Query", "GetItem"]);
}

#[tokio::test]
async fn two_processes_pass_the_limit_by_a_tenth_each_at_most() {
    let Some(client) = dynamodb().await else {
        return;
    };
    let table = table(&client, TABLE).await;
    let registries = [(); 2].map(|()| DynamoRegistry::new(client.clone(), table.clone()));
    let room = Room {
        per_user: 20,
        per_tenant: usize::MAX,
    };
    let mut kept = 0_usize;
    for n in 0..40 {
        for (which, registry) in registries.iter().enumerate() {
            let one = connection(format!("c{which}-{n}="), "ann");
            let put = registry.put(one, room).await.unwrap();
            kept += usize::from(put == Kept::Kept);
        }
    }
    assert!((20..=24).contains(&kept), "{kept}");
}

#[tokio::test]
async fn connections_past_their_time_take_no_room_and_fill_no_page() {
    let Some(client) = dynamodb().await else {
        return;
    };
    let table = table(&client, TABLE).await;
    let registry = DynamoRegistry::new(client, table);
    for n in 0..120 {
        let mut gone = connection(format!("a{n:03}="), "ann");
        gone.expires_at = START + Duration::from_secs(1);
        registry.put(gone, Room::ENDLESS).await.unwrap();
    }
    let late = START + Duration::from_secs(1);
    let room = Room {
        per_user: 2,
        per_tenant: 2,
    };
    for (id, expected) in [
        ("x=", Kept::Kept),
        ("y=", Kept::Kept),
        ("z=", Kept::UserFull),
    ] {
        let mut one = connection(id, "ann");
        one.connected_at = late;
        assert_eq!(registry.put(one, room).await.unwrap(), expected, "{id}");
    }
    let owner = Owner::new("acme", "ann").unwrap();
    let first = registry.by_user(&owner, None, 1, late).await.unwrap();
    assert_eq!(first.connections[0].id.as_str(), "x=");
    let next = first.next.unwrap();
    let rest = registry
        .by_user(&owner, Some(&next), 1, late)
        .await
        .unwrap();
    assert_eq!((rest.connections[0].id.as_str(), rest.next), ("y=", None));
}
