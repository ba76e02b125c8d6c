//! Stops, give-backs, changed inputs and competing requests.

use serde_json::json;
use streamer::tasks::claim::{Ended, Flow, Hooks};
use streamer::tasks::failure::Failure;
use streamer::tasks::process_data::Checkpoint;

use crate::place::{Caller, Place, TENANT, id, job, request, said, tenant, typed};

fn rows(count: usize) -> String {
    let rows: String = (0..count).map(|n| format!("{},{}\n", n % 17, n)).collect();
    format!("k,n\n{rows}")
}

fn operations() -> serde_json::Value {
    json!([{ "op": "deduplicate", "by": ["n"] }, { "op": "filter", "column": "k", "is": "ne", "value": 3 }])
}

/// Runs until the first checkpoint and stops there.
async fn stopped(place: &Place) -> Checkpoint {
    let mut caller = Caller {
        stop_at: Some(1),
        ..Caller::default()
    };
    let job = job("r1", 1, request("in.csv", operations(), "out.csv"));
    let ended = place.engine().run(&job, None, &mut caller).await.unwrap();
    assert!(matches!(ended, Ended::Stopped));
    assert_eq!(place.get("out.csv"), None, "nothing is seen before the end");
    caller.durable.unwrap()
}

/// One place of each kind.
fn small() -> [Place; 2] {
    Place::each().map(|place| {
        place.with(|options| (options.checkpoint_rows_max, options.chunk_bytes) = (10, 50))
    })
}

#[tokio::test]
async fn a_changed_input_ends_a_resumed_request() {
    for place in small() {
        place.put("in.csv", rows(50));
        let checkpoint = stopped(&place).await;
        assert_eq!((checkpoint.rows_in, checkpoint.line), (10, 12));
        place.put("in.csv", rows(51));
        let job = job("r1", 2, request("in.csv", operations(), "out.csv"));
        let failure = place
            .engine()
            .run(&job, Some(checkpoint), &mut Caller::default())
            .await
            .unwrap_err();
        assert_eq!(
            said(&failure),
            "changed: the input `in.csv` was changed while it was being processed"
        );
        assert_eq!(
            (failure.is_retryable(), failure.details()),
            (false, json!({ "input": "in.csv" }))
        );
    }
}

#[tokio::test]
async fn an_input_changed_under_a_running_claim_ends_it() {
    struct Changing<'a>(&'a Place);
    impl Hooks<Checkpoint> for Changing<'_> {
        async fn progress(&mut self, _: f64, _: &str) -> Flow {
            Flow::Continue
        }
        async fn checkpoint(&mut self, _: &Checkpoint) -> Flow {
            self.0.put("in.csv", rows(80));
            Flow::Continue
        }
        async fn commit(&mut self) -> Flow {
            Flow::Continue
        }
    }
    for place in small() {
        place.put("in.csv", rows(50));
        let job = job("r1", 1, request("in.csv", operations(), "out.csv"));
        let failure = place
            .engine()
            .run(&job, None, &mut Changing(&place))
            .await
            .unwrap_err();
        assert!(matches!(failure, Failure::InputChanged(_)), "{failure}");
        assert_eq!(place.get("out.csv"), None);
    }
}

#[tokio::test]
async fn lost_or_damaged_work_is_done_again_from_the_beginning() {
    for damage in [
        "cut the part",
        "lose the part",
        "lose the state",
        "damage the state",
    ] {
        for place in small() {
            place.put("in.csv", rows(50));
            let checkpoint = stopped(&place).await;
            let state_at = format!("work/r1/{}", checkpoint.state);
            match damage {
                "cut the part" => place.put_at("work/r1/part-1-0", "k"),
                "lose the part" => place.remove_at("work/r1/part-1-0"),
                "lose the state" => place.remove_at(&state_at),
                _ => {
                    let mut state = place.get_at(&state_at).unwrap();
                    state[3] ^= 1;
                    place.put_at(&state_at, state);
                }
            }
            let job = job("r1", 2, request("in.csv", operations(), "out.csv"));
            let ended = place
                .engine()
                .run(&job, Some(checkpoint), &mut Caller::default())
                .await
                .unwrap();
            let Ended::Finished(outcome) = ended else {
                panic!("stopped")
            };
            assert_eq!((outcome.rows_in, outcome.rows_out), (50, 47), "{damage}");
            assert_eq!(
                place.get("out.csv").unwrap().lines().count(),
                48,
                "{damage}"
            );
        }
    }
}

