//! Names that try to leave the tenant's folder, and the checks before an acknowledgment.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;
use streamer::objects::{ObjectName, Tenant, WorkId};

use crate::place::{Caller, Place, TENANT, id, job, request, said, tenant, typed};

#[test]
fn attacks_are_no_names() {
    let long = format!("{}.csv", "x".repeat(200));
    let deep = "a/".repeat(8) + "b.csv";
    let whole = format!("{}b.csv", "abcdefg/".repeat(80));
    for attack in [
        "",
        ".",
        "..",
        "/",
        "/etc/passwd",
        "../x.csv",
        "a/../../x.csv",
        "a/..",
        "a//b.csv",
        "a/",
        "./a.csv",
        "a\\b.csv",
        "..\\x.csv",
        "a\0.csv",
        "a\n.csv",
        "a\t.csv",
        "\u{7f}.csv",
        "%2e%2e/x.csv",
        "a%2fb.csv",
        "~/x.csv",
        "a#1",
        "a.csv#1",
        ".hidden.csv",
        "a/.b.csv",
        "a./b.csv",
        " a.csv",
        "a.csv ",
        "a .csv/ b",
        "C:\\x.csv",
        "a?b.csv",
        "a*b.csv",
        "a|b.csv",
        "a<b.csv",
        "\u{202e}vsc.a",
        "a\u{200b}.csv",
        "a\u{2044}b.csv",
        &long,
        &deep,
        &whole,
    ] {
        assert!(ObjectName::parse(attack).is_err(), "accepted {attack:?}");
    }
    for fine in [
        "a.csv",
        "a/b/c.ndjson",
        "données 2026.csv",
        "注文.csv",
        "a-b_c+d=e@f,g(h):i'j&k!.csv",
        "a..b.csv",
        "-rf.csv",
    ] {
        assert!(ObjectName::parse(fine).is_ok(), "refused {fine:?}");
    }
}

#[test]
fn tenants_and_work_ids_are_folder_names() {
    let long = "t".repeat(129);
    for bad in ["", ".", "..", "a/b", "a\\b", "a b", "é", "a\0", &long] {
        assert_eq!(Tenant::parse(bad), None, "accepted {bad:?}");
    }
    for fine in [
        "acme",
        "a|b",
        "user@example.com",
        "...",
        "-",
        "auth0|123=+:_",
        &long[..128],
    ] {
        assert!(Tenant::parse(fine).is_some(), "refused {fine:?}");
    }
    for bad in ["", ".", "..", ".names", "a/b", "a.b"] {
        assert_eq!(WorkId::parse(bad), None, "accepted {bad:?}");
    }
}

async fn precheck(place: &Place, request: serde_json::Value) -> Result<(), String> {
    place
        .engine()
        .precheck(&tenant(), &typed(request))
        .await
        .map_err(|failure| said(&failure))
}

#[tokio::test]
async fn precheck_tells_bad_names_missing_inputs_and_taken_outputs_apart() {
    for place in Place::each() {
        place.put("in.csv", "a\n1\n");
        place.put("old.csv", "a\n");
        place.put("empty.csv", "");
        place.put("folder.csv/below.csv", "a\n");
        let none = json!([]);
        let overwrite = json!({ "input": "in.csv", "operations": [], "output": { "name": "old.csv", "overwrite": true } });
        for (request, expected) in [
            (request("in.csv", none.clone(), "out.csv"), Ok(())),
            (overwrite, Ok(())),
            (
                request("in.csv", none.clone(), "old.csv"),
                Err("conflict: the output `old.csv` exists, and `overwrite` is not set"),
            ),
            (
                request("in.csv", none.clone(), "folder.csv"),
                Err("conflict: the output `folder.csv` is in the way of a folder, or is one"),
            ),
            (
                request("in.csv", none.clone(), "in.csv/out.csv"),
                Err("conflict: the output `in.csv/out.csv` is in the way of a folder, or is one"),
            ),
            (
                request("no.csv", none.clone(), "out.csv"),
                Err("not found: there is no object `no.csv`"),
            ),
            (
                request("folder.csv", none.clone(), "out.csv"),
                Err("not found: there is no object `folder.csv`"),
            ),
            (
                request("in.csv/x.csv", none.clone(), "out.csv"),
                Err("not found: there is no object `in.csv/x.csv`"),
            ),
            (
                request("in.csv", none.clone(), "in.csv"),
                Err("invalid /payload/output/name: is the name of the input"),
            ),
            (
                request("../in.csv", none.clone(), "out.txt"),
                Err(
                    "invalid /payload/input: has a segment that starts or ends with a dot or a space; \
                     /payload/output/name: does not end in `.csv`, `.ndjson` or `.jsonl`",
                ),
            ),
            (
                request("empty.csv", none, "out.csv"),
                Err(
                    "invalid /payload/input: line 1: a CSV starts with a header, and this is empty",
                ),
            ),
        ] {
            let got = precheck(&place, request.clone()).await;
            assert_eq!(got, expected.map_err(str::to_owned), "{request}");
        }
        assert_eq!(place.work(), Vec::<String>::new(), "a check writes nothing");
    }
}

