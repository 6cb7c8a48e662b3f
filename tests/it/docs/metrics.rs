//! The page about metrics lists those of a running gateway, with their labels and the labels' values.

use std::collections::{BTreeMap, BTreeSet};

use super::markdown::{Document, code_spans, project};
use crate::support::{Gateway, RedisServer};

/// The metrics of a gateway that has served some of every kind of request, as Prometheus reads them.
async fn exposed() -> String {
    let redis = RedisServer::start().await;
    let secret = "a-secret-of-its-own-0123456789";
    let builder = Gateway::builder().redis(&redis);
    let builder = builder.set("internal.clients.0.name", "crm");
    let gateway = builder.set("internal.clients.0.secret", secret).start().await;
    gateway.until_ready().await;
    let photo = gateway.wechat.takes_photo(&crate::support::photo("portrait.jpg"));
    assert_eq!(gateway.upload(&photo).await.status, 200);
    let app_id = gateway.wechat.account().app_id;
    gateway.asks_for_token(app_id.as_str(), "wrong").await;
    let call = gateway.internal_request("GET", "/cgi-bin/getcallbackip");
    assert_eq!(gateway.send(call.bearer_auth(secret)).await.status, 200);
    let exposed = gateway.internal_get("/metrics").await;
    exposed.body.as_str().unwrap().to_owned()
}

/// The labels of a series, with their values.
fn labels(series: &str) -> BTreeMap<&str, &str> {
    let labels = series.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
    let labels = labels.map_or("", |(labels, _)| labels).split("\",");
    let labels = labels.filter_map(|label| label.split_once("=\""));
    labels
        .map(|(label, value)| (label, value.trim_end_matches('"')))
        .collect()
}

fn is_metric(cell: &str) -> bool {
    ["`wxgate_", "`process_"].iter().any(|start| cell.starts_with(start))
}

#[tokio::test]
async fn the_metric_tables_list_every_metric_with_its_labels() {
    let exposed = exposed().await;
    let names = exposed
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let names: BTreeSet<&str> = names.collect();
    let mut helps = exposed.lines().filter(|line| line.starts_with("# HELP wxgate_"));
    assert!(
        helps.all(|help| !help.ends_with('.')),
        "HELP texts end without a full stop"
    );
    for document in Document::both("metrics") {
        let rows = document.rows().into_iter().filter(|row| is_metric(&row[0]));
        let rows: Vec<_> = rows.collect();
        let documented: BTreeSet<_> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
        assert_eq!(documented, names, "{}", document.name);
        for row in &rows {
            let name = row[0].trim_matches('`');
            let mut all = exposed.lines();
            let mut found = labels(all.find(|line| line.starts_with(name)).unwrap());
            found.remove("le");
            let promised = code_spans(&row[1]);
            assert_eq!(
                promised.iter().map(String::as_str).collect::<BTreeSet<_>>(),
                found.into_keys().collect(),
                "{name}"
            );
            assert!(row.len() == 3 && !row[2].is_empty(), "{name} is not explained");
        }
    }
}

/// The values in a document's second table, by label. An empty first cell continues the label above.
fn documented_values(document: &Document) -> BTreeMap<String, BTreeSet<String>> {
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut label = String::new();
    let rows = document.rows().into_iter().filter(|row| row.len() == 3);
    for row in rows.filter(|row| row[1].starts_with('`') && !is_metric(&row[0])) {
        label = code_spans(&row[0]).pop().unwrap_or(label);
        values
            .entry(label.clone())
            .or_default()
            .insert(row[1].trim_matches('`').to_owned());
    }
    values
}

/// All source files as one text.
fn source() -> String {
    let (mut folders, mut text) = (vec![project("src")], String::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text += &std::fs::read_to_string(path).unwrap();
            }
        }
    }
    text
}

#[tokio::test]
async fn the_label_tables_list_the_values_of_a_running_gateway() {
    let (exposed, source) = (exposed().await, source());
    for document in Document::both("metrics") {
        let documented = documented_values(&document);
        for series in exposed.lines().filter(|line| line.starts_with("wxgate_")) {
            for (label, value) in labels(series) {
                let known = documented.get(label).is_none_or(|values| values.contains(value));
                assert!(known, "{} lacks {label}={value} of {series}", document.name);
            }
        }
        for label in ["kind", "trigger", "outcome", "api", "reason"] {
            for value in &documented[label] {
                let literal = format!("\"{value}\"");
                assert!(source.contains(&literal), "{}: {label}={value}", document.name);
            }
        }
    }
}