#[tokio::test]
async fn an_output_name_is_reserved_until_its_request_ends() {
    for place in small() {
        place.put("in.csv", rows(50));
        let checkpoint = stopped(&place).await;
        let asked = request("in.csv", json!([]), "out.csv");
        let conflict = "conflict: the output `out.csv` is being written by another request";
        let checked = place
            .engine()
            .precheck(&tenant(), &typed(asked.clone()))
            .await;
        assert_eq!(
            checked.map_err(|failure| said(&failure)),
            Err(conflict.to_owned())
        );
        let rival = job("r2", 1, asked);
        let lost = place
            .engine()
            .run(&rival, None, &mut Caller::default())
            .await
            .unwrap_err();
        assert_eq!(said(&lost), conflict);
        place.engine().abandon(&id("r2")).await.unwrap();

        let mut left = place.objects().unfinished().await.unwrap();
        left.sort_by_key(|id| id.as_str().to_owned());
        assert_eq!(left, vec![id("r1")]);
        let own = job("r1", 2, request("in.csv", operations(), "out.csv"));
        place
            .engine()
            .run(&own, Some(checkpoint), &mut Caller::default())
            .await
            .unwrap();
        place.engine().abandon(&id("r1")).await.unwrap();
        place.engine().abandon(&id("r1")).await.unwrap();
        assert_eq!(place.work(), Vec::<String>::new());
        let now = place
            .engine()
            .run(&rival, None, &mut Caller::default())
            .await
            .unwrap_err();
        assert_eq!(
            said(&now),
            "conflict: the output `out.csv` exists, and `overwrite` is not set"
        );
    }
}

#[tokio::test]
async fn an_abandoned_request_frees_its_name_and_leaves_nothing() {
    for place in small() {
        place.put("in.csv", rows(50));
        stopped(&place).await;
        place.engine().abandon(&id("r1")).await.unwrap();
        assert_eq!(place.work(), Vec::<String>::new());
        let other = job("r2", 1, request("in.csv", json!([]), "out.csv"));
        place
            .engine()
            .run(&other, None, &mut Caller::default())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_run_that_must_stop_before_it_publishes_leaves_no_output() {
    for place in small() {
        place.put("in.csv", rows(50));
        let asked = request("in.csv", operations(), "out.csv");
        // The second finds what the first was about to publish.
        for claim in 1..=2 {
            let mut caller = Caller {
                refuses_commit: true,
                ..Caller::default()
            };
            let job = job("r1", claim, asked.clone());
            let ended = place.engine().run(&job, None, &mut caller).await.unwrap();
            assert!(matches!(ended, Ended::Stopped), "{ended:?}");
            assert_eq!(place.get("out.csv"), None);
        }
        place.engine().abandon(&id("r1")).await.unwrap();
        assert_eq!(place.work(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_output_that_appears_meanwhile_is_a_conflict_and_stays() {
    for place in small() {
        place.put("in.csv", rows(50));
        let checkpoint = stopped(&place).await;
        place.put("out.csv", "theirs");
        let own = job("r1", 2, request("in.csv", operations(), "out.csv"));
        let failure = place
            .engine()
            .run(&own, Some(checkpoint), &mut Caller::default())
            .await
            .unwrap_err();
        assert_eq!(
            said(&failure),
            "conflict: the output `out.csv` exists, and `overwrite` is not set"
        );
        assert_eq!(place.get("out.csv").as_deref(), Some("theirs"));
    }
}

#[tokio::test]
async fn progress_never_goes_back_within_a_claim() {
    let place = Place::new().with(|options| options.chunk_bytes = 64);
    place.put("in.csv", rows(500));
    let mut caller = Caller::default();
    let job = job("r1", 1, request("in.csv", operations(), "out.csv"));
    place.engine().run(&job, None, &mut caller).await.unwrap();
    assert!(caller.percentages.is_sorted(), "{:?}", caller.percentages);
    assert!(
        caller
            .percentages
            .iter()
            .all(|percent| (0.0..=100.0).contains(percent))
    );
}

#[tokio::test]
async fn a_claim_after_the_output_was_published_only_tells_the_outcome() {
    for (overwrite, place) in [false, true]
        .into_iter()
        .flat_map(|overwrite| small().map(|place| (overwrite, place)))
    {
        place.put("in.csv", rows(50));
        let output = json!({ "name": "out.csv", "overwrite": overwrite });
        let request = json!({ "input": "in.csv", "operations": operations(), "output": output });
        let first = place.run(request.clone()).await.unwrap();
        // The name is free for others from here on, and the input may go.
        place.remove_at(&format!("objects/{TENANT}/in.csv"));
        place.put("out.csv", "of a later request");
        let again = job("r1", 2, request);
        let ended = place
            .engine()
            .run(&again, None, &mut Caller::default())
            .await
            .unwrap();
        let Ended::Finished(again) = ended else {
            panic!("stopped")
        };
        assert_eq!(json!(again), json!(first));
        assert_eq!(place.get("out.csv").as_deref(), Some("of a later request"));
    }
}
