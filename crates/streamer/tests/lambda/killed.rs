//! In: processors that die at the worst of moments. Out: whether each request ends once, and its client is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use streamer_client::request::Outcome;

use crate::asking::{Wire, aggregate, claims, ended, rows, submitted};
use crate::relay::{Call, Fault};
use crate::world::{Setup, World};

/// After which call a processor dies, how often its request is claimed then, and how often its end is said at least.
type Death = (&'static str, fn(&Call) -> bool, u64, usize);

const DEATHS: [Death; 3] = [
    ("claimed", |call| call.body.contains("cl = cl + :one"), 2, 1),
    ("ended", |call| call.body.contains("ttl = exp_s"), 1, 1),
    (
        "told",
        |call| call.body.starts_with(r#"{"type":"complete""#),
        1,
        2,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_processor_dies_after_its_claim_its_end_or_its_post_ends_once() {
    let fast = Setup {
        speed: 60,
        ..Setup::default()
    };
    let Some((world, relays)) = World::relayed(fast).await else {
        return;
    };
    let client = world.client("ada").await;
    let mut wire = Wire::of(&client);
    let (text, expected) = rows(1_000);
    world.put("sales.csv", text).await;
    for (moment, is_it, claimed, said) in DEATHS {
        let killed = Arc::new(AtomicUsize::new(0));
        let (kill, count) = (world.killer("processor"), Arc::clone(&killed));
        let relay = match moment {
            "told" => &relays.posts,
            _ => &relays.dynamodb,
        };
        let death = move || count.store(kill(), Ordering::Relaxed);
        relay.once(is_it, Fault::Then(Box::new(death)));

        let output = format!("{moment}.csv");
        let mut request = submitted(&client, &aggregate("sales.csv", &output)).await;
        let end = ended(&mut request).await;
        assert!(matches!(end, Outcome::Complete(_)), "{moment}: {end:?}");
        let again = async || wire.ends(&request).len() >= said;
        world.until("the end is said", again).await;
        let ends = wire.ends(&request);
        assert!(ends.iter().all(|end| *end == ends[0]), "{moment}: {ends:?}");
        assert_eq!(claims(&ends[0]), claimed, "{moment}");
        assert_ne!(killed.load(Ordering::Relaxed), 0, "{moment}");
        assert_eq!(world.get(&output).await, expected, "{moment}");
    }
    world.stop().await;
}
