//! In: processors whose clocks are five minutes off. Out: whether requests end as ever.

use std::path::Path;
use std::time::SystemTime;

use lift_dev::feed::Entry;
use serde_json::Value;

use crate::asking::{Wire, aggregate, claims, completed, rows, submitted};
use crate::world::{Setup, World};

/// Debian's library; Rust's clocks are libc's.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
/// Where the processor's variables begin.
const VARIABLES: &str = "LogGroup: !Ref ProcessorLogs }
      Environment:
        Variables:
";
const FAST: &str = "LogGroup: !Ref ProcessorLogs }
      Environment:
        Variables:
          LD_PRELOAD: /usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1
          FAKETIME_DONT_FAKE_MONOTONIC: '1'
          FAKETIME: '+300'
";
const SLOW: &str = "LogGroup: !Ref ProcessorLogs }
      Environment:
        Variables:
          LD_PRELOAD: /usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1
          FAKETIME_DONT_FAKE_MONOTONIC: '1'
          FAKETIME: '-300'
";

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_whose_clock_is_five_minutes_off_runs_what_is_due_once() {
    if !Path::new(LIBRARY).exists() {
        println!("skipped: processors with wrong clocks (libfaketime is not installed)");
        return;
    }
    for wrong in [FAST, SLOW] {
        let setup = Setup {
            replaced: vec![(VARIABLES, wrong)],
            ..Setup::default()
        };
        let Some(world) = World::start(setup).await else {
            return;
        };
        let client = world.client("ada").await;
        let mut wire = Wire::of(&client);
        let (text, expected) = rows(10_000);
        world.put("sales.csv", text).await;
        for output in ["1.csv", "2.csv"] {
            let mut request = submitted(&client, &aggregate("sales.csv", output)).await;
            completed(&mut request).await;
            assert_eq!(world.get(output).await, expected);
            let ends = wire.ends(&request);
            assert_eq!((ends.len(), claims(&ends[0])), (1, 1), "{ends:?}");
        }
        let is_wrong = async || world.count(is_minutes_off) > 0;
        world
            .until("the processor's clock is wrong", is_wrong)
            .await;
        world.stop().await;
    }
}

/// Whether a processor wrote a line whose time is not now.
fn is_minutes_off(entry: &Entry) -> bool {
    let Entry::Log { function, line } = entry else {
        return false;
    };
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    let at = line["timestamp"].as_str().and_then(|at| at.parse().ok());
    let Some(at): Option<jiff::Timestamp> = at else {
        return false;
    };
    let now = jiff::Timestamp::try_from(SystemTime::now()).unwrap();
    function == "ProcessorFunction" && (now.as_second() - at.as_second()).abs() > 200
}