#[tokio::test]
async fn symbolic_links_lead_nowhere_outside() {
    let place = Place::new();
    let outside = place.root().join("secret");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("in.csv"), "a\n1\n").unwrap();
    place.put("real/in.csv", "a\n1\n");
    symlink(&outside, place.path("way")).unwrap();
    symlink(outside.join("in.csv"), place.path("leaf.csv")).unwrap();
    symlink("loop.csv", place.path("loop.csv")).unwrap();
    symlink(outside.join("new.csv"), place.path("dangling.csv")).unwrap();
    symlink("real", place.path("inside")).unwrap();
    let other = place.root().join("objects").join("other");
    symlink(place.root().join("objects").join(TENANT), &other).unwrap();

    for input in ["way/in.csv", "leaf.csv", "loop.csv", "dangling.csv"] {
        let got = precheck(&place, request(input, json!([]), "out.csv")).await;
        assert_eq!(got, Err(format!("not found: there is no object `{input}`")));
    }
    for output in ["way/out.csv", "leaf.csv", "loop.csv", "dangling.csv"] {
        let overwrite = json!({ "input": "real/in.csv", "operations": [], "output": { "name": output, "overwrite": true } });
        let expected = "invalid /payload/output/name: leads out of the tenant's folder";
        assert_eq!(
            precheck(&place, overwrite.clone()).await,
            Err(expected.to_owned()),
            "{output}"
        );
        let ran = place.run(overwrite).await.map_err(|failure| said(&failure));
        assert_eq!(ran.err(), Some(expected.to_owned()), "{output}");
        place.engine().abandon(&id("r1")).await.unwrap();
    }
    assert_eq!(
        fs::read_dir(&outside).unwrap().count(),
        1,
        "nothing was written outside"
    );
    assert_eq!(
        precheck(
            &place,
            request("inside/in.csv", json!([]), "inside/out.csv")
        )
        .await,
        Ok(())
    );
    let others = place
        .engine()
        .precheck(
            &Tenant::parse("other").unwrap(),
            &typed(request("real/in.csv", json!([]), "o.csv")),
        )
        .await;
    assert_eq!(
        others.map_err(|f| said(&f)),
        Err("not found: there is no object `real/in.csv`".to_owned())
    );
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let place = Place::new();
    place.put("in.csv", "a\n1\n");
    let other = Tenant::parse("acme|2").unwrap();
    let check = place
        .engine()
        .precheck(&other, &typed(request("in.csv", json!([]), "out.csv")))
        .await;
    assert_eq!(
        check.map_err(|f| said(&f)),
        Err("not found: there is no object `in.csv`".to_owned())
    );
    fs::create_dir(place.root().join("objects/acme|2")).unwrap();
    fs::write(place.root().join("objects/acme|2/in.csv"), "b\n2\n").unwrap();
    let mut job = job("r9", 1, request("in.csv", json!([]), "out.csv"));
    job.tenant = other;
    place
        .engine()
        .run(&job, None, &mut Caller::default())
        .await
        .unwrap();
    assert_eq!(
        fs::read_to_string(place.root().join("objects/acme|2/out.csv")).unwrap(),
        "b\n2\n"
    );
    assert_eq!(place.get("out.csv"), None);
}
