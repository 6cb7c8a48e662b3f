//! The documents' tables agree with the code, and both languages agree with each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use toml::{Table, Value};
use wxgate::account::AppId;
use wxgate::http::Code;
use wxgate::sandbox::SandboxConfig;
use wxgate::settings::{Account, Client, Settings, Sources};
use wxgate::store::COMMANDS;
use wxgate::store::keys::{self, Holds, Key, Lifetime};

use super::markdown::{Document, code_spans, prose};
use crate::support::{Gateway, RedisServer, SandboxHost};

#[test]
fn the_code_tables_list_every_code() {
    let codes = Code::ALL.map(|code| {
        let (status, number) = (code.status().as_u16(), code.number());
        [status.to_string(), number.to_string(), code.name().to_owned()]
    });
    for document in Document::both("http") {
        let rows = document.rows().into_iter().filter(|row| row[0].parse::<u16>().is_ok());
        let rows = rows
            .filter(|row| row.len() == 4)
            .map(|row| [0, 1, 2].map(|column| row[column].clone()));
        assert_eq!(rows.collect::<Vec<_>>(), codes, "{}", document.name);
    }
}

#[test]
fn redis_tables_list_the_keys_of_the_code() {
    let keys: BTreeSet<&str> = keys::ALL.iter().map(|key| key.name).collect();
    assert_eq!(keys.len(), keys::ALL.len(), "a key is listed twice");
    for document in Document::both("redis") {
        let rows = document.rows().into_iter().filter(|row| row.len() == 2);
        let spans: Vec<String> = rows.flat_map(|row| code_spans(&row[0])).collect();
        let is_key = |span: &&str| span.starts_with("wxgate:") || span.starts_with("weChat");
        let documented: BTreeSet<&str> = spans.iter().map(String::as_str).filter(is_key).collect();
        assert_eq!(documented, keys, "{}", document.name);
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
    for document in Document::both("redis") {
        let spans = document.rows().into_iter().filter(|row| row.len() == 2);
        let spans: Vec<_> = spans.flat_map(|row| code_spans(&row[0])).collect();
        for key in &keys {
            let documented = spans.iter().any(|span| matches_key(span, &app_id, key));
            assert!(documented, "{key} is not in {}", document.name);
        }
    }
}

/// The version of Redis that introduced a command, as Redis itself says.
async fn since(redis: &RedisServer, command: &str) -> (u32, u32) {
    let documents: std::collections::HashMap<String, std::collections::HashMap<String, redis::Value>> =
        redis.command(&format!("COMMAND DOCS {command}")).await;
    let since: String = redis::from_redis_value(documents[command]["since"].clone()).unwrap();
    let mut numbers = since.split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[tokio::test]
async fn redis_commands_of_a_running_gateway_are_documented_and_as_old_as_promised() {
    const OLDEST: (u32, u32) = (5, 0);
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder().wechat(&wechat).redis(&redis);
    assert_eq!(builder.run(&wechat, &["check"]).await.code, 0);
    let gateway = builder.start().await;
    gateway.until_ready().await;
    assert_eq!(gateway.upload_new_photo().await.status, 200);
    gateway
        .asks_for_token(wechat.account().app_id.as_str(), wechat.account().secret.expose())
        .await;
    gateway.internal_get("/console").await;
    gateway.shut_down().await;

    let stats: String = redis.command("INFO commandstats").await;
    let used = stats
        .lines()
        .filter_map(|line| line.strip_prefix("cmdstat_")?.split(':').next());
    let used: BTreeSet<&str> = used.collect();
    let needed: BTreeSet<&str> = COMMANDS.into_iter().collect();
    // Sent by the test's own client, and by `wxgate check`.
    let others = BTreeSet::from(["info", "client|setinfo"]);
    assert_eq!(&used - &others, needed);
    for document in Document::both("redis") {
        let rows = document.rows().into_iter().filter(|row| row.len() == 2);
        let rows = rows.filter(|row| {
            row[1]
                .split_once('.')
                .is_some_and(|(major, _)| major.parse::<u32>().is_ok())
        });
        let documented: Vec<_> = rows
            .map(|row| (code_spans(&row[0])[0].to_lowercase(), row[1].clone()))
            .collect();
        let names: BTreeSet<&str> = documented.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, needed, "{}", document.name);
        for (name, promised) in &documented {
            let (major, minor) = since(&redis, name).await;
            assert_eq!(*promised, format!("{major}.{minor}"), "{name} in {}", document.name);
            assert!((major, minor) <= OLDEST, "{name}");
        }
        let rights = COMMANDS.map(|command| format!("+{command}")).join(" ");
        assert!(document.text.contains(&rights), "{}: {rights}", document.name);
    }
}

/// Whether `key` has the name that `pattern` stands for.
fn matches_key(pattern: &str, app_id: &AppId, key: &str) -> bool {
    let pattern = pattern.replace("{app_id}", app_id.as_str());
    let pattern = ["{day}", "{media_id}", "{token_hash}"]
        .iter()
        .fold(pattern, |pattern, name| pattern.replace(name, "…"));
    super::markdown::matches(&pattern, key)
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
    match row.lifetime {
        Lifetime::Entries(_) => assert_eq!(left, -1, "{key} is to live for ever"),
        Lifetime::AtMost(limit) => assert!(left >= 0 && left <= i64::try_from(limit.as_millis()).unwrap(), "{key}"),
        Lifetime::Credential | Lifetime::Setting(_) => assert!(left >= 0, "{key}"),
    }
}

/// Collects every key of `table` with its value, as TOML writes it.
fn defaults(table: &Table, path: &str, found: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        match value {
            Value::Table(inner) if !inner.is_empty() => defaults(inner, &path, found),
            Value::Array(list) if list.first().is_some_and(Value::is_table) => {
                list.iter()
                    .filter_map(Value::as_table)
                    .for_each(|inner| defaults(inner, &path, found));
            }
            _ => {
                found.insert(path, value.to_string());
            }
        }
    }
}

