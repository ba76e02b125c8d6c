//! A whole application: one handler that answers at once, one durable task with progress, a test.

use lift::app::App;
use lift::error::Error;
use lift::extract::Payload;
use lift::task::handle::{Stopped, Task};
use lift_server::server::{Options, Server, StartError};
use tokio_util::sync::CancellationToken;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Greet {
    name: String,
}

async fn greet(Payload(greet): Payload<Greet>) -> Result<String, Error> {
    Ok(format!("hello, {}", greet.name))
}

async fn count(Payload(to): Payload<u32>, task: Task) -> Result<u32, Stopped> {
    for n in task.resumed_from().unwrap_or(0)..to {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        task.progress(100.0 * f64::from(n) / f64::from(to), "counting")
            .await?;
        task.checkpoint(&(n + 1)).await?;
    }
    Ok(to)
}

fn app() -> App {
    // By its name clients such as `lift ws` know how to talk to it.
    let app = App::new().subprotocol("streamer.v1");
    app.on("greet", greet).task("count", count)
}

#[tokio::main]
async fn main() -> Result<(), StartError> {
    let address = ([127, 0, 0, 1], 7071).into();
    let server = Server::start(app(), address, Options::new(".hello")).await?;
    eprintln!("{}", server.url());
    let shutdown = CancellationToken::new();
    tokio::join!(server.run(shutdown.clone()), async {
        let _ = tokio::signal::ctrl_c().await;
        shutdown.cancel();
    });
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn counts_with_progress_while_it_greets() {
    let test = lift_server::test_app::TestApp::start(app());
    let mut ada = test.connect().await;
    let counting = ada.submit("count", 100.into()).await;
    assert_eq!(
        ada.call("greet", serde_json::json!({"name": "Ada"})).await,
        "hello, Ada"
    );
    let (result, percentages) = ada.completed(&counting).await;
    assert_eq!(result, 100);
    assert!(percentages.len() > 10);
}
