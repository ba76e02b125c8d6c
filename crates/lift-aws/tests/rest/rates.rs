//! In: takes from buckets, by one process and by two. Out: whether more pass than may, and what they cost.

use std::sync::Arc;
use std::time::Duration;

use lift::clock::Timestamp;
use lift::error::StoreError;
use lift::id::Owner;
use lift::rate::{Rate, Rates, Scope, conformance};
use lift_aws::dynamodb::DynamoRates;
use lift_aws_client::clock::ServerClock;
use lift_aws_client::dynamodb::Client;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::{REGION, aws, credentials, dynamodb, recorder};
use crate::tables::table;

const TABLE: &str = "RatesTable";
const START: Timestamp = Timestamp::from_millis(1_750_000_000_000);

fn ann() -> Scope {
    Scope::User(Owner::new("acme", "ann").unwrap())
}

fn rate(text: &str) -> Rate {
    text.parse().unwrap()
}

/// How many of so many takes at once pass, at each of two processes.
async fn passed(processes: &[Arc<DynamoRates>], each: usize, rate: Rate, now: Timestamp) -> usize {
    let mut taking = JoinSet::new();
    for process in processes {
        for _ in 0..each {
            let process = Arc::clone(process);
            taking.spawn(async move { process.take(&[(ann(), rate)], now).await.unwrap().is_ok() });
        }
    }
    let passed = taking.join_all().await;
    passed.into_iter().filter(|passed| *passed).count()
}

#[tokio::test]
async fn rates_in_dynamodb_keep_every_promise() {
    let Some(client) = dynamodb().await else {
        return;
    };
    conformance::run_all(async || {
        let table = table(&client, TABLE).await;
        Arc::new(DynamoRates::new(client.clone(), table)) as Arc<dyn Rates>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_together_pass_the_burst_and_then_the_rate() {
    let Some(client) = dynamodb().await else {
        return;
    };
    for (limit, flows_in) in [("20/s:40", 10), ("6/s:7", 3), ("200/s:100", 100)] {
        let table = table(&client, TABLE).await;
        let processes = [(); 2].map(|()| Arc::new(DynamoRates::new(client.clone(), table.clone())));
        let rate = rate(limit);
        let burst = rate.burst.get() as usize;
        let at_once = passed(&processes, burst + 10, rate, START).await;
        assert_eq!(at_once, burst, "{limit}");
        for half_seconds in 1..=6_u64 {
            let now = START + Duration::from_millis(500 * half_seconds);
            let passed = passed(&processes, flows_in + 10, rate, now).await;
            assert_eq!(
                passed, flows_in,
                "{limit} after {half_seconds} half seconds"
            );
        }
    }
}

#[tokio::test]
async fn a_lease_is_spent_without_the_store_for_a_second() {
    let Some(client) = dynamodb().await else {
        return;
    };
    let table = table(&client, TABLE).await;
    let (through, seen, _server) = recorder(&client).await;
    let rates = DynamoRates::new(through, table);
    let scopes = [(ann(), rate("100/s:80"))];
    let take = async |millis: u64| {
        let now = START + Duration::from_millis(millis);
        rates.take(&scopes, now).await.unwrap().unwrap();
        seen.take().len()
    };
    // The row is not there yet: the first write fails its condition.
    assert_eq!(take(0).await, 2);
    for n in 1..10 {
        assert_eq!(take(n * 100).await, 0, "{n}");
    }
    assert_eq!(take(999).await, 2, "what was leased is spent");
    assert_eq!(take(1_998).await, 0);
    assert_eq!(take(1_999).await, 2, "what was leased has ended");
}

#[tokio::test]
async fn a_lease_is_added_to_what_others_took_in_one_write() {
    let Some(client) = dynamodb().await else {
        return;
    };
    let table = table(&client, TABLE).await;
    let (through, seen, _server) = recorder(&client).await;
    let scopes = [(ann(), rate("10/s:80"))];
    for (n, expected) in [(0, 2), (1, 1), (2, 1)] {
        let process = DynamoRates::new(through.clone(), table.clone());
        process.take(&scopes, START).await.unwrap().unwrap();
        assert_eq!(seen.take(), vec!["UpdateItem"; expected], "process {n}");
    }
}

#[tokio::test]
async fn who_has_to_wait_costs_the_store_nothing_until_then() {
    let Some(client) = dynamodb().await else {
        return;
    };
    let table = table(&client, TABLE).await;
    let (through, seen, _server) = recorder(&client).await;
    let rates = DynamoRates::new(through, table);
    let scopes = [(ann(), rate("2/s:1"))];
    for (millis, expected, calls) in [
        (0, Ok(()), 2),
        (0, Err(500), 1),
        (1, Err(499), 0),
        (499, Err(1), 0),
        (500, Ok(()), 1),
    ] {
        let now = START + Duration::from_millis(millis);
        let taken = rates.take(&scopes, now).await.unwrap();
        assert_eq!(taken, expected.map_err(Duration::from_millis), "{millis}");
        assert_eq!(seen.take().len(), calls, "{millis}");
    }
}

#[tokio::test]
async fn a_store_that_cannot_answer_opens_no_door() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new(&url, REGION, credentials()).unwrap();
    let rates = DynamoRates::new(client, "rates");
    let scopes = [(ann(), rate("10/s"))];
    let taken = rates.take(&scopes, START);
    let error = taken.await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn a_clock_that_is_five_minutes_off_takes_no_tokens_of_the_future() {
    let Some(client) = dynamodb().await else {
        return;
    };
    let limit = [(ann(), rate("5/s:10"))];
    for wrong_ms in [-300_000, 300_000] {
        let table = table(&client, TABLE).await;
        let environment = |wrong_ms| {
            let clock = ServerClock::skewed_by(wrong_ms);
            let aws = aws(credentials(), clock.clone());
            let client = Client::over(&aws, &client.endpoint()).unwrap();
            (DynamoRates::new(client, table.clone()), clock)
        };
        for (rates, clock) in [
            environment(wrong_ms),
            environment(0),
            environment(-wrong_ms),
        ] {
            let now = Timestamp::from_millis(clock.now_ms());
            assert_eq!(rates.take(&limit, now).await.unwrap(), Ok(()), "{wrong_ms}");
        }
    }
}
