//! The file: all problems in it are reported at once, each with its line.

use super::{ACCOUNT, SettingsFile, load_text, problems};
use crate::settings::Settings;

const MISTAKES: &str = r#"listen = "127.0.0.1:1"

[server]
lisen = "x"
request_timeout = 30
trusted_proxies = ["10.0.0.0/8", "nonsense", 5]
docs = "yes"
cors_allowed_origins = "https://h5.example.com"

[sever]
a = 1
b = 2

[credentials]
backend = 3
token_key = "a b"
daily_token_calls = 99999999999999999999

[media]
max_bytes = 20971520
allowed_types = ["image/jpg"]

[[accounts]]
app_id = "wx 1"
js_domains = ["https://a.cn"]

[[accounts]]
app-id = "wx2"
app_secret = "s"
"#;

#[test]
fn mistakes_are_all_reported_with_their_lines() {
    let expected = [
        "1: listen: unknown key; did you mean internal.listen or server.listen?",
        "4: server.lisen: unknown key; did you mean server.listen?",
        "5: server.request_timeout = 30: expected a duration such as \"5s\", \"300s\" or \"1h\" \
         (1ms to 24h)",
        "6: server.trusted_proxies[1] = \"nonsense\": expected a network such as \"10.0.0.0/8\", or \"10.0.0.7/32\" \
         for one address",
        "6: server.trusted_proxies[2] = 5: expected a network such as \"10.0.0.0/8\", or \"10.0.0.7/32\" for one \
         address",
        "7: server.docs = \"yes\": expected true or false",
        "8: server.cors_allowed_origins: expected a list such as `[\"…\", \"…\"]`",
        "10: sever: unknown key; did you mean server?",
        "15: credentials.backend = 3: expected \"memory\" or \"redis\"",
        "16: credentials.token_key = \"a b\": expected a Redis key such as \"wxgate:token:{app_id}\" (not empty, no white \
         space, no braces except {app_id})",
        "17: credentials.daily_token_calls = 99999999999999999999: expected a whole number from 0 to 4294967295",
        "20: media.max_bytes = 20971520: expected a string, in quotes",
        "21: media.allowed_types[0] = \"image/jpg\": expected one of \"image/jpeg\", \"image/png\", \"image/gif\", \
         \"image/webp\", \"image/bmp\", \"image/heic\"",
        "23: accounts[0].app_secret: missing: every account needs its AppSecret (app_secret or app_secret_file)",
        "24: accounts[0].app_id = \"wx 1\": expected an AppID such as \"wx0123456789abcdef\" (1 to 64 letters, \
         digits, _ or -)",
        "25: accounts[0].js_domains[0] = \"https://a.cn\": expected a domain without a scheme, such as \
         \"example.com\" or \"example.com/mp\"",
        "27: accounts[1].app_id: missing: every account needs its AppID",
        "28: accounts[1].app-id: unknown key; did you mean accounts[1].app_id?",
    ];
    let found = load_text(MISTAKES).unwrap_err();
    assert_eq!(found, expected.map(|line| format!("wxgate.toml:{line}")));
}

#[test]
fn toml_errors_are_reported_with_other_mistakes() {
    let found = problems("[server]\ndocs = yes please\nlisen = 1\n[media\nmax_concurrent = 1 2\n");
    assert_eq!(
        found[0],
        "wxgate.toml:3: not valid TOML: string values must be quoted, expected literal string"
    );
    for line in [
        "wxgate.toml:4: server.lisen: unknown key; did you mean server.listen?",
        "wxgate.toml:5: not valid TOML: unclosed table, expected `]`",
    ] {
        assert!(found.iter().any(|problem| problem == line), "{found:?}");
    }
}

/// In our own words, not serde's.
#[test]
fn keys_all_say_what_they_expect() {
    fn try_all(table: &toml::Table, path: &str) {
        for (key, value) in table {
            let path = format!("{path}{key}");
            let wrong = match value {
                toml::Value::Table(inner) => {
                    try_all(inner, &format!("{path}."));
                    "5"
                }
                toml::Value::Array(_) => "5",
                _ => "[]",
            };
            let found = problems(&format!("{path} = {wrong}"));
            assert!(
                found[0].starts_with(&format!("wxgate.toml:2: {path}: expected ")),
                "{found:?}"
            );
            assert!(!found[0].contains("another value"), "{found:?}");
        }
    }
    let mut sample: toml::Table = Settings::default().to_masked_toml().parse().unwrap();
    sample.remove("accounts");
    try_all(&sample, "");
}

#[test]
fn file_that_is_binary_or_too_large_is_refused() {
    let file = SettingsFile::new("");
    for (content, problem) in [
        (b"\xff\xfe".to_vec(), "it is not UTF-8"),
        (vec![b' '; 1024 * 1024 + 1], "it is larger than 1 MiB"),
    ] {
        std::fs::write(file.path_of("wxgate.toml"), content).unwrap();
        let text = format!("wxgate.toml: can't read the settings file: {problem}");
        assert_eq!(file.load(&[]).unwrap_err(), [text]);
    }
}

#[test]
fn settings_file_may_begin_with_a_byte_order_mark() {
    assert!(load_text(&format!("\u{feff}{ACCOUNT}")).is_ok());
}
