//! In: a client's frames at the gateway. Out: what functions behind it answer, or how they fail there.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use lift_dev::lambda::Settings;
use lift_dev::plan::{Api, Authorizer, Integration, Route};
use lift_gateway::{Gateway, RouteResponse, Rules};
use serde_json::Value;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use super::{Run, SOON, function};

const WHO: &str = "
def handler(event, context):
    if event['queryStringParameters']['token'] == 'none':
        raise Exception('Unauthorized')
    allowed = event['queryStringParameters']['token'] == 'good'
    statement = {'Action': 'execute-api:Invoke', 'Effect': 'Allow' if allowed else 'Deny', 'Resource': event['methodArn']}
    return {'principalId': 'me', 'policyDocument': {'Version': '2012-10-17', 'Statement': [statement]}, 'context': {'tenant': 't'}}
";

const CHAT: &str = "
def handler(event, context):
    request = event['requestContext']
    if event.get('body') == 'crash':
        raise SystemExit(1)
    return {'statusCode': 200, 'body': request['routeKey'] + ' ' + request['authorizer']['tenant']}
";

fn api() -> Api {
    let route = |key: &str, function: &str| Route {
        key: key.to_owned(),
        integration: Integration::Function(function.to_owned()),
        response: RouteResponse::TwoWay,
        timeout: None,
        rate: None,
    };
    Api {
        logical_id: "Chat".to_owned(),
        api_id: "abcdefghij".to_owned(),
        stage: "dev".to_owned(),
        stage_variables: Vec::new(),
        route_selection: "$request.body.action".to_owned(),
        routes: vec![route("$connect", "chat"), route("$default", "chat")],
        authorizer: Some(Authorizer {
            function: "who".to_owned(),
            identity_sources: Vec::new(),
        }),
        default_rate: None,
    }
}

/// Connects, says these messages one after another, and hears an answer to each.
async fn conversation(address: SocketAddr, token: &str, say: &[&str]) -> Result<Vec<String>, u16> {
    let url = format!("ws://{address}/?token={token}");
    let stream = tokio::net::TcpStream::connect(address).await;
    let opened = tokio_tungstenite::client_async(url, stream.expect("the gateway")).await;
    let (mut socket, _) = match opened {
        Ok(opened) => opened,
        Err(Error::Http(response)) => return Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    };
    let mut heard = Vec::new();
    for text in say {
        socket.send(Message::text(*text)).await.expect("a socket");
        let message = tokio::time::timeout(SOON, socket.next()).await;
        let message = message.expect("an answer").expect("a message");
        let text = message.expect("a message").into_text();
        heard.push(text.expect("text").to_string());
    }
    Ok(heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_answer_behind_the_gateway() {
    let directory = tempfile::tempdir().unwrap();
    let functions = ["who", "chat"].map(|name| {
        let text = if name == "who" { WHO } else { CHAT };
        function(directory.path(), name, "app.py", text)
    });
    let run = Run::new(directory, functions.to_vec(), Settings::default());
    let routes = ["$connect", "$default"].map(|key| {
        let route = lift_gateway::Route::default().two_way();
        (key.to_owned(), route)
    });
    let mut rules = Rules::default();
    rules.routes = routes.into();
    rules.authorizer = Some(lift_gateway::AuthorizerRules::default());
    let gateway = Gateway::new(rules, run.functions.integration(&api()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let talk = async {
        let heard = conversation(address, "good", &["hello", "crash", "again"])
            .await
            .unwrap();
        let error: Value = serde_json::from_str(&heard[1]).unwrap();
        let spoken = [heard[0].as_str(), heard[2].as_str()];
        assert_eq!(spoken, ["$default t", "$default t"]);
        assert_eq!(error["message"], "Internal server error");
        assert_eq!(conversation(address, "bad", &[]).await, Err(403));
        assert_eq!(conversation(address, "none", &[]).await, Err(401));
        shutdown.cancel();
    };
    let (served, ()) = tokio::join!(gateway.serve(listener, shutdown.clone()), talk);
    served.unwrap();
    run.functions.shut_down().await;
}
