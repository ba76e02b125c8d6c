//! A template that has functions and no API. Out: that they can be invoked until Ctrl-C, and where.

use crate::running::{Running, Shown, project};

const TEMPLATE: &str = r#"
[function.work]
runtime = "python3.12"
handler = "app.handler"
code = "code"
[function.other]
runtime = "python3.12"
handler = "app.handler"
code = "code"
"#;

const CODE: &str = "
def handler(event, context):
    return [context.function_name, event]
";

fn home() -> tempfile::TempDir {
    project(&[("lift.toml", TEMPLATE), ("code/app.py", CODE)])
}

const INVOKE: &str = "/2015-03-31/functions/work/invocations";

#[tokio::test(flavor = "multi_thread")]
async fn functions_without_an_api_are_invoked_until_it_is_stopped() {
    let home = home();
    let mut running = Running::start(&home.path().join("lift.toml"), &[]).await;
    let authority = running.authority().to_owned();
    assert_eq!(running.urls, [format!("http://{authority}{INVOKE}")]);
    let second = running.line(|line| line["function"] == "other").await;
    let url = second["invoke_url"].as_str().unwrap();
    assert_eq!(
        url,
        format!("http://{authority}{}", INVOKE.replace("work", "other"))
    );

    let (status, said) = running.http("POST", INVOKE, "7").await;
    assert_eq!((status, said.as_str()), (200, r#"["work", 7]"#));
    running.set_faults(3, &["cold-start=10ms"]).await;
    assert_eq!(running.http("GET", "/dev", "").await.0, 403);
    assert_eq!(running.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_told_where_functions_without_an_api_are_invoked() {
    let home = home();
    let mut shown = Shown::start(&home, &["--quiet"]);
    for function in ["work", "other"] {
        let line = shown.line().await;
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some(function), "{line}");
        let url = words.next().unwrap();
        let path = INVOKE.replace("work", function);
        assert!(
            url.starts_with("http://127.0.0.1:") && url.ends_with(&path),
            "{line}"
        );
    }
}
