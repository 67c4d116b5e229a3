//! The dashboard and the alert rules speak of metrics and labels that are exported.

mod watched;

use freehold_admin::METRICS;
use std::{collections::BTreeSet, fs};
use watched::Watched;

fn file(name: &str) -> String {
    let path = format!("{}/../../ops/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All expressions of the dashboard.
fn dashboard() -> Vec<String> {
    let dashboard: serde_json::Value = serde_json::from_str(&file("grafana-dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

/// The words of an expression that could be names of metrics.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_part(c)).filter(|word| word.starts_with("freehold_"));
    words.map(ToOwned::to_owned).collect()
}

/// The labels that an expression selects by or groups by.
fn labels_in(text: &str) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    for selector in text.split('{').skip(1) {
        for pair in selector.split('}').next().unwrap_or_default().split("\",") {
            if let Some((name, _)) = pair.split_once(['=', '!']) {
                labels.insert(name.trim().to_owned());
            }
        }
    }
    for word in ["by (", "without ("] {
        for list in text.split(word).skip(1) {
            labels.extend(list.split(')').next().unwrap_or_default().split(',').map(|l| l.trim().to_owned()));
        }
    }
    labels
}

fn check(name: &str, expression: &str, exported_labels: &BTreeSet<String>) {
    for metric in metrics_in(expression) {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| metric.strip_suffix(end));
        let known = |name: &str| METRICS.iter().any(|metric| metric.name == name);
        assert!(known(&metric) || base.is_some_and(known), "{name}: {metric} is not exported: {expression}");
    }
    for label in labels_in(expression) {
        assert!(exported_labels.contains(&label), "{name}: no metric has the label {label}: {expression}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dashboard_and_the_rules_know_the_exported_names() {
    let watched = Watched::new();
    watched.deadlock().await;
    watched.call("fail", 0).await;
    let text = watched.text("/metrics");
    // Those that Prometheus adds.
    let mut labels: BTreeSet<String> = ["job", "instance"].map(ToOwned::to_owned).into();
    labels.extend(text.lines().filter(|line| !line.starts_with('#')).flat_map(labels_in));
    let expressions = dashboard();
    assert!(expressions.len() > 20, "{}", expressions.len());
    for expression in &expressions {
        check("dashboard", expression, &labels);
    }
    let rules = file("alert-rules.yml");
    let names = metrics_in(&rules);
    assert!(names.len() > 8 && rules.matches("- alert:").count() > 8, "{names:?}");
    let expressions = rules.split("expr:").skip(1).map(|rule| rule.split("labels:").next().unwrap());
    for expression in expressions {
        let expression = expression.split("for:").next().unwrap();
        assert!(!metrics_in(expression).is_empty(), "{expression}");
        check("rules", expression, &labels);
    }
}

#[test]
fn a_name_that_is_not_exported_is_noticed() {
    let labels = BTreeSet::from(["class".to_owned()]);
    let fails = |expression: &str| std::panic::catch_unwind(|| check("test", expression, &labels)).is_err();
    assert!(!fails("rate(freehold_lock_wait_seconds_bucket{class=\"a\"}[5m])"));
    assert!(fails("rate(freehold_lock_weight_seconds_bucket[5m])"));
    assert!(fails("freehold_ready{clas=\"a\"}"));
    assert!(fails("sum by (le, klass) (freehold_ready)"));
}
