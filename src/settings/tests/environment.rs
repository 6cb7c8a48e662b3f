//! The environment: it overrides the file, and all of its values are text.

use std::time::Duration;

use super::{ACCOUNT, SettingsFile, env_problems, load};
use crate::secret::Secret;
use crate::settings::values::{DirectHost, is_same_scalar};
use crate::settings::{Settings, TokenApi};

fn with(env: &[(&str, &str)]) -> Settings {
    SettingsFile::new(ACCOUNT).load(env).unwrap()
}

#[test]
fn environment_overrides_file() {
    let file = SettingsFile::new(&format!(
        "{ACCOUNT}[server]\nlisten = \"127.0.0.1:1\"\nrequest_timeout = \"7s\"\ntrusted_proxies = [\"10.0.0.0/8\", \"::/0\"]"
    ));
    let env = [
        ("WXGATE__SERVER__LISTEN", "127.0.0.1:2"),
        ("WXGATE__SERVER__TRUSTED_PROXIES", "192.168.0.0/16"),
    ];
    let server = file.load(&env).unwrap().server;
    assert_eq!(server.listen.port(), 2);
    assert_eq!(server.request_timeout, Duration::from_secs(7));
    assert_eq!(
        server.trusted_proxies,
        ["192.168.0.0/16".parse().unwrap()],
        "a list replaces a list"
    );
}

#[test]
fn variable_is_read_as_its_key_requires() {
    let settings = with(&[
        ("WXGATE__SERVER__DOCS", "false"),
        ("WXGATE__MEDIA__MAX_CONCURRENT", "3"),
        ("WXGATE__MEDIA__ALLOWED_TYPES", "image/png, image/gif,"),
        ("WXGATE__REDIS__USERNAME", "00123"),
        ("WXGATE__REDIS__NODES", "[\"a:1\", \"b:2\"]"),
        ("WXGATE__IMAGE_STORE__HTTP__SUCCESS_VALUE", "0"),
        ("WXGATE__IMAGE_STORE__HTTP__HEADERS", "{ X-Key = \"k\" }"),
        ("WXGATE__IMAGE_STORE__HTTP__HEADERS__AUTHORIZATION", "Bearer x"),
        ("WXGATE__WECHAT__FALLBACK_BASE_URLS", ""),
        ("WXGATE__RATE_LIMIT", "{ jssdk_per_second = 5 }"),
        ("WXGATE__HTTP_CLIENT__NO_PROXY", "files.internal,10.0.0.0/8"),
    ]);
    assert!(!settings.server.docs);
    assert_eq!(settings.media.max_concurrent, 3);
    assert_eq!(settings.media.allowed_types.len(), 2);
    assert_eq!(settings.redis.username, "00123");
    assert_eq!(settings.redis.nodes[1].as_str(), "b:2");
    let success = &settings.image_store.http.success_value;
    assert_eq!(*success, toml::Value::from("0"));
    assert!(is_same_scalar(success, &serde_json::json!(0)));
    let headers = &settings.image_store.http.headers;
    assert_eq!(
        (headers["x-key"].expose(), headers["authorization"].expose()),
        ("k", "Bearer x")
    );
    assert!(settings.wechat.fallback_base_urls.is_empty());
    assert_eq!(settings.rate_limit.jssdk().unwrap().burst_size().get(), 5);
    let direct = settings.http_client.no_proxy.iter().map(DirectHost::as_str);
    assert_eq!(direct.collect::<Vec<_>>(), ["files.internal", "10.0.0.0/8"]);
}

/// Upload services may distinguish `uploadPath` from `uploadpath`.
#[test]
fn form_fields_of_variables_keep_their_case() {
    let file = SettingsFile::new(ACCOUNT).with("key", "from-file\n");
    let key = file.path_of("key");
    let settings = file.load(&[
        ("WXGATE__IMAGE_STORE__HTTP__FIELDS__uploadPath", "h5"),
        ("WXGATE__IMAGE_STORE__HTTP__FIELDS__accessKey_file", &key),
        ("WXGATE__image_store__http__FIELDS__TOKEN_FILE", &key),
        ("WXGATE__IMAGE_STORE__HTTP__HEADERS__X-Key", "k"),
        ("WXGATE__IMAGE_STORE__HTTP__HEADERS__X-TOKEN_FILE", &key),
    ]);
    let http = settings.unwrap().image_store.http;
    let exposed = |(name, value): (&String, &Secret)| format!("{name}={}", value.expose());
    let fields: Vec<_> = http.fields.iter().map(exposed).collect();
    assert_eq!(fields, ["TOKEN=from-file", "accessKey=from-file", "uploadPath=h5"]);
    let headers: Vec<_> = http.headers.iter().map(exposed).collect();
    assert_eq!(headers, ["x-key=k", "x-token=from-file"]);
}

#[test]
fn first_account_needs_no_file() {
    let env = [
        ("WXGATE_APP_ID", "wx7"),
        ("WXGATE_APP_SECRET", "00123"),
        ("WXGATE_CONFIG", "x"),
        ("WXGATE_PORT", "tcp://1"),
    ];
    let settings = load(None, &env).unwrap();
    assert_eq!(settings.accounts.len(), 1);
    assert_eq!(settings.accounts[0].app_id.as_str(), "wx7");
    assert_eq!(settings.accounts[0].app_secret.expose(), "00123", "not the number 123");
}

