//! What only a bucket has: tags instead of times, names below names, many processes, no folders.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use serde_json::json;
use streamer::objects::Objects;
use streamer::tasks::claim::Ended;
use streamer::tasks::failure::Failure;
use streamer::tasks::process_data::{Engine, Options};
use tokio::task::JoinSet;

use crate::place::{Caller, Place, id, job, request, said, tenant, typed};

#[tokio::test]
async fn an_object_of_the_same_size_and_second_is_another_version() {
    let place = Place::bucket().with(|options| options.checkpoint_rows_max = 2);
    place.put("in.csv", "a\n1\n2\n3\n4\n");
    let mut caller = Caller {
        stop_at: Some(1),
        ..Caller::default()
    };
    let asked = request("in.csv", json!([]), "out.csv");
    let stopped = place
        .engine()
        .run(&job("r1", 1, asked.clone()), None, &mut caller)
        .await;
    assert!(matches!(stopped, Ok(Ended::Stopped)), "{stopped:?}");
    place.put("in.csv", "a\n1\n2\n3\n5\n");
    let again = place
        .engine()
        .run(&job("r1", 2, asked), caller.durable.clone(), &mut caller)
        .await;
    assert!(matches!(again, Err(Failure::InputChanged(_))), "{again:?}");
}

#[tokio::test]
async fn an_object_is_one_whatever_lies_above_and_below_its_name() {
    let place = Place::bucket();
    // As other programs may put them there: no file system could hold all three.
    for name in ["a.csv", "a.csv/b.csv", "a.csv/b.csv/c.csv"] {
        place.put(name, "a\n1\n");
    }
    for (n, input) in ["a.csv", "a.csv/b.csv", "a.csv/b.csv/c.csv"]
        .into_iter()
        .enumerate()
    {
        let output = format!("out-{n}.csv");
        let asked = job(&format!("r{n}"), 1, request(input, json!([]), &output));
        let ended = place
            .engine()
            .run(&asked, None, &mut Caller::default())
            .await;
        assert!(matches!(ended, Ok(Ended::Finished(_))), "{input}");
        assert_eq!(place.get(&output).as_deref(), Some("a\n1\n"));
    }
    for output in ["a.csv/new.csv", "a.csv/b.csv/c.csv/new.csv"] {
        let asked = typed(request("out-0.csv", json!([]), output));
        let checked = place.engine().precheck(&tenant(), &asked).await;
        assert_eq!(
            checked.map_err(|failure| said(&failure)),
            Err(format!(
                "conflict: the output `{output}` is in the way of a folder, or is one"
            ))
        );
    }
    let beside = typed(request("out-0.csv", json!([]), "a.csvx.csv"));
    place.engine().precheck(&tenant(), &beside).await.unwrap();
}

#[tokio::test]
async fn work_of_a_request_whose_id_begins_like_another_one_stays() {
    let place = Place::bucket();
    place.put_at("work/r1/part-1-0", "mine");
    place.put_at("work/r10/part-1-0", "theirs");
    place.engine().abandon(&id("r1")).await.unwrap();
    assert_eq!(place.work(), ["work/r10/part-1-0"]);
    assert_eq!(place.objects().unfinished().await.unwrap(), [id("r10")]);
}

#[tokio::test]
async fn everything_lies_below_the_prefix() {
    let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let objects = Objects::below(Arc::clone(&bucket), Path::from("of/streamer"));
    let place = Path::parse("of/streamer/objects/acme/in.csv").unwrap();
    let put = bucket.put_opts(&place, "a\n1\n".into(), object_store::PutOptions::default());
    put.await.unwrap();
    let engine = Engine::new(objects.clone(), Options::default());
    let asked = job("r1", 1, request("in.csv", json!([]), "x/out.csv"));
    let mut caller = Caller::default();
    let ended = engine.run(&asked, None, &mut caller).await.unwrap();
    assert!(matches!(ended, Ended::Finished(_)));
    assert_eq!(objects.unfinished().await.unwrap(), [id("r1")]);
    engine.abandon(&id("r1")).await.unwrap();
    assert_eq!(objects.unfinished().await.unwrap(), []);
    let folder = Path::from("of/streamer/objects/acme");
    let listed = bucket.list_with_delimiter(Some(&folder)).await.unwrap();
    assert_eq!(listed.objects.len(), 1);
    assert_eq!(listed.common_prefixes, [folder.join("x")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_processes_that_want_a_name_one_gets_it_and_the_next_when_it_is_free() {
    const RIVALS: usize = 16;
    let place = Place::bucket();
    place.put("in.csv", "a\n1\n");
    for round in 0..4 {
        let mut rivals = JoinSet::new();
        for n in 0..RIVALS {
            // Each has its own `Objects`, as each process would: nothing but the bucket is shared.
            let engine = place.engine();
            let output = json!({ "name": "out.csv", "overwrite": true });
            let asked = json!({ "input": "in.csv", "operations": [], "output": output });
            let asked = job(&format!("r{round}-{n}"), 1, asked);
            rivals.spawn(async move {
                let mut caller = Caller {
                    refuses_commit: true,
                    ..Caller::default()
                };
                engine.run(&asked, None, &mut caller).await
            });
        }
        let ended = rivals.join_all().await;
        let won = ended.iter().filter(|ended| ended.is_ok()).count();
        let refused = ended
            .iter()
            .filter(|ended| matches!(ended, Err(Failure::Conflict { .. })));
        assert_eq!((won, refused.count()), (1, RIVALS - 1), "{ended:?}");
        for n in 0..RIVALS {
            place
                .engine()
                .abandon(&id(&format!("r{round}-{n}")))
                .await
                .unwrap();
        }
        assert_eq!(place.work(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_output_larger_than_one_part_is_published_and_one_of_a_stranger_stays() {
    let place = Place::bucket();
    let row = "x".repeat(1 << 16);
    let large = format!("a\n{}", format!("{row}\n").repeat(160));
    place.put("in.csv", &large);
    let asked = request("in.csv", json!([]), "out.csv");
    let outcome = place.run(asked.clone()).await.unwrap();
    assert_eq!(outcome.bytes, large.len() as u64);
    assert!(place.get("out.csv").unwrap() == large);
    place.engine().abandon(&id("r1")).await.unwrap();

    // Announced, not yet published; then somebody puts as many other bytes there.
    place.remove_at("objects/acme/out.csv");
    let mut caller = Caller {
        refuses_commit: true,
        ..Caller::default()
    };
    let second = job("r2", 1, asked.clone());
    place
        .engine()
        .run(&second, None, &mut caller)
        .await
        .unwrap();
    let theirs = large.replace('x', "y");
    place.put("out.csv", &theirs);
    let later = job("r2", 2, asked);
    let refused = place
        .engine()
        .run(&later, None, &mut Caller::default())
        .await
        .unwrap_err();
    assert!(matches!(refused, Failure::Conflict { .. }), "{refused}");
    assert!(place.get("out.csv").unwrap() == theirs);
}
