//! The files that are built in, and what they must agree with.

use std::{fs, path::Path};

use lift_bench::cost::{Assumed, Counts, Estimate, Priced, Prices, Quota, Terms};

use crate::scenario;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_price_says_whose_word_it_is() {
    let prices = Prices::built_in();
    for (name, price) in &prices.prices {
        let known = ["documented", "observed", "unverified"].contains(&price.mark.as_str());
        let dated = price.date.len() == 10 && price.date <= prices.date;
        assert!(
            known && dated && !price.source.is_empty(),
            "{name:?}: {price:?}"
        );
    }
    assert_eq!(prices.prices.len(), Priced::ALL.len());
    assert_eq!(prices.quotas.len(), Quota::ALL.len());
}

#[test]
fn a_file_of_prices_that_lacks_one_is_refused_by_its_name() {
    let whole: serde_json::Value =
        serde_json::from_str(&read("crates/lift-bench/prices/us-east-1.json")).unwrap();
    let refused = |part: &str, name: &str, value: Option<serde_json::Value>| {
        let mut file = whole.clone();
        let of = file[part].as_object_mut().unwrap();
        match value {
            Some(value) => of.insert(name.to_owned(), value),
            None => of.remove(name),
        };
        Prices::parse(&file.to_string()).unwrap_err()
    };
    assert_eq!(
        refused("prices", "s3_get", None),
        "there is no price `s3_get`"
    );
    assert_eq!(
        refused("quotas", "stream", None),
        "there is no quota `stream`"
    );
    let mut endless = whole["prices"]["s3_get"].clone();
    endless["tiers"][0]["up_to"] = 5.into();
    assert!(refused("prices", "s3_get", Some(endless)).contains("no last tier"));
}

#[test]
fn what_is_taken_from_the_template_is_what_it_says() {
    let template = read("deploy/template.yaml");
    let default = |parameter: &str| {
        let of = template.split_once(&format!("  {parameter}:\n")).unwrap().1;
        let value = of.split_once("Default: ").unwrap().1;
        value.lines().next().unwrap().parse::<f64>().unwrap()
    };
    let prices = Prices::built_in();
    assert_eq!(prices.quotas[&Quota::Stage].limit, default("RequestRate"));
    assert_eq!(Assumed::default().log_days, default("RetentionDays"));
    assert!(template.contains("ParallelizationFactor: 4"));
    let memory = Counts::built_in().memory_mb;
    let others = template.split_once("MemorySize: ").unwrap().1;
    let others: f64 = others.lines().next().unwrap().parse().unwrap();
    for (function, mb) in memory {
        let own = match function.as_str() {
            "ProcessorFunction" => 1_024.0,
            _ => others,
        };
        assert_eq!(mb, own, "{function}");
    }
    assert_eq!(template.matches("MemorySize: ").count(), 2);
    assert!(template.contains("MemorySize: 1024"));
}

#[test]
fn the_page_has_every_assumption_price_and_quota() {
    let page = read("docs/load-cost.md");
    for assumption in Assumed::default().list() {
        let row = format!(
            "| `{}` | {} {} | {} |",
            assumption.name, assumption.value, assumption.unit, assumption.why
        );
        assert!(page.contains(&row), "docs/load-cost.md lacks\n{row}");
    }
    for quota in Quota::ALL {
        assert!(page.contains(&format!("`{}`", quota.name())), "{quota:?}");
    }
}

#[test]
fn every_scenario_of_the_repository_has_a_bill() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let scenarios = files.filter(|path| path.extension().is_some_and(|it| it == "yaml"));
    let mut priced = 0;
    for path in scenarios {
        let scenario = scenario(&fs::read_to_string(&path).unwrap());
        let terms = Terms::default();
        let estimate = Estimate::of(&scenario, &terms);
        let bill = estimate.bill();
        let ours = scenario.behaviours.values().any(|it| it.target.is_none());
        assert!(
            bill.usd.is_finite() && (bill.usd > 0.0) == ours,
            "{}",
            path.display()
        );
        assert!(
            estimate
                .checks()
                .iter()
                .all(|check| check.share.is_finite() && check.share >= 0.0)
        );
        priced += 1;
    }
    assert!(priced > 0);
}
