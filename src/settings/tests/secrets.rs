//! Secrets: read from files, and never shown.

use super::{ACCOUNT, SettingsFile, env_problems, load_text};
use crate::secret::Secret;
use crate::settings::values::HttpProxy;

const MARKER: &str = "hunter2";

#[test]
fn secret_is_read_from_a_file() {
    let file = SettingsFile::new("")
        .with("app", "0012\n")
        .with("keys", "\none \r\n\ntwo\n")
        .with("url", "redis://:p@r:1\r\n")
        .with("proxy", "http://user:hunter2@proxy:3128\n");
    let text = format!(
        "[[accounts]]\napp_id = \"wx1\"\napp_secret_file = {:?}\n[auth]\napi_keys_file = {:?}\n\
         [image_store.http.headers]\nAuthorization_file = {0:?}\n\
         [image_store.http.fields]\nis_file_file = {0:?}\n",
        file.path_of("app"),
        file.path_of("keys")
    );
    let file = file.with("wxgate.toml", &text);
    let env = [
        ("WXGATE__REDIS__URL_FILE", &*file.path_of("url")),
        ("WXGATE__REDIS__PASSWORD_FILE", &file.path_of("app")),
        ("WXGATE__HTTP_CLIENT__PROXY_FILE", &file.path_of("proxy")),
    ];
    let settings = file.load(&env).unwrap();
    let HttpProxy::Through(proxy) = &settings.http_client.proxy else {
        panic!("{settings:?}");
    };
    assert_eq!(proxy.expose(), "http://user:hunter2@proxy:3128/");
    assert_eq!(settings.accounts[0].app_secret.expose(), "0012");
    assert_eq!(settings.redis.password.expose(), "0012");
    let redis = settings.redis.url.connection_info();
    assert_eq!(redis.redis_settings().password(), Some("p"));
    let http = &settings.image_store.http;
    assert_eq!(http.headers["authorization"].expose(), "0012");
    assert_eq!(
        http.fields["is_file"].expose(),
        "0012",
        "a field that is called like a file"
    );
    let keys = settings.auth.api_keys.iter().map(Secret::expose);
    assert_eq!(keys.collect::<Vec<_>>(), ["one", "two"]);
}

#[test]
fn later_layer_replaces_a_secret_in_either_form() {
    let file = SettingsFile::new("").with("a", "from-file").with("k", "one\ntwo\n");
    let as_file = format!(
        "{ACCOUNT}redis.password_file = {:?}\nauth.api_keys_file = {:?}",
        file.path_of("a"),
        file.path_of("k")
    );
    let file = file.with("wxgate.toml", &as_file);
    let settings = file
        .load(&[
            ("WXGATE__REDIS__PASSWORD", "plain"),
            ("WXGATE__AUTH__API_KEYS__0", "three"),
        ])
        .unwrap();
    assert_eq!(settings.redis.password.expose(), "plain");
    assert_eq!(settings.auth.api_keys[0].expose(), "three");
    assert_eq!(settings.auth.api_keys.len(), 1);

    let file = file.with(
        "wxgate.toml",
        &format!("{ACCOUNT}redis.password = \"plain\"\nauth.api_keys = [\"three\", \"four\", \"five\"]"),
    );
    let env = [
        ("WXGATE__REDIS__PASSWORD_FILE", &*file.path_of("a")),
        ("WXGATE__AUTH__API_KEYS_FILE", &file.path_of("k")),
    ];
    let settings = file.load(&env).unwrap();
    assert_eq!(settings.redis.password.expose(), "from-file");
    assert_eq!(settings.auth.api_keys.len(), 2);
}

#[test]
fn secret_file_of_an_earlier_layer_is_not_missed() {
    let text = "[[accounts]]\napp_id = \"wx1\"\napp_secret_file = \"/nonexistent\"\n\
                [redis]\npassword_file = \"/nonexistent\"\n[auth]\nmode = \"api_key\"\napi_keys_file = \"/nonexistent\"\n";
    let file = SettingsFile::new(text).with("a", "from-file");
    let env = [
        ("WXGATE_APP_SECRET", "plain"),
        ("WXGATE__REDIS__PASSWORD_FILE", &*file.path_of("a")),
        ("WXGATE__AUTH__API_KEYS__0", "three"),
    ];
    let settings = file.load(&env).unwrap();
    assert_eq!(settings.accounts[0].app_secret.expose(), "plain");
    assert_eq!(settings.redis.password.expose(), "from-file");
    assert_eq!(settings.auth.api_keys.len(), 1);

    // What is checked together is checked with the value that counts.
    let env = [
        env[0],
        ("WXGATE__REDIS__PASSWORD", "plain"),
        ("WXGATE__AUTH__API_KEYS", "[]"),
    ];
    let problems = file.load(&env).unwrap_err();
    assert!(
        problems.len() == 1 && problems[0].contains("auth.api_keys"),
        "{problems:?}"
    );

    // Only the file that counts is missed.
    let env = [
        env[0],
        ("WXGATE__REDIS__PASSWORD_FILE", "/missing"),
        ("WXGATE__AUTH__API_KEYS", "x"),
    ];
    let problems = file.load(&env).unwrap_err();
    assert!(problems.len() == 1 && problems[0].contains("/missing"), "{problems:?}");
}

