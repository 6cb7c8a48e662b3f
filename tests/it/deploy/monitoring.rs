//! Alert rules and the dashboard ask only for what a gateway exposes.

use std::process::Command;

use serde_json::Value;

use super::metrics::{Exposed, exposed};
use super::{texts, yaml};
use crate::docs::markdown::{project, read};

const FOLDER: &str = "deploy/monitoring";

/// Labels that Prometheus itself adds.
const ADDED: [&str; 2] = ["instance", "job"];

/// The metrics that an expression asks for, each with its matchers: `{outcome!="ok"}`.
fn asked_for(expression: &str) -> Vec<(&str, &str)> {
    let starts = expression.match_indices("wxgate_").map(|(at, _)| &expression[at..]);
    starts
        .map(|text| {
            let end = text.find(|c: char| !c.is_ascii_lowercase() && c != '_');
            let (name, rest) = text.split_at(end.unwrap_or(text.len()));
            let matchers = rest.strip_prefix('{').and_then(|rest| rest.split('}').next());
            (name, matchers.unwrap_or_default())
        })
        .collect()
}

/// The labels that an expression groups and matches by: `by (app_id, kind)`.
fn grouped_by(expression: &str) -> Vec<&str> {
    let groups = ["by (", "on ("]
        .into_iter()
        .flat_map(|word| expression.split(word).skip(1));
    let lists = groups.filter_map(|rest| rest.split(')').next());
    lists.flat_map(|list| list.split(',')).map(str::trim).collect()
}

/// Asserts that `expression` asks only for metrics, labels and values that are exposed.
fn assert_answerable(expression: &str, exposed: &Exposed) {
    let asked = asked_for(expression);
    // `up` is Prometheus' own.
    let own = expression.starts_with("up{job=");
    assert!(own || !asked.is_empty(), "{expression} asks for none of our metrics");
    for (name, matchers) in &asked {
        let metric = exposed
            .get(*name)
            .unwrap_or_else(|| panic!("{name} is not exposed; {expression}"));
        for matcher in matchers.split(',').filter(|matcher| !matcher.is_empty()) {
            let (label, value) = matcher.split_once(['=', '~']).unwrap();
            let (label, value) = (
                label.trim_end_matches('!'),
                value.trim_start_matches('~').trim_matches('"'),
            );
            if ADDED.contains(&label) {
                continue;
            }
            let values = metric
                .get(label)
                .unwrap_or_else(|| panic!("{name} has no label {label}; {expression}"));
            // A pattern of statuses need not match a value that has occurred.
            for value in value.split('|').filter(|value| !value.contains('.')) {
                assert!(values.contains(value), "{name} never has {label}={value:?}: {values:?}");
            }
        }
    }
    for label in grouped_by(expression) {
        let known = asked.iter().any(|(name, _)| exposed[*name].contains_key(label));
        assert!(
            known || ADDED.contains(&label),
            "nothing in {expression} has a label {label}"
        );
    }
}

/// The texts under the keys `expr` and `query`, however deep.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(text) if key == "expr" || (key == "query" && text.contains("wxgate_")) => {
                        found.push(text.to_owned());
                    }
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn alerts_and_panels_ask_for_metrics_that_are_exposed() {
    let exposed = exposed().await;
    let dashboard: Value = serde_json::from_str(&read("deploy/monitoring/grafana-dashboard.json")).unwrap();
    for (source, least) in [(yaml("deploy/monitoring/alerts.yaml"), 16), (dashboard, 19)] {
        let mut found = Vec::new();
        expressions(&source, &mut found);
        assert!(found.len() >= least, "{}", found.len());
        for expression in &found {
            assert_answerable(expression, &exposed);
        }
    }
}

#[test]
fn expression_reader_finds_metrics_and_labels() {
    let expression = "sum by (route) (rate(wxgate_a_total{status=~\"5..\"}[5m])) / on (instance) wxgate_b";
    assert_eq!(
        asked_for(expression),
        [("wxgate_a_total", "status=~\"5..\""), ("wxgate_b", "")]
    );
    assert_eq!(grouped_by(expression), ["route", "instance"]);
}

#[test]
fn every_alert_says_what_to_do_and_has_a_test() {
    let (rules, tests) = (
        yaml("deploy/monitoring/alerts.yaml"),
        read("deploy/monitoring/alerts_test.yaml"),
    );
    assert_eq!(
        texts(&yaml("deploy/monitoring/prometheus.yaml")["rule_files"]),
        ["alerts.yaml"]
    );
    for rule in rules["groups"][0]["rules"].as_array().unwrap() {
        for annotation in ["summary", "action"] {
            assert!(rule["annotations"][annotation].is_string(), "{rule}");
        }
        let name = rule["alert"].as_str().unwrap();
        assert!(
            tests.contains(&format!("alertname=\"{name}\"")),
            "{name} is never seen to fire"
        );
        assert!(
            tests.contains(&format!("alertname: {name} }}")),
            "{name} is never seen to be quiet"
        );
    }
}

#[test]
fn the_operators_rules_are_the_same() {
    let rule = yaml("deploy/kubernetes/operator/prometheusrule.yaml");
    assert_eq!(rule["spec"], yaml("deploy/monitoring/alerts.yaml"));
    let monitor = yaml("deploy/kubernetes/operator/podmonitor.yaml");
    let pod = yaml("deploy/kubernetes/base/deployment.yaml")["spec"]["template"].clone();
    assert_eq!(monitor["spec"]["selector"]["matchLabels"], pod["metadata"]["labels"]);
    let port = &monitor["spec"]["podMetricsEndpoints"][0]["port"];
    let ports = pod["spec"]["containers"][0]["ports"].as_array().unwrap();
    assert!(
        ports
            .iter()
            .any(|known| known["name"] == *port && known["containerPort"] == 9090)
    );
}

/// Prometheus' own tool (the package "prometheus"), which `scripts/test` installs.
#[test]
fn promtool_accepts_the_rules_and_their_tests() {
    for arguments in [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]] {
        let output = Command::new("promtool")
            .args(arguments)
            .current_dir(project(FOLDER))
            .output();
        let output = output.expect("promtool, of the Debian package prometheus");
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(output.status.success(), "{arguments:?}: {}", said.concat());
    }
}
