//! `streamer generate-csv`: rows and a seed come in, the same file goes out each time.

use std::collections::HashSet;

use crate::support::home::Home;
use crate::support::orders;

#[tokio::test]
async fn the_same_seed_gives_the_same_rows_about_one_in_a_hundred_repeated() {
    let home = Home::new();
    let file = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    for (name, seed) in [("a.csv", "7"), ("b.csv", "7"), ("c.csv", "8")] {
        let args = [
            "generate-csv",
            "--rows",
            "20000",
            "--seed",
            seed,
            &file(name),
        ];
        let output = home.output(&args).await;
        assert!(output.status.success(), "{output:?}");
    }
    let bytes = |name: &str| std::fs::read(file(name)).unwrap();
    assert!(bytes("a.csv") == bytes("b.csv"), "the same seed");
    assert!(bytes("a.csv") != bytes("c.csv"), "another seed");
    let rows = orders::read(home.path().join("a.csv").as_path());
    let columns = "order_id,customer,country,product,quantity,unit_price,ordered_at";
    assert_eq!(rows[0].join(","), columns);
    assert_eq!(rows.len(), 20_001);
    let distinct: HashSet<&String> = rows.iter().skip(1).map(|row| &row[0]).collect();
    let repeats = 20_000 - distinct.len();
    assert!((100..400).contains(&repeats), "{repeats} repeats");
}
