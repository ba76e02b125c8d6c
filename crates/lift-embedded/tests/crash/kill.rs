//! SIGKILL under load: no answer may be lost, however often it happens to one store.

use std::io::{BufRead, BufReader};

use crate::child::Order;
use crate::ledger::Ledger;

/// Kills of one store, one after the other.
const KILLS: u64 = 20;

#[tokio::test]
async fn answers_survive_kill_9_at_random_moments() {
    let seed: u64 = 20_261_122;
    println!("seed {seed}");
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    for kill in 0..KILLS {
        let place = format!("seed {seed} kill {kill}");
        let order = Order {
            dir: dir.path().to_owned(),
            first: kill * 1_000_000,
            producers: 1 + kill % 24,
            requests: 1_000_000,
        };
        let moment = 1 + (seed ^ kill.wrapping_mul(0x9e37_79b9_7f4a_7c15)) % 500;
        let mut child = order.command(&[]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut answers = 0;
        while answers < moment {
            let line = lines
                .next()
                .unwrap_or_else(|| panic!("{place}: the child ended"))
                .unwrap();
            answers += u64::from(ledger.enter(&line));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had said before it died counts; a line that was cut off does not.
        let mut rest: Vec<String> = lines.map_while(Result::ok).collect();
        rest.pop();
        rest.iter().for_each(|line| _ = ledger.enter(line));
        ledger.check(dir.path(), &place).await;
    }
    assert!(ledger.len() > 1_000, "only {} requests", ledger.len());
    println!("{} requests answered over {KILLS} kills", ledger.len());
}