#[test]
fn first_account_of_the_file_can_be_overridden_in_part() {
    let settings = with(&[
        ("WXGATE_APP_SECRET", "other"),
        ("WXGATE__ACCOUNTS__0__TOKEN_API", "classic"),
    ]);
    let account = &settings.accounts[0];
    assert_eq!((account.app_id.as_str(), account.app_secret.expose()), ("wx1", "other"));
    assert_eq!(account.token_api, TokenApi::Classic);
}

#[test]
fn further_accounts_are_numbered_without_gaps() {
    let settings = with(&[
        ("WXGATE__ACCOUNTS__1__APP_ID", "wx2"),
        ("WXGATE__ACCOUNTS__1__APP_SECRET", "s2"),
        ("WXGATE__ACCOUNTS__1__JS_DOMAINS__0", "example.com"),
    ]);
    assert_eq!(settings.accounts[1].app_id.as_str(), "wx2");
    assert_eq!(settings.accounts[1].js_domains.len(), 1);
    assert_eq!(
        env_problems(&[("WXGATE__ACCOUNTS__99999999999__APP_ID", "wx2")]),
        [
            "environment variable WXGATE__ACCOUNTS__99999999999__APP_ID: accounts[99999999999].app_id: there is no \
             accounts[99999999998] before it: entries of a list are numbered from 0, without gaps"
        ]
    );
}

#[test]
fn unknown_variables_are_refused() {
    let found = env_problems(&[
        ("WXGATE__SERVER__LISEN", "a secret"),
        ("WXGATE__LISTEN", "a secret"),
        ("WXGATE__APP_SECRET", "a secret"),
        ("WXGATE__ACCOUNTS__FIRST__APP_ID", "a secret"),
        ("WXGATE__SERVER__LISTEN__PORT", "a secret"),
        ("WXGATE__REDIS__PASSWRD_FILE", "a secret"),
        ("WXGATE__IMAGE_STORE__HTTP__HEADERS_FILE", "a secret"),
        ("WXGATE__", "a secret"),
        ("WXGATE_REDIS__PASSWORD\n", "a secret"),
        // As Kubernetes names them for services called wxgate and wxgate-internal.
        ("WXGATE_PORT", "tcp://10.0.0.1:80"),
        ("WXGATE_INTERNAL_SERVICE_HOST", "10.0.0.2"),
    ]);
    let expected = [
        "WXGATE_REDIS__PASSWORD\\n: names of settings begin with WXGATE__; did you mean WXGATE__REDIS__PASSWORD\\n?",
        "WXGATE__: \"\": unknown key",
        "WXGATE__ACCOUNTS__FIRST__APP_ID: accounts.first: unknown key",
        "WXGATE__APP_SECRET: app_secret: unknown key; did you mean WXGATE__ACCOUNTS__0__APP_SECRET?",
        // Each header's value is a secret; there is no single file for all of them.
        "WXGATE__IMAGE_STORE__HTTP__HEADERS_FILE: image_store.http.headers_file: unknown key",
        "WXGATE__LISTEN: listen: unknown key; did you mean WXGATE__INTERNAL__LISTEN or WXGATE__SERVER__LISTEN?",
        "WXGATE__REDIS__PASSWRD_FILE: redis.passwrd_file: unknown key; did you mean WXGATE__REDIS__PASSWORD_FILE?",
        "WXGATE__SERVER__LISEN: server.lisen: unknown key; did you mean WXGATE__SERVER__LISTEN?",
        "WXGATE__SERVER__LISTEN__PORT: server.listen.port: unknown key",
    ];
    assert_eq!(found, expected.map(|line| format!("environment variable {line}")));
}

#[test]
fn refused_values_are_reported_with_their_variable() {
    let found = env_problems(&[
        ("WXGATE__MEDIA__MAX_CONCURRENT", "-1"),
        ("WXGATE__SERVER__TRUSTED_PROXIES", "10.0.0.0/8,x"),
        ("WXGATE__SERVER__DOCS", "no"),
        // As Docker leaves the quotes of an --env-file.
        ("WXGATE__SERVER__REQUEST_TIMEOUT", "\"30s\""),
        ("WXGATE__ACCOUNTS", "wx1"),
        // Replaces bytes that are not UTF-8.
        ("WXGATE_APP_SECRET", "a secret\u{fffd}"),
        ("WXGATE_APP_ID", ""),
    ]);
    let expected = [
        "WXGATE_APP_ID: accounts[0].app_id = \"\": expected an AppID such as \"wx0123456789abcdef\" (1 to 64 letters, \
         digits, _ or -)",
        "WXGATE_APP_SECRET: accounts[0].app_secret: expected UTF-8",
        "WXGATE__ACCOUNTS: accounts: expected a list of tables, `[[accounts]]`",
        "WXGATE__MEDIA__MAX_CONCURRENT: media.max_concurrent = \"-1\": expected a whole number, 0 or more",
        "WXGATE__SERVER__DOCS: server.docs = \"no\": expected true or false",
        "WXGATE__SERVER__REQUEST_TIMEOUT: server.request_timeout = \"\\\"30s\\\"\": expected a duration such as \"5s\", \
         \"300s\" or \"1h\" (1ms to 24h)",
        "WXGATE__SERVER__TRUSTED_PROXIES: server.trusted_proxies[1] = \"x\": expected a network such as \
         \"10.0.0.0/8\", or \"10.0.0.7/32\" for one address",
    ];
    assert_eq!(found, expected.map(|line| format!("environment variable {line}")));
}
