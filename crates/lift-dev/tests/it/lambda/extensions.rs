//! In: functions with extensions, internal and external. Out: what these are told, and how they end.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use lift_dev::lambda::Settings;
use serde_json::json;

use super::{Run, function, raw};

const RUNTIME: &str = "
def end(*_):
    print('runtime SIGTERM')
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
while True:
    id, event, _ = next()
    answer(id, event)
";

fn run(runtime: &str, external: Option<&str>) -> Run {
    let directory = tempfile::tempdir().expect("a directory");
    let one = function(directory.path(), "one", "bootstrap", &raw(runtime));
    if let Some(external) = external {
        let path = one.code.join("extensions");
        fs::create_dir_all(&path).expect("a directory");
        fs::write(path.join("watcher"), raw(external)).expect("a file");
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(path.join("watcher"), mode).expect("its mode");
    }
    Run::new(directory, vec![one], Settings::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_internal_extension_without_events_brings_sigterm() {
    // What Rust's `spawn_graceful_shutdown_handler` does, and Go's `WithEnableSIGTERM`.
    let runtime = format!(
        "
name = {{'Lambda-Extension-Name': 'no-op'}}
response, body = extension('POST', 'register', '{{\"events\":null}}', name)
print('registered', response.status, body.decode())
me = {{'Lambda-Extension-Identifier': response.headers['Lambda-Extension-Identifier']}}
watch = lambda: extension('GET', 'event/next', None, me)
threading.Thread(target=watch, daemon=True).start()
{RUNTIME}"
    );
    let mut run = run(&runtime, None);
    for number in 0..3 {
        assert_eq!(run.invoke("one", json!(number)).await, Ok(json!(number)));
    }
    let body = r#"registered 200 {"functionName":"one","functionVersion":"$LATEST","handler":"bootstrap.handler"}"#;
    assert_eq!(run.line("registered").await, body);
    run.functions.shut_down().await;
    run.line("runtime SIGTERM").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_extension_hears_of_invocations_and_of_the_end() {
    let external = "
response, _ = extension('POST', 'register', '{\"events\":[\"INVOKE\",\"SHUTDOWN\"]}', {'Lambda-Extension-Name': 'watcher'})
me = {'Lambda-Extension-Identifier': response.headers['Lambda-Extension-Identifier']}
while True:
    _, body = extension('GET', 'event/next', None, me)
    event = json.loads(body)
    print('heard', event['eventType'], event.get('shutdownReason') or event['invokedFunctionArn'])
    if event['eventType'] == 'SHUTDOWN':
        sys.exit(0)
";
    let mut run = run(RUNTIME, Some(external));
    for number in 0..2 {
        assert_eq!(run.invoke("one", json!(number)).await, Ok(json!(number)));
        let heard = "heard INVOKE arn:aws:lambda:eu-central-1:123456789012:function:one";
        assert_eq!(run.line("heard").await, heard);
    }
    assert_eq!(run.count("one"), 1);
    run.functions.shut_down().await;
    let (mut heard, mut ended) = (false, false);
    while let Ok(entry) = run.feed.try_recv() {
        let text = format!("{entry:?}");
        heard |= text.contains("heard SHUTDOWN spindown");
        ended |= text.contains("runtime SIGTERM");
    }
    assert!(heard && ended, "SHUTDOWN {heard}, SIGTERM {ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_extension_there_is_no_sigterm() {
    let mut run = run(RUNTIME, None);
    assert_eq!(run.invoke("one", json!(1)).await, Ok(json!(1)));
    run.functions.shut_down().await;
    while let Ok(entry) = run.feed.try_recv() {
        assert!(!format!("{entry:?}").contains("SIGTERM"), "{entry:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn registrations_that_do_not_fit_are_refused() {
    let mut run = run(
        "
def register(name, events):
    headers = {'Lambda-Extension-Name': name} if name else {}
    response, body = extension('POST', 'register', json.dumps({'events': events}), headers)
    print('said', response.status, json.loads(body).get('errorType'))
    return response.headers['Lambda-Extension-Identifier']
register('', [])
register('a', ['DANCE'])
register('a', ['SHUTDOWN'])
me = register('a', [])
register('a', [])
for headers in ({}, {'Lambda-Extension-Identifier': 'who'}):
    response, body = extension('GET', 'event/next', None, headers)
    print('said', response.status, json.loads(body).get('errorType'))
threading.Thread(target=lambda: extension('GET', 'event/next', None, {'Lambda-Extension-Identifier': me}), daemon=True).start()
id, event, _ = next()
register('late', [])
answer(id, event)
next()
",
        None,
    );
    assert_eq!(run.invoke("one", json!(1)).await, Ok(json!(1)));
    let expected = [
        "said 403 Extension.InvalidExtensionName",
        "said 403 Extension.InvalidEventType",
        "said 403 ShutdownEventNotSupportedForInternalExtension",
        "said 200 None",
        "said 403 Extension.AlreadyRegistered",
        "said 403 Extension.MissingExtensionIdentifier",
        "said 403 Extension.UnknownExtensionIdentifier",
        "said 403 Extension.RegistrationClosed",
    ];
    for expected in expected {
        assert_eq!(run.line("said").await, expected);
    }
    run.functions.shut_down().await;
}
