//! The generator's rows.

use std::collections::HashSet;

use streamer::generate::{COLUMNS, generate_csv};

fn rows(count: u64, seed: u64) -> Vec<u8> {
    let mut out = Vec::new();
    generate_csv(count, seed, &mut out).unwrap();
    out
}

#[test]
fn a_seed_gives_the_same_rows_about_one_in_a_hundred_repeated_and_some_quoted() {
    assert_eq!(rows(500, 3), rows(500, 3));
    assert_ne!(rows(500, 3), rows(500, 4));
    assert_eq!(rows(0, 1), format!("{COLUMNS}\n").into_bytes());

    let bytes = rows(50_000, 1);
    let mut reader = csv::Reader::from_reader(&bytes[..]);
    assert_eq!(
        reader
            .headers()
            .unwrap()
            .iter()
            .collect::<Vec<_>>()
            .join(","),
        COLUMNS
    );
    let (mut seen, mut repeated, mut quoted) = (HashSet::new(), 0, 0);
    for record in reader.records() {
        let record = record.unwrap();
        assert_eq!(record.len(), 7);
        assert!(record.iter().all(|field| !field.is_empty()));
        repeated += usize::from(!seen.insert(record[0].to_owned()));
        quoted += usize::from(record.iter().any(|field| field.contains([',', '"', '\n'])));
    }
    assert_eq!(seen.len() + repeated, 50_000);
    assert!(
        (400..600).contains(&repeated),
        "{repeated} of 50,000 repeat"
    );
    assert!(quoted > 1_000, "{quoted} rows need quotes");
}
