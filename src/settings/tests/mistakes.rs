//! Values of the right shape that must be mistakes.

use super::{ACCOUNT, SettingsFile, load_text, problems};

const APP_SECRET: &str = "0123456789abcdef0123456789abcdef";

fn with_app_secret(secret: &str) -> crate::settings::Settings {
    load_text(&format!(
        "accounts = [{{ app_id = \"wx1\", app_secret = '''{secret}''' }}]"
    ))
    .unwrap()
}

#[test]
fn byte_order_mark_and_blanks_around_an_app_secret_are_cut() {
    let file = SettingsFile::new("").with("secret", &format!("\u{feff} {APP_SECRET}\r\n"));
    let text = format!(
        "accounts = [{{ app_id = \"wx1\", app_secret_file = {:?} }}]",
        file.path_of("secret")
    );
    let from_file = file.with("wxgate.toml", &text).load(&[]).unwrap();
    for settings in [from_file, with_app_secret(&format!("\u{feff}{APP_SECRET} "))] {
        assert_eq!(settings.accounts[0].app_secret.expose(), APP_SECRET);
        assert_eq!(settings.warnings(), [""; 0]);
    }
    let env = [
        ("WXGATE_APP_SECRET", "\u{feff}\u{a0}a b\t"),
        ("WXGATE__AUTH__API_KEYS", "\u{feff}one"),
        ("WXGATE__IMAGE_STORE__HTTP__HEADERS", "{ x-key = ' \u{feff}two ' }"),
        ("WXGATE__REDIS__URL", " redis://r "),
        ("WXGATE__REDIS__USERNAME", " not a secret "),
    ];
    let settings = SettingsFile::new(ACCOUNT).load(&env).unwrap();
    assert_eq!(settings.accounts[0].app_secret.expose(), "a b");
    assert_eq!(settings.auth.api_keys[0].expose(), "one");
    assert_eq!(settings.image_store.http.headers["x-key"].expose(), "two");
    assert_eq!(settings.redis.url.expose(), "redis://r");
    assert_eq!(settings.redis.username, " not a secret ");
    let blank = SettingsFile::new("").with("secret", "\u{feff} \n");
    let env = [("WXGATE__REDIS__PASSWORD_FILE", &*blank.path_of("secret"))];
    let found = blank.load(&env).unwrap_err();
    assert!(
        found.iter().any(|line| line.ends_with("\"secret\" is empty")),
        "{found:?}"
    );
}

#[test]
fn settings_file_may_begin_with_a_byte_order_mark() {
    assert!(load_text(&format!("\u{feff}{ACCOUNT}")).is_ok());
}

#[test]
fn odd_app_secret_is_warned_about_and_not_shown() {
    for (secret, words) in [
        (format!("\"{APP_SECRET}\""), "has quotes around it"),
        (format!("'{APP_SECRET}'"), "has quotes around it"),
        (format!("“{APP_SECRET}”"), "has quotes around it"),
        (format!("{APP_SECRET}0"), "is not 32 letters and digits"),
        (APP_SECRET.replace('0', "*"), "is not 32 letters and digits"),
    ] {
        let warnings = with_app_secret(&secret).warnings();
        let [warning] = warnings.as_slice() else {
            panic!("{warnings:?}")
        };
        assert!(
            warning.starts_with(&format!("accounts[0].app_secret {words}")),
            "{warning}"
        );
        assert!(!warning.contains("123456"), "{warning}");
    }
}

#[test]
fn client_secret_that_sdks_garble_or_others_guess_is_warned_about() {
    let warnings = |secret: &str| {
        let client = format!("internal.clients = [{{ name = \"crm\", secret = {secret:?} }}]");
        load_text(&format!("{ACCOUNT}{client}")).unwrap().warnings()
    };
    assert_eq!(warnings("long-enough.to_be~safe"), [""; 0]);
    for secret in [
        "a secret of its own",
        "a+secret+of+its+own",
        "秘密秘密秘密秘密秘密秘密秘密秘密",
    ] {
        let found = warnings(secret);
        assert!(
            found.len() == 1 && found[0].contains("(crm)") && found[0].contains("SDKs"),
            "{found:?}"
        );
        assert!(!found[0].contains(secret), "{found:?}");
    }
    let found = warnings("short");
    assert!(found.len() == 1 && found[0].contains("shorter than 16"), "{found:?}");
}

#[test]
fn example_client_secret_can_be_sent() {
    let example = include_str!("../../../config/wxgate.example.toml");
    let line = example
        .lines()
        .find_map(|line| line.strip_prefix("#secret = "))
        .unwrap();
    let client = format!("internal.clients = [{{ name = \"crm\", secret = {line} }}]");
    assert_eq!(load_text(&format!("{ACCOUNT}{client}")).unwrap().warnings(), [""; 0]);
}

