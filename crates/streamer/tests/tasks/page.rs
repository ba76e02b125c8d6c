//! A report as a page: it needs nothing else, holds every figure, and nothing in it can be taken for markup.

use lift::error::Code;
use streamer::objects::Tenant;
use streamer::tasks::claim::{Ended, Job};
use streamer::tasks::generate_report::{GenerateReport, Options, Reports};

use crate::place::{Caller, id, objects};
use crate::report::{End, Requests, november, request};

async fn page(requests: &Requests, tenant: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let reports = Reports::new(objects(dir.path()), Options::default());
    let asked = request("2026-11-01", "2026-11-30", "november.html");
    let request: GenerateReport = serde_json::from_value(asked).unwrap();
    let job = Job {
        tenant: Tenant::parse(tenant).unwrap(),
        request_id: id("r1"),
        claim: 1,
        request,
    };
    let ended = reports
        .run(&job, &requests.of(tenant), None, &mut Caller::default())
        .await;
    let Ok(Ended::Finished(outcome)) = ended else {
        panic!("{ended:?}")
    };
    let path = dir.path().join("objects").join(tenant).join(outcome.output);
    let page = std::fs::read_to_string(path).unwrap();
    assert_eq!(outcome.bytes, page.len() as u64);
    page
}

/// The names of all elements, in order, after a check that they nest.
fn elements(page: &str) -> Vec<String> {
    const VOID: [&str; 5] = ["meta", "line", "rect", "polyline", "!doctype"];
    let (mut names, mut open) = (Vec::new(), Vec::new());
    for tag in page.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        let name = tag
            .split([' ', '/', '\n'])
            .find(|part| !part.is_empty())
            .unwrap()
            .to_owned();
        if tag.starts_with('/') {
            assert_eq!(
                open.pop().as_ref(),
                Some(&name),
                "</{name}> closes what is open"
            );
            continue;
        }
        if !VOID.contains(&name.as_str()) {
            open.push(name.clone());
        }
        names.push(name);
    }
    assert_eq!(open, Vec::<String>::new());
    names
}

#[tokio::test]
async fn a_page_stands_alone() {
    let page = page(&november().await, "acme").await;
    let elements = elements(&page);
    for forbidden in ["script", "link", "img", "iframe", "object", "form", "a"] {
        assert!(
            !elements.iter().any(|name| name == forbidden),
            "<{forbidden}>"
        );
    }
    for forbidden in ["http:", "https:", "url(", "@import", "javascript:", " on"] {
        let found = page
            .split(forbidden)
            .nth(1)
            .map(|rest| rest.chars().take(12).collect::<String>());
        let only_words =
            forbidden == " on" && found.as_deref().is_none_or(|rest| !rest.contains('='));
        assert!(found.is_none() || only_words, "{forbidden}{found:?}");
    }
    assert!(page.contains("default-src 'none'"));
    assert!(page.contains("width=device-width") && page.contains("prefers-color-scheme: dark"));
    assert_eq!(elements.iter().filter(|name| *name == "svg").count(), 2);
    assert_eq!(
        elements.iter().filter(|name| *name == "rect").count(),
        2 + 3 + 1
    );
}

#[tokio::test]
async fn a_page_has_the_figures() {
    let page = page(&november().await, "acme").await;
    for text in [
        "<h1>Requests of acme</h1>",
        "<dt>requests</dt><dd>25</dd>",
        "<dt>of those ended</dt><dd>8.3 %</dd>",
        "<title>2026-11-01: 21 requests, 20 completed, 1 failed, 0 cancelled, 0 open</title>",
        "<tr><th scope=\"row\">TASK_FAILED</th><td>1</td></tr>",
        "<tr><th scope=\"row\">2026-11-02</th><th scope=\"row\">bulk_operation</th><td>2</td><td>0</td><td>0</td>\
         <td>1</td><td>1</td><td>70 ms</td><td>70 ms</td><td>70 ms</td><td>70 ms</td></tr>",
    ] {
        assert!(page.contains(text), "{text}\nis not in\n{page}");
    }
    for other in ["secret", "payload", "user0", "user1", "user2"] {
        assert!(!page.contains(other), "{other}");
    }
}

#[tokio::test]
async fn an_action_that_looks_like_markup_is_text() {
    let mut requests = Requests::new();
    let action = "<script>alert(\"1\")</script>'&";
    requests
        .add("acme", action, 0, 1, End::Failed(Code::Timeout))
        .await;
    let page = page(&requests, "acme").await;
    assert!(!elements(&page).iter().any(|name| name == "script"));
    let shown = "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39;&amp;";
    assert_eq!(
        page.matches(shown).count(),
        2,
        "by action, and by day and action"
    );
}

#[tokio::test]
async fn a_time_without_requests_is_a_page_too() {
    let page = page(&november().await, "nobody").await;
    assert!(
        page.contains("<p>None.</p>") && page.contains("<dd>–</dd>"),
        "{page}"
    );
    elements(&page);
}