#[test]
fn secret_in_both_forms_in_one_layer_is_refused() {
    let file = SettingsFile::new("").with("a", "x");
    let text = format!(
        "{ACCOUNT}[redis]\npassword = \"p\"\npassword_file = {:?}\n",
        file.path_of("a")
    );
    assert_eq!(
        file.with("wxgate.toml", &text).load(&[]).unwrap_err(),
        ["wxgate.toml:4: redis.password: given twice, here and at wxgate.toml:3"]
    );
}

#[test]
fn unusable_secret_file_is_reported() {
    let file = SettingsFile::new("")
        .with("empty", "\n")
        .with("url", "redis://:hunter/2@r");
    let env = [
        ("WXGATE__AUTH__JWT_KEY_FILE", "/nonexistent/jwt"),
        ("WXGATE__AUTH__API_KEYS_FILE", "missing.txt"),
        ("WXGATE__REDIS__PASSWORD_FILE", &*file.path_of("empty")),
        ("WXGATE__REDIS__URL_FILE", &file.path_of("url")),
        ("WXGATE__INTERNAL__OPERATOR_KEY_FILE", "hunter2"),
        ("WXGATE__SERVER__LISTEN_FILE", "/nonexistent"),
    ];
    let expected = [
        "WXGATE__AUTH__API_KEYS_FILE: auth.api_keys_file: can't read \"missing.txt\": No such file or directory (os error 2); \
         a relative path is resolved against the working directory",
        "WXGATE__AUTH__JWT_KEY_FILE: auth.jwt_key_file: can't read \"/nonexistent/jwt\": No such file or directory (os \
         error 2)",
        "WXGATE__INTERNAL__OPERATOR_KEY_FILE: internal.operator_key_file: expected the path of a file that holds the secret \
         (not shown, it may be the secret itself): No such file or directory (os error 2); a relative path is resolved against \
         the working directory",
        "WXGATE__REDIS__PASSWORD_FILE: redis.password_file: \"empty\" is empty",
        "WXGATE__REDIS__URL_FILE: redis.url_file: in the file: expected a password without a raw `#`, `/` or `?`: \
         percent-encode it (%23, %2F, %3F), or give it as redis.password instead (the value is not shown, it may hold a \
         password)",
        "WXGATE__SERVER__LISTEN_FILE: server.listen_file: unknown key",
    ];
    let found = file.with("wxgate.toml", ACCOUNT).load(&env).unwrap_err();
    assert_eq!(found, expected.map(|line| format!("environment variable {line}")));
}

/// Whatever mistake an operator makes near a secret, the message does not contain it.
#[test]
fn problems_never_show_a_secret() {
    let texts = [
        // Of the wrong type, or in the wrong place.
        "redis = \"hunter2\"",
        "accounts = \"hunter2\"",
        "accounts = [\"hunter2\"]",
        "auth.api_keys = \"hunter2\"",
        "auth.api_keys = [[\"hunter2\"]]",
        "image_store.http.headers = \"hunter2\"",
        "image_store.http.headers.X = [\"hunter2\"]",
        "internal.operator_key = { hunter2 = 1 }",
        "redis.password = [\"hunter2\"]",
        "redis.password_file = \"hunter2\"",
        "redis.password_file = [\"hunter2\"]",
        "redis.password = { \"$file-content\" = \"hunter2\", x = 1 }",
        "server.listen = [\"hunter2\"]",
        // Under an unknown key.
        "redis.pasword = \"hunter2\"",
        "app_secret = \"hunter2\"",
        "[old.section]\nx = \"hunter2\"",
        "accounts = [{ app_id = \"wx1\", secret = \"hunter2\" }]",
        // In a URL.
        "redis.url = \"hunter2\"",
        "redis.url = \"http://:hunter2@r\"",
        "redis.url = \"redis://:hunter2@r:port\"",
        "redis.url = \"redis://r?password=hunter2\"",
        "redis.nodes = [\"redis://:hunter2@r:1\"]",
        "http_client.proxy = \"hunter2\"",
        "http_client.proxy = \"ftp://u:hunter2@proxy\"",
        "http_client.proxy = \"http://u:hunter2/@proxy\"",
        "http_client.proxy = [\"hunter2\"]",
        "http_client.no_proxy = [\"http://u:hunter2@a.cn\"]",
        "wechat.api_base_url = \"https://u:hunter2@a.cn\"",
        "image_store.http.url = \"ftp://a.cn?key=hunter2\"",
        "telemetry.otlp_endpoint = \"https://hunter2@a.cn\"",
        // In TOML with a syntax error near it.
        "redis.password = hunter2",
        "redis.password = \"hunter2",
        "redis.password \"hunter2\"",
        "redis.password = \"a\" hunter2",
        "redis.password = \"hunter2\\q\"",
        "server.docs = true password = \"hunter2\"",
        "server.docs = \"\"\"\nredis.password = \"hunter2\"",
        "server.docs = \"\"\"\nredis.password = 'hunter2'\n\"\"\"",
        "server.docs = \"truehunter2\nredis.password = \"hunter2\"",
        "redis.password = \"a\"\nredis.password = \"hunter2\"",
        "[redis\npassword = \"hunter2\"",
        "redis = { password = \"hunter2\", ",
        "hunter2",
        // Between fields.
        "internal.clients = [{ name = \"!\", secret = \"hunter2\" }]",
        "auth = { mode = \"jwt\", jwt_algorithm = \"RS256\", jwt_key = \"hunter2\" }",
        "image_store = { backend = \"http\", http = { headers = { X = \"hunter2\\n\" } } }",
        "auth.api_keys = [\"hunter2\", \"\"]",
    ];
    for text in texts {
        let found = load_text(text).expect_err(text);
        assert!(!found.iter().any(|line| line.contains(MARKER)), "{text}\n{found:#?}");
    }
}