#[test]
fn wecom_app_id_is_refused_with_the_reason() {
    let found = load_text(&format!(
        "accounts = [{{ app_id = \"ww0123456789abcdef\", app_secret = {APP_SECRET:?} }}]"
    ));
    let found = found.unwrap_err();
    assert!(
        found[0].contains("accounts[0].app_id") && found[0].contains("企业微信"),
        "{found:?}"
    );
}

#[test]
fn unicode_js_domain_is_refused_with_its_ascii_form() {
    let text = format!(
        "accounts = [{{ app_id = \"wx1\", app_secret = {APP_SECRET:?}, js_domains = [\"a.cn\", \"例子.cn\"] }}]"
    );
    assert_eq!(
        load_text(&text).unwrap_err(),
        [
            "wxgate.toml:1: accounts[0].js_domains[1] = \"例子.cn\": expected \"xn--fsqu00a.cn\": pages' URLs, which are \
             compared with it, are in ASCII"
        ]
    );
}

#[test]
fn raw_characters_in_a_redis_password_are_explained_from_a_file_too() {
    let found = problems("redis.url = \"redis://:hunter#2@r:6379/0\"");
    assert!(
        found[0].contains("redis.url: expected a password without a raw `#`"),
        "{found:?}"
    );
    let file = SettingsFile::new(ACCOUNT).with("url", "redis://:hunter/2@r:6379/0\n");
    let found = file
        .load(&[("WXGATE__REDIS__URL_FILE", &file.path_of("url"))])
        .unwrap_err();
    assert!(
        found[0].contains("in the file: expected a password without a raw"),
        "{found:?}"
    );
    assert!(!found[0].contains("hunter"), "{found:?}");
}

#[test]
fn keys_that_no_header_can_carry_are_refused() {
    for (text, key) in [
        (
            "internal.operator_key = \"钥匙钥匙钥匙钥匙钥匙钥匙钥匙钥匙\"",
            "internal.operator_key",
        ),
        (
            "internal.operator_key = \"one line\\nand another\"",
            "internal.operator_key",
        ),
        (
            "auth.api_keys = [\"a-key-of-some-length\", \"schlüssel-für-alle\"]",
            "auth.api_keys",
        ),
    ] {
        let found = problems(text);
        assert!(
            found.len() == 1 && found[0].contains(key) && found[0].contains("header"),
            "{found:?}"
        );
    }
}

#[test]
fn amounts_out_of_bounds_are_refused_with_their_bounds() {
    for (text, key, bounds) in [
        (
            "server.request_timeout = \"100h\"",
            "server.request_timeout",
            "1ms to 1day",
        ),
        (
            "server.shutdown_grace = \"1ns\"",
            "server.shutdown_grace",
            "1ms to 1day",
        ),
        (
            "wechat.timeout = \"25h\"\ncredentials.lock_ttl = \"26h\"",
            "wechat.timeout",
            "1ms to 1day",
        ),
        (
            "credentials.adopt_interval = \"1ms\"",
            "credentials.adopt_interval",
            "10ms to 1day",
        ),
        (
            "credentials.refresh_ahead = \"300h\"",
            "credentials.refresh_ahead",
            "1ms to 1day",
        ),
        (
            "redis.response_timeout = \"1000days\"",
            "redis.response_timeout",
            "365 days",
        ),
        (
            "internal.min_expires_in = \"3h\"",
            "internal.min_expires_in",
            "2h at most",
        ),
        (
            "internal.clients = [{ name = \"crm\", secret = \"s\", min_expires_in = \"121m\" }]",
            "internal.clients[0].min_expires_in",
            "2h at most",
        ),
        ("media.max_bytes = \"20TiB\"", "media.max_bytes", "1GiB at most"),
        ("internal.proxy_buffer = \"1KiB\"", "internal.proxy_buffer", "64KiB"),
        ("internal.proxy_buffer = \"1TiB\"", "internal.proxy_buffer", "64GiB"),
        (
            "media.max_concurrent = 100000000",
            "media.max_concurrent",
            "100000 at most",
        ),
        (
            "credentials.daily_token_calls = 4294967295",
            "credentials.daily_token_calls",
            "1000000 at most",
        ),
        (
            "rate_limit.jssdk_per_second = 2000000",
            "rate_limit.jssdk_per_second",
            "1000000 at most",
        ),
        (
            "image_store.http.timeout = \"300days\"",
            "image_store.http.timeout",
            "1ms to 1day",
        ),
    ] {
        let found = problems(text);
        assert!(
            found.iter().any(|line| line.contains(key) && line.contains(bounds)),
            "{text}: {found:?}"
        );
    }
}
