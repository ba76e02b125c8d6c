//! `demo`: walks the main job through on its own: serve, process, cut, `kill -9`, restart, resume,
//! and checks the result row for row. What failed comes out, or nothing.

mod child;
mod reference;

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::json;
use streamer::auth::{Keys, MintRequest, mint};
use streamer_client::Client;
use streamer_client::options::{Options, Terms, Token};
use streamer_client::request::{Outcome, Output, Request, Submitted, Update};

use crate::args::Demo;
use child::Child;

const SEED: u64 = 7;
const INPUT: &str = "orders.csv";
const OUTPUT: &str = "clean.csv";
/// The connection is cut once the task is this far, the server killed once it is that far.
const CUT_AT: f64 = 20.0;
const KILL_AT: f64 = 45.0;
const PATIENCE: Duration = Duration::from_secs(300);

/// What the task says when it is done.
#[derive(Debug, Deserialize)]
struct Summary {
    rows_in: u64,
    rows_out: u64,
    bytes: u64,
}

pub(crate) async fn run(demo: &Demo) -> anyhow::Result<()> {
    let started = Instant::now();
    let dir = tempfile::tempdir().context("no temporary directory")?;
    let objects = dir.path().join("objects/acme");
    std::fs::create_dir_all(&objects)?;
    step(&format!("writing {} rows of orders to {INPUT}", demo.rows));
    generate(&objects.join(INPUT), demo.rows)?;

    step("starting the server, its data in a temporary directory");
    let mut server = Child::start(dir.path(), "127.0.0.1:0").await?;
    let url = server.url.clone();
    step(&format!(
        "connecting to {url} with a token of user ada of tenant acme"
    ));
    let client = connect(dir.path(), &url).await?;
    echo(&client).await?;
    let request = submit(&client).await?;
    step(&format!(
        "acknowledged, so it survives anything from here on: {}",
        request.id()
    ));

    let summary = tokio::time::timeout(PATIENCE, watch(&client, request, &mut server, dir.path()));
    let (summary, ends) = summary.await.context("the request did not end in time")??;
    ensure!(ends == 1, "the request ended {ends} times");

    step("comparing the result with one computed independently, row for row");
    let expected = reference::check(&objects.join(INPUT), &objects.join(OUTPUT))?;
    let bytes = std::fs::metadata(objects.join(OUTPUT))?.len();
    ensure!(
        summary.rows_in == demo.rows,
        "{} rows were read, not {}",
        summary.rows_in,
        demo.rows
    );
    ensure!(
        summary.rows_out == expected,
        "{} rows, expected {expected}",
        summary.rows_out
    );
    ensure!(
        summary.bytes == bytes,
        "the file has {bytes} bytes, the result says {}",
        summary.bytes
    );
    client.close().await;
    server.stop().await?;
    step(&format!(
        "done in {:.1} s: {} rows in, {expected} rows out, none missing, none twice, one `complete`",
        started.elapsed().as_secs_f64(),
        demo.rows
    ));
    Ok(())
}

fn step(text: &str) {
    eprintln!("· {text}");
}

fn generate(path: &Path, rows: u64) -> anyhow::Result<()> {
    let file = std::fs::File::create(path).context("the input cannot be written")?;
    let mut file = std::io::BufWriter::new(file);
    streamer::generate::generate_csv(rows, SEED, &mut file).context("the input cannot be written")
}

async fn connect(dir: &Path, url: &str) -> anyhow::Result<Client> {
    let keys = dir.join("keys");
    let token = Token::from_fn(move || {
        let keys = keys.clone();
        async move {
            let keys = Keys::open(&keys)?;
            #[expect(
                clippy::disallowed_methods,
                reason = "a demonstration mints its own tokens"
            )]
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
            let request = MintRequest {
                sub: "ada".to_owned(),
                tenant: Some("acme".to_owned()),
                permissions: None,
                issuer: None,
                audience: None,
                expires_in: Duration::from_secs(600),
                now_ms: u64::try_from(now.as_millis())?,
            };
            Ok(mint(&keys, &request)?)
        }
    });
    Client::connect(Options::new(url).token(token))
        .await
        .context("no connection")
}

async fn echo(client: &Client) -> anyhow::Result<()> {
    let sent = r#"{"hello":"world","exact":12345678901234567890.50}"#;
    let payload = serde_json::value::RawValue::from_string(sent.to_owned())?;
    let answer = client
        .call("echo", &payload, Terms::default())
        .await
        .context("no echo")?;
    ensure!(
        answer.get() == sent,
        "the echo was altered: {}",
        answer.get()
    );
    step(&format!("echo answered at once: {answer}"));
    Ok(())
}

async fn submit(client: &Client) -> anyhow::Result<Request> {
    let payload = json!({
        "input": INPUT,
        "operations": [
            {"op": "filter", "column": "quantity", "is": "ge", "value": 2},
            {"op": "deduplicate", "by": ["order_id"]},
            {"op": "select", "columns": ["order_id", "customer", "country", "product", "quantity"]},
        ],
        "output": {"name": OUTPUT},
    });
    step("submitting process_data: filter, deduplicate, select");
    match client
        .submit("process_data", &payload, Terms::default())
        .await?
    {
        Submitted::Accepted(request) => Ok(request),
        Submitted::Answered { .. } => bail!("process_data was answered at once"),
    }
}

/// Follows the request to its end, and gets in its way twice.
async fn watch(
    client: &Client,
    mut request: Request,
    server: &mut Child,
    dir: &Path,
) -> anyhow::Result<(Summary, u32)> {
    let style = ProgressStyle::with_template("  {bar:40} {percent:>3} %  {msg}")?;
    let bar = ProgressBar::new(1_000).with_style(style);
    let (mut cut, mut killed, mut ends) = (false, false, 0);
    let mut summary = None;
    while let Some(update) = request.next().await {
        match update {
            Update::Progress(progress) => {
                let percentage = progress.percentage.clamp(0.0, 100.0);
                let tenths = (1..=1_000_u32)
                    .take_while(|n| f64::from(*n) <= percentage * 10.0)
                    .count();
                bar.set_position(u64::try_from(tenths).unwrap_or(0));
                bar.set_message(progress.message);
                if percentage >= CUT_AT && !cut {
                    cut = true;
                    bar.suspend(|| step("cutting the connection without a close frame"));
                    client.cut().await;
                } else if percentage >= KILL_AT && !killed {
                    killed = true;
                    bar.suspend(|| step("kill -9 of the server, then starting it again"));
                    server.kill().await?;
                    let address = server.address.clone();
                    *server = Child::start(dir, &address).await?;
                }
            }
            Update::Resumed { recovered } => {
                ensure!(recovered, "the server could not say what was missed");
                bar.suspend(|| step("the client is back and has resumed its request"));
            }
            Update::Done(Outcome::Complete(Output::Inline(result))) => {
                ends += 1;
                summary = Some(serde_json::from_str(result.get()).context("the result")?);
            }
            Update::Done(other) => bail!("the request ended otherwise: {other:?}"),
        }
    }
    bar.finish_and_clear();
    ensure!(
        cut && killed,
        "the task was too quick to be interrupted: give more --rows"
    );
    Ok((summary.context("the request did not end")?, ends))
}
