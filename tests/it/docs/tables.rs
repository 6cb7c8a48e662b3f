//! Tables that repeat what the code knows, and two languages that say the same.

use std::collections::BTreeSet;

use wxgate::account::AppId;
use wxgate::http::Code;
use wxgate::sandbox::SandboxConfig;
use wxgate::store::keys::{self, Holds, Key, Life};

use super::markdown::{Readme, code_spans};
use crate::support::{Gateway, RedisServer, SandboxHost};

#[test]
fn the_code_tables_list_every_code() {
    let codes = Code::ALL.map(|code| {
        let (status, number) = (code.status().as_u16(), code.number());
        [status.to_string(), number.to_string(), code.name().to_owned()]
    });
    for readme in Readme::both() {
        let rows = readme.rows().into_iter().filter(|row| row[0].parse::<u16>().is_ok());
        let rows = rows
            .filter(|row| row.len() == 4)
            .map(|row| [0, 1, 2].map(|column| row[column].clone()));
        assert_eq!(rows.collect::<Vec<_>>(), codes, "{}", readme.name);
    }
}

#[tokio::test]
async fn the_metric_tables_list_every_metric_with_its_labels() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    let photo = gateway.wechat.takes_photo(&crate::support::photo("portrait.jpg"));
    assert_eq!(gateway.upload(&photo).await.status, 200);
    let exposed = gateway.internal_get("/metrics").await;
    let exposed = exposed.body.as_str().unwrap();
    let names = exposed
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let names: BTreeSet<&str> = names.collect();
    for readme in Readme::both() {
        let rows = readme
            .rows()
            .into_iter()
            .filter(|row| row.len() == 2 && row[0].starts_with("`wxgate_"));
        let rows: Vec<_> = rows.collect();
        let documented: BTreeSet<_> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
        assert_eq!(documented, names, "{}", readme.name);
        for row in &rows {
            let name = row[0].trim_matches('`');
            let series = exposed.lines().find(|line| line.starts_with(name)).unwrap();
            let labels = series.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
            let labels = labels.map_or("", |(labels, _)| labels).split(',');
            let labels = labels
                .filter_map(|label| label.split_once('='))
                .map(|(label, _)| label.to_owned());
            let labels: BTreeSet<_> = labels.filter(|label| label != "le").collect();
            assert_eq!(
                code_spans(&row[1]).into_iter().collect::<BTreeSet<_>>(),
                labels,
                "{name}"
            );
        }
    }
}

#[test]
fn redis_tables_list_the_keys_of_the_code() {
    let keys: BTreeSet<&str> = keys::ALL.iter().map(|key| key.name).collect();
    assert_eq!(keys.len(), keys::ALL.len(), "a key is listed twice");
    for readme in Readme::both() {
        let rows = readme.rows().into_iter().filter(|row| row.len() == 2);
        let spans: Vec<String> = rows.flat_map(|row| code_spans(&row[0])).collect();
        let is_key = |span: &&str| span.starts_with("wxgate:") || span.starts_with("weChat");
        let documented: BTreeSet<&str> = spans.iter().map(String::as_str).filter(is_key).collect();
        assert_eq!(documented, keys, "{}", readme.name);
    }
}

#[tokio::test]
async fn redis_tables_list_every_key_of_a_running_gateway() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder().wechat(&wechat).set("credentials.backend", "redis");
    let gateway = builder.set("redis.url", redis.url()).start().await;
    gateway.until_ready().await;
    let photo = wechat.takes_photo(&crate::support::photo("portrait.jpg"));
    assert_eq!(gateway.upload(&photo).await.status, 200);
    gateway.shut_down().await;
    let keys = redis.keys().await;
    assert!(keys.len() >= 6, "{keys:?}");
    let app_id = wechat.account().app_id;
    for key in &keys {
        let fits = |row: &&&Key| matches_key(row.name, &app_id, key);
        let row = keys::ALL
            .iter()
            .find(fits)
            .unwrap_or_else(|| panic!("{key} is not in the code's table"));
        assert_holds(row, key, &redis).await;
    }
    for readme in Readme::both() {
        let spans = readme.rows().into_iter().filter(|row| row.len() == 2);
        let spans: Vec<_> = spans.flat_map(|row| code_spans(&row[0])).collect();
        for key in &keys {
            let documented = spans.iter().any(|span| matches_key(span, &app_id, key));
            assert!(documented, "{key} is not in {}", readme.name);
        }
    }
}

/// Whether `key` has the name that `pattern` stands for.
fn matches_key(pattern: &str, app_id: &AppId, key: &str) -> bool {
    let pattern = pattern.replace("{app_id}", app_id.as_str());
    super::markdown::matches(&pattern.replace("{day}", "…").replace("{media_id}", "…"), key)
}

/// Whether `key` is of the type, and lives as long as, its row says.
async fn assert_holds(row: &Key, key: &str, redis: &RedisServer) {
    let is: String = redis.command(&format!("TYPE {key}")).await;
    let expected = match row.holds {
        Holds::Text | Holds::Counter => "string",
        Holds::Stream => "stream",
    };
    assert_eq!(is, expected, "{key}");
    let left: i64 = redis.command(&format!("PTTL {key}")).await;
    match row.life {
        Life::Entries(_) => assert_eq!(left, -1, "{key} is to live for ever"),
        Life::AtMost(limit) => assert!(left >= 0 && left <= i64::try_from(limit.as_millis()).unwrap(), "{key}"),
        Life::Credential | Life::Setting(_) => assert!(left >= 0, "{key}"),
    }
}

/// Headings by level, blocks by language, tables by their size; and word for word what is no prose.
#[test]
fn both_languages_say_the_same() {
    let [english, chinese] = Readme::both();
    let headings = |readme: &Readme| -> Vec<usize> {
        let prose = readme.text.split("```").step_by(2);
        let headings = prose.flat_map(str::lines).filter(|line| line.starts_with('#'));
        headings
            .map(|line| line.len() - line.trim_start_matches('#').len())
            .collect()
    };
    assert_eq!(headings(&english), headings(&chinese));
    let commands = |readme: &Readme| -> Vec<(String, String)> {
        let blocks = readme.blocks().into_iter();
        let prose_inside = |language: &str| matches!(language, "html" | "toml");
        blocks
            .map(|block| {
                if prose_inside(&block.language) {
                    (block.language, String::new())
                } else {
                    (block.language, block.text)
                }
            })
            .collect()
    };
    assert_eq!(commands(&english), commands(&chinese));
    let settings = |readme: &Readme| -> Vec<toml::Table> {
        readme
            .blocks_in("toml")
            .iter()
            .map(|text| text.parse().unwrap())
            .collect()
    };
    assert_eq!(settings(&english), settings(&chinese));
    let tables = |readme: &Readme| -> Vec<(usize, BTreeSet<String>)> {
        let rows = readme.rows().into_iter();
        rows.map(|row| (row.len(), row.iter().flat_map(|cell| code_spans(cell)).collect()))
            .collect()
    };
    for (english, chinese) in tables(&english).into_iter().zip(tables(&chinese)) {
        assert_eq!(english, chinese);
    }
    assert_eq!(english.rows().len(), chinese.rows().len());
}