#[test]
fn problems_never_show_a_variable_that_may_be_secret() {
    for name in [
        "REDIS",
        "HTTP_CLIENT__PROXY",
        "REDIS__URL",
        "REDIS__PASSWRD",
        "ACCOUNTS",
        "ACCOUNTS__0",
        "ACCOUNTS__0__APP_SECRET_FILE",
        "AUTH__API_KEYS_FILE",
        "IMAGE_STORE__HTTP__HEADERS",
        "INTERNAL__CLIENTS",
        "INTERNAL__CLIENTS__0",
        "X",
    ] {
        let found = env_problems(&[(&format!("WXGATE__{name}"), MARKER)]);
        assert!(!found.iter().any(|line| line.contains(MARKER)), "{found:#?}");
    }
}

#[test]
fn masked_settings_show_no_secret() {
    let text = "
        [[accounts]]
        app_id = \"wx1\"
        app_secret = \"hunter2\"
        [internal]
        operator_key = \"hunter2\"
        clients = [{ name = \"crm\", secret = \"hunter2\" }]
        [http_client]
        proxy = \"http://user:hunter2@proxy:3128\"
        [redis]
        url = \"rediss://user:hunter2@r:1/2\"
        password = \"hunter2\"
        nodes = [\"[::1]:7\"]
        [wechat]
        media_timeout = \"1h 2s 30ms\"
        [image_store]
        backend = \"http\"
        local = { public_base_url = \"https://a.cn/images/\" }
        http = { url = \"https://files.internal/up\", headers = { Authorization = \"Bearer hunter2\" } }
        s3 = { access_key_id = \"hunter2\", secret_access_key = \"hunter2\" }
        [auth]
        api_keys = [\"hunter2\"]
        jwt_key = \"hunter2\"
    ";
    let settings = load_text(text).unwrap();
    let masked = settings.to_masked_toml();
    assert_eq!(masked.matches("********").count(), text.matches(MARKER).count());
    assert!(!masked.contains(MARKER), "{masked}");
    assert!(!format!("{settings:?}").contains(MARKER));
    assert_eq!(load_text(&masked).unwrap().to_masked_toml(), masked);
}

/// Some upload services take their key there.
#[test]
fn masked_settings_show_no_query() {
    let query = "token=hunter2&hunter2";
    let text = format!(
        "{ACCOUNT}image_store.http.url = \"https://files.internal/up?{query}\"\n\
         auth.jwt_jwks_url = \"https://login.example.com/keys?{query}\"\n\
         telemetry.otlp_endpoint = \"https://traces.internal/?{query}\""
    );
    let masked = load_text(&text).unwrap().to_masked_toml();
    assert!(!masked.contains(MARKER), "{masked}");
    assert!(masked.contains("https://files.internal/up?********\""), "{masked}");
    assert_eq!(load_text(&masked).unwrap().to_masked_toml(), masked);
}

#[test]
fn byte_order_mark_and_blanks_around_an_app_secret_are_cut() {
    const APP_SECRET: &str = "0123456789abcdef0123456789abcdef";
    let file = SettingsFile::new("").with("secret", &format!("\u{feff} {APP_SECRET}\r\n"));
    let path = file.path_of("secret");
    let from_file = format!("accounts = [{{ app_id = \"wx1\", app_secret_file = {path:?} }}]");
    let written = format!("accounts = [{{ app_id = \"wx1\", app_secret = \"\u{feff}{APP_SECRET} \" }}]");
    for text in [from_file, written] {
        let settings = load_text(&text).unwrap();
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
    assert_eq!(settings.redis.url.host(), "r");
    assert_eq!(settings.redis.username, " not a secret ");
    let blank = SettingsFile::new("").with("secret", "\u{feff} \n");
    let env = [("WXGATE__REDIS__PASSWORD_FILE", &*blank.path_of("secret"))];
    let found = blank.load(&env).unwrap_err();
    assert!(
        found.iter().any(|line| line.ends_with("\"secret\" is empty")),
        "{found:?}"
    );
}
