//! Random sets of faults come in; that each is found once, and that one seed sends the same, comes out.

use std::collections::{BTreeMap, HashMap};

use lift_bench::report::count::*;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use crate::{
    load::{counted, load, plain},
    plans::seeds,
    server::{Do, Rules, Server, id_of},
};

/// Clients, and messages of each.
const CLIENTS: u64 = 6;
const EACH: u32 = 40;

const TALK: &str = "{ name: talk, duration: 800ms, messages_per_second: 300 }";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Lose,
    Double,
    Swap,
    Misdirect,
}

/// Every message may have a fault; one that is answered after the next is never followed by another fault.
fn faults(seed: u64) -> HashMap<(u64, u32), Fault> {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let mut faults = HashMap::new();
    for client in 0..CLIENTS {
        let mut seq = 1;
        while seq < EACH {
            let fault = match dice.next_u32() % 16 {
                0 => Fault::Lose,
                1 => Fault::Double,
                2 => Fault::Swap,
                3 => Fault::Misdirect,
                _ => {
                    seq += 1;
                    continue;
                }
            };
            faults.insert((client, seq), fault);
            seq += if fault == Fault::Swap { 2 } else { 1 };
        }
    }
    faults
}

/// The texts of each client, in the order in which they came.
fn texts(server: &Server) -> BTreeMap<u64, Vec<String>> {
    let mut texts: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for logged in server.log() {
        let (client, _) = id_of(&logged.text).unwrap();
        texts.entry(client).or_default().push(logged.text);
    }
    texts
}