/// The keys of a document's tables, each with its default.
fn documented_settings(document: &Document) -> BTreeMap<String, String> {
    let rows = document.rows().into_iter();
    let rows = rows.filter(|row| row.len() == 3 && row[0].starts_with('`'));
    let mut documented = BTreeMap::new();
    for row in rows {
        let key = row[0].trim_matches('`').to_owned();
        assert!(!row[2].is_empty(), "{key} is not explained in {}", document.name);
        let again = documented.insert(key, row[1].trim_matches('`').to_owned());
        assert_eq!(again, None, "{} is listed twice in {}", row[0], document.name);
    }
    documented
}

#[test]
fn settings_tables_list_every_key_with_its_default() {
    let mut settings = Settings::default();
    settings.accounts.push(Account::default());
    settings.internal.clients.push(Client::default());
    let mut in_code = BTreeMap::new();
    defaults(&settings.to_masked_toml().parse().unwrap(), "", &mut in_code);
    for document in Document::both("settings") {
        let documented = documented_settings(&document);
        let keys_only_in = |these: &BTreeMap<String, String>, those: &BTreeMap<String, String>| {
            let keys = these.keys().filter(|key| !those.contains_key(*key));
            keys.cloned().collect::<Vec<_>>()
        };
        let (missing, unknown) = (keys_only_in(&in_code, &documented), keys_only_in(&documented, &in_code));
        assert!(
            missing.is_empty() && unknown.is_empty(),
            "{} lacks {missing:?}, and has {unknown:?} too many",
            document.name
        );

        // A duration can be written in several ways, so the documented defaults are loaded, not compared as text.
        let mut file = "accounts = [{ app_id = \"wx1\", app_secret = \"s\" }]\n".to_owned();
        for (key, default) in &documented {
            if !key.starts_with("accounts.") && !key.starts_with("internal.clients.") {
                writeln!(file, "{key} = {default}").unwrap();
            } else if !default.is_empty() {
                assert_eq!(default, &in_code[key], "{key} in {}", document.name);
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("wxgate.toml");
        std::fs::write(&path, file).unwrap();
        let loaded = Settings::load(&Sources {
            file: Some(path),
            ..Sources::default()
        });
        let mut loaded = loaded.unwrap_or_else(|problems| panic!("{}:\n{problems}", document.name));
        loaded.accounts.clear();
        assert_eq!(
            loaded.to_masked_toml(),
            Settings::default().to_masked_toml(),
            "{}",
            document.name
        );
    }
}

#[test]
fn command_tables_list_every_command() {
    let help = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_wxgate"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let overview = help(&["--help"]);
    let listed = overview
        .split("Commands:")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    let commands = listed.lines().filter_map(|line| line.split_whitespace().next());
    let commands: BTreeSet<&str> = commands.filter(|command| *command != "help").collect();
    assert!(commands.len() >= 7, "{commands:?}");
    for document in Document::both("settings") {
        let rows = document.rows();
        let spans = rows.iter().filter(|row| row.len() == 2).map(|row| row[0].as_str());
        let documented = spans.filter_map(|span| span.strip_prefix("`wxgate ")?.split([' ', '`']).next());
        let documented: BTreeSet<&str> = documented.collect();
        assert!(documented.is_superset(&commands), "{}: {documented:?}", document.name);
        // Some are not listed by `--help`, but exist.
        for command in documented {
            help(&[command, "--help"]);
        }
    }
}

#[test]
fn readmes_have_at_most_150_lines() {
    for readme in Document::both("README") {
        let lines = readme.text.lines().count();
        assert!(lines <= 150, "{} has {lines} lines", readme.name);
    }
}

/// Compares headings by level, blocks by language, tables by size, and word for word whatever is not prose.
#[test]
fn both_languages_say_the_same() {
    for [english, chinese] in Document::all() {
        assert_say_the_same(&english, &chinese);
    }
}

fn assert_say_the_same(english: &Document, chinese: &Document) {
    let name = &english.name;
    let headings = |document: &Document| -> Vec<usize> {
        let headings = prose(&document.text).into_iter().filter(|line| line.starts_with('#'));
        headings
            .map(|line| line.len() - line.trim_start_matches('#').len())
            .collect()
    };
    assert_eq!(headings(english), headings(chinese), "{name}");
    let commands = |document: &Document| -> Vec<(String, String)> {
        let blocks = document.blocks().into_iter();
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
    assert_eq!(commands(english), commands(chinese), "{name}");
    let settings = |document: &Document| -> Vec<toml::Table> {
        document
            .blocks_in("toml")
            .iter()
            .map(|text| text.parse().unwrap())
            .collect()
    };
    assert_eq!(settings(english), settings(chinese), "{name}");
    let tables = |document: &Document| -> Vec<(usize, BTreeSet<String>)> {
        let rows = document.rows().into_iter();
        rows.map(|row| (row.len(), row.iter().flat_map(|cell| code_spans(cell)).collect()))
            .collect()
    };
    for (english, chinese) in tables(english).into_iter().zip(tables(chinese)) {
        assert_eq!(english, chinese, "{name}");
    }
    assert_eq!(english.rows().len(), chinese.rows().len(), "{name}");
}
