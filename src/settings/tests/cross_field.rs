//! Checks of fields against each other.

use super::resolved::ED25519;
use super::{ACCOUNT, SettingsFile, env_problems, load, load_text, problems};

/// The one problem of this text after an account, without its place.
fn problem(text: &str) -> String {
    let found = problems(text);
    let [one] = found.as_slice() else {
        panic!("expected one problem: {found:#?}")
    };
    let (place, problem) = one.split_once(": ").unwrap();
    assert!(place.starts_with("wxgate.toml"), "{one}");
    problem.to_owned()
}

fn loads(text: &str) {
    load_text(&format!("{ACCOUNT}{text}")).expect(text);
}

fn warnings(text: &str) -> Vec<String> {
    load_text(&format!("{ACCOUNT}{text}")).expect(text).warnings()
}

#[test]
fn account_is_required() {
    let text = "accounts: no account is set: add [[accounts]] with app_id and app_secret, or set WXGATE_APP_ID and \
                WXGATE_APP_SECRET";
    assert_eq!(load(None, &[]).unwrap_err(), [text]);
    assert_eq!(load_text("").unwrap_err(), [format!("wxgate.toml: {text}")]);
}

#[test]
fn accounts_are_complete_and_differ() {
    let found =
        load_text("[[accounts]]\napp_id = \"a\"\napp_secret = \" \"\n[[accounts]]\napp_id = \"a\"\n[[accounts]]")
            .unwrap_err();
    assert_eq!(
        found,
        [
            "wxgate.toml:3: accounts[0].app_secret: missing: every account needs its AppSecret (app_secret or app_secret_file)",
            "wxgate.toml:4: accounts[1].app_secret: missing: every account needs its AppSecret (app_secret or app_secret_file)",
            "wxgate.toml:5: accounts[1].app_id: accounts[0] has the same AppID; list each account once",
            "wxgate.toml:6: accounts[2].app_id: missing: every account needs its AppID",
            "wxgate.toml:6: accounts[2].app_secret: missing: every account needs its AppSecret (app_secret or app_secret_file)",
        ]
    );
}

#[test]
fn redis_keys_keep_accounts_and_kinds_apart() {
    loads("credentials.token_key = \"weChat_client_credential:access_token\"");
    let second =
        "[[accounts]]\napp_id = \"wx1\"\napp_secret = \"s\"\n[[accounts]]\napp_id = \"wx2\"\napp_secret = \"s\"\n";
    load_text(second).unwrap();
    let found = load_text(&format!("{second}[credentials]\nlock_key = \"lock\"")).unwrap_err();
    assert_eq!(
        found,
        [
            "wxgate.toml:8: credentials.lock_key: expected {app_id} in it: with several accounts, one would overwrite the other's"
        ]
    );
    assert_eq!(
        problem("credentials = { ticket_key = \"k:{app_id}\", lock_key = \"k:wx1\" }"),
        "credentials.lock_key: is the same Redis key as credentials.ticket_key; each needs its own"
    );
}

#[test]
fn lock_ttl_must_exceed_the_longest_call() {
    let found =
        problem("credentials.lock_ttl = \"11s\"\nwechat.fallback_base_urls = [\"https://a.cn\", \"https://b.cn\"]");
    assert!(
        found.starts_with("credentials.lock_ttl: expected more than 11s: one call to WeChat may take that long"),
        "{found}"
    );
    loads("credentials.lock_ttl = \"11001ms\"\nwechat.fallback_base_urls = [\"https://a.cn\", \"https://b.cn\"]");
    loads("credentials.lock_ttl = \"8s\"");
}

#[test]
fn consequences_of_a_refused_value_are_not_reported() {
    // With the default in its place, the lock would be too short.
    assert_eq!(
        problems("credentials.lock_ttl = \"1 aeon\"\nwechat.timeout = \"40s\"").len(),
        1
    );
    assert_eq!(problems("redis = { mode = \"cluster\", nodes = [\"x\"] }").len(), 1);
    assert_eq!(load_text("accounts = 5").unwrap_err().len(), 1);
    assert_eq!(
        env_problems(&[
            ("WXGATE__SERVER__LISTEN", "x"),
            ("WXGATE__INTERNAL__LISTEN", "127.0.0.1:8080")
        ])
        .len(),
        1
    );
}

#[test]
fn redis_modes_need_addresses() {
    assert!(problem("redis.mode = \"cluster\"").starts_with("redis.nodes: missing: "));
    assert!(problem("redis.mode = \"sentinel\"").starts_with("redis.nodes: missing: "));
    let sentinel = "redis = { mode = \"sentinel\", nodes = [\"s:26379\"], sentinel_service = \"\" }";
    assert!(problem(sentinel).starts_with("redis.sentinel_service: missing: "));
    loads("redis = { mode = \"cluster\", nodes = [\"r:6379\"] }");
    let half = "redis = { mode = \"sentinel\", nodes = [\"s:26379\"], sentinel_username = \"u\" }";
    assert!(problem(half).starts_with("redis.sentinel_password: missing: "));
}

#[test]
fn media_needs_types_and_concurrency() {
    assert!(problem("media.allowed_types = []").starts_with("media.allowed_types: expected at least one"));
    assert!(problem("media.max_concurrent = 0").starts_with("media.max_concurrent: expected 1 or more"));
}

#[test]
fn image_store_in_use_must_be_complete() {
    let found =
        problems("image_store = { backend = \"http\", http = { url_pointer = \"\", attempts = 11, field = \"\" } }");
    assert_eq!(
        found,
        [
            "wxgate.toml:2: image_store.http.url: missing: image_store.backend \"http\" needs the address to post \
             pictures to",
            "wxgate.toml:2: image_store.http.url_pointer: missing: image_store.backend \"http\" needs the location of \
             the picture's URL in the answer",
            "wxgate.toml:2: image_store.http.field: missing: image_store.backend \"http\" needs the name of the file's \
             form field",
            "wxgate.toml:2: image_store.http.attempts: expected a number from 1 to 10",
        ]
    );
    assert_eq!(problems("image_store.backend = \"s3\"").len(), 2);
    loads(
        "image_store = { backend = \"s3\", s3 = { bucket = \"b\", access_key_id = \"a\", secret_access_key = \"s\", \
           public_base_url = \"https://img.example.com\" } }",
    );
    loads("image_store = { backend = \"http\", http = { url = \"http://files/up\", headers = { Host = \"h\" } } }");
}

#[test]
fn image_store_headers_are_valid_and_do_not_describe_the_body() {
    let found = problems(
        "[image_store]\nbackend = \"http\"\n[image_store.http]\nurl = \"http://files/\"\n[image_store.http.headers]\n\
         \"a b\" = \"x\"\nContent-Type = \"x\"\nX-Key = \"line\\nline\"",
    );
    assert_eq!(
        found,
        [
            "wxgate.toml:7: image_store.http.headers.\"a b\": expected a header's name, such as Authorization",
            "wxgate.toml:8: image_store.http.headers.content-type: this header can't be set: it describes the body, which \
         differs from picture to picture",
            "wxgate.toml:9: image_store.http.headers.x-key: expected a header's value, one line of text (it is not shown, it \
         may be secret)",
        ]
    );
}

#[test]
fn public_base_url_does_not_shadow_own_routes() {
    for path in [
        "/wechat",
        "/p/images",
        "/healthz",
        "/readyz",
        "/docs/img/",
        "/openapi.json",
        "https://h5.example.com/p",
    ] {
        let found = problem(&format!("image_store.local.public_base_url = \"{path}\""));
        assert!(found.starts_with("image_store.local.public_base_url: /"), "{found}");
    }
    loads("image_store.local.public_base_url = \"/photos/p\"");
    loads("image_store.local.public_base_url = \"https://img.example.com\"");
}

#[test]
fn clients_have_names_secrets_and_known_accounts() {
    let found = problems(
        "internal.clients = [{ name = \"crm\", secret = \"a\" }, { name = \"crm\" }, { name = \"a b\", secret = \"s\", \
         app_ids = [\"wx1\", \"wx9\"] }]",
    );
    let found: Vec<_> = found
        .iter()
        .map(|line| line.strip_prefix("wxgate.toml:2: internal.").unwrap())
        .collect();
    assert_eq!(
        found,
        [
            "clients[1].name: internal.clients[0] has the same name; they could not be told apart",
            "clients[1].secret: missing: every client needs a secret of its own (secret or secret_file)",
            "clients[2].name: expected a name of 1 to 32 letters, digits, `_` or `-`: the journal and the log show it",
            "clients[2].app_ids[1]: wx9 is not among [[accounts]]",
        ]
    );
}

#[test]
fn auth_mode_has_its_keys() {
    assert!(problem("auth.mode = \"api_key\"").starts_with("auth.api_keys: missing"));
    assert!(problem("auth.api_keys = [\"a\", \" \"]").starts_with("auth.api_keys: one of the keys is empty"));
    assert!(problem("auth.mode = \"jwt\"").starts_with("auth.jwt_key: missing"));
    let bad_url = problem("auth = { mode = \"jwt\", jwt_algorithm = \"RS256\", jwt_jwks_url = \"ftp://x\" }");
    assert!(
        bad_url.starts_with("auth.jwt_jwks_url") && !bad_url.contains("jwt_key"),
        "{bad_url}"
    );
    let pem = ED25519.replace('\n', "\\n");
    assert!(problem(&format!("auth = {{ mode = \"jwt\", jwt_key = \"{pem}\" }}")).contains("expected a shared secret"));
    assert!(problem("auth = { mode = \"jwt\", jwt_key = \"s\", jwt_algorithm = \"ES256\" }").contains("in PEM"));
    loads(&format!(
        "auth = {{ mode = \"jwt\", jwt_key = \"{pem}\", jwt_algorithm = \"EdDSA\" }}"
    ));
}

#[test]
fn base_path_hides_no_route() {
    loads("server.base_path = \"/wechat\"\ninternal.base_path = \"/ops/wxgate\"");
    let found = problem("server.base_path = \"/docs/wx\"");
    assert_eq!(
        found,
        "server.base_path: /docs belongs to the gateway's own routes; expected another path such as \"/wxgate\""
    );
    assert!(problem("internal.base_path = \"/console\"").starts_with("internal.base_path: /console belongs"));
    assert!(problem("server.base_path = \"wxgate/\"").contains("expected a path such as \"/wxgate\""));
    // Pictures would be below the documents, with the base path or without it.
    let found = problem("server.base_path = \"/wx\"\nimage_store.local.public_base_url = \"/wx/docs\"");
    assert!(
        found.starts_with("image_store.local.public_base_url: /docs belongs"),
        "{found}"
    );
}

#[test]
fn cors_credentials_need_named_origins() {
    let text = "[server]\ncors_allow_credentials = true\ncors_allowed_origins = ";
    loads(&format!("{text}[\"https://a.cn\"]"));
    let found = problem(&format!("{text}[\"https://a.cn\", \"*\"]"));
    assert!(
        found.starts_with("server.cors_allow_credentials: can't be true while server.cors_allowed_origins has \"*\""),
        "{found}"
    );
    assert!(problem("server.cors_allowed_headers = [\"*\"]").contains("expected the name of a header"));
    assert!(problem("server.cors_allowed_headers = [\"x y\"]").contains("expected the name of a header"));
}

#[test]
fn burst_needs_a_rate() {
    let found = problem("rate_limit.upload_burst = 5");
    assert_eq!(
        found,
        "rate_limit.upload_burst: has no effect alone; set rate_limit.upload_per_second too"
    );
    let limits = load_text(&format!(
        "{ACCOUNT}rate_limit = {{ jssdk_per_second = 3, upload_per_second = 1, upload_burst = 9 }}"
    ));
    let limits = limits.unwrap().rate_limit;
    assert_eq!(
        limits.jssdk().map(|rate| (rate.per_second.get(), rate.burst.get())),
        Some((3, 3))
    );
    assert_eq!(
        limits.upload().map(|rate| (rate.per_second.get(), rate.burst.get())),
        Some((1, 9))
    );
}

#[test]
fn listeners_do_not_share_a_port() {
    assert_eq!(
        problem("internal.listen = \"127.0.0.1:8080\""),
        "internal.listen: 127.0.0.1:8080 is taken by server.listen (127.0.0.1:8080); give it a port of its own"
    );
    assert!(problem("internal.listen = \"0.0.0.0:8080\"").starts_with("internal.listen"));
    loads("server.listen = \"127.0.0.1:0\"\ninternal.listen = \"127.0.0.1:0\"");
    loads("internal.listen = \"\"");
}

#[test]
fn tls_needs_a_certificate_and_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let certificate = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let files = [
        write("text", "hello"),
        write("bad", certificate),
        write("encrypted", encrypted),
    ];
    let [text, bad, encrypted] = &files;
    let good = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/certificate.pem").to_owned();
    for (certificate, key, expected) in [
        (
            "",
            text,
            "tls_certificate_file: missing: TLS needs it beside internal.tls_key_file",
        ),
        (
            &**text,
            &String::new(),
            "tls_key_file: missing: TLS needs it beside internal.tls_certificate_file",
        ),
        (
            "/nonexistent",
            text,
            "tls_certificate_file: can't read \"/nonexistent\": No such file",
        ),
        (
            text,
            text,
            &format!("tls_certificate_file: {text:?} holds no certificate in PEM"),
        ),
        (
            bad,
            text,
            &format!("tls_certificate_file: certificate 1 in {bad:?} is malformed"),
        ),
        (
            &good,
            text,
            &format!("tls_key_file: {text:?} holds no private key in PEM"),
        ),
        (
            &good,
            encrypted,
            &format!("tls_key_file: the key in {encrypted:?} is encrypted"),
        ),
    ] {
        let found = problem(&format!(
            "internal = {{ tls_certificate_file = {certificate:?}, tls_key_file = {key:?} }}"
        ));
        assert!(found.starts_with(&format!("internal.{expected}")), "{found}");
    }
}

#[test]
fn risky_settings_are_warned_about() {
    assert_eq!(warnings(""), [""; 0]);
    for (text, key) in [
        ("server.listen = \"0.0.0.0:8080\"", "auth.mode"),
        (
            "credentials.backend = \"redis\"\nredis.url = \"redis://r/0\"",
            "redis.url",
        ),
        (
            "credentials.backend = \"redis\"\nredis = { mode = \"cluster\", nodes = [\"r:1\"] }",
            "redis.url",
        ),
        ("internal.operator_key = \"short\"", "internal.operator_key"),
        ("auth = { mode = \"api_key\", api_keys = [\"short\"] }", "auth.api_keys"),
        ("credentials.adopt_interval = \"300s\"", "credentials.adopt_interval"),
        (
            "auth = { mode = \"jwt\", jwt_key = \"31 bytes are one too few for it\" }",
            "auth.jwt_key",
        ),
        (
            "auth = { mode = \"jwt\", jwt_algorithm = \"HS384\", jwt_key = \"these are 32 bytes, just enough.\" }",
            "auth.jwt_key is shorter than 48 bytes",
        ),
        (
            "wechat.api_base_url = \"http://wx-proxy.internal:8080/x\"",
            "wechat.api_base_url",
        ),
        (
            "wechat.fallback_base_urls = [\"http://10.0.0.1\"]",
            "wechat.fallback_base_urls",
        ),
        (
            "server.trusted_proxies = [\"10.0.0.0/8\", \"0.0.0.0/0\"]",
            "server.trusted_proxies",
        ),
        ("server.trusted_proxies = [\"::/0\"]", "server.trusted_proxies"),
        ("internal.listen = \"8.8.8.8:9090\"", "internal.listen"),
        (
            "internal.clients = [{ name = \"crm\", secret = \"of+its/own,plus=signs\" }]",
            "internal.clients[0].secret (crm)",
        ),
    ] {
        let found = warnings(text);
        assert!(found.len() == 1 && found[0].contains(key), "{found:?}");
    }
    for text in [
        "credentials.backend = \"redis\"\nredis.url = \"rediss://r/0\"",
        "credentials.backend = \"redis\"\nredis.url = \"redis://[::1]/0\"",
        "server.listen = \"0.0.0.0:8080\"\nauth = { mode = \"api_key\", api_keys = [\"long enough to be safe\"] }",
        "server.cors_allowed_origins = [\"*\"]",
        "auth = { mode = \"jwt\", jwt_key = \"these are 32 bytes, just enough.\" }",
        "wechat.api_base_url = \"http://127.0.0.1:8090\"",
        "wechat.api_base_url = \"http://[::1]:8090/x\"",
        "wechat.api_base_url = \"http://localhost\"",
        "internal.listen = \"0.0.0.0:9090\"",
        "internal.listen = \"10.0.0.1:9090\"",
        "internal.clients = [{ name = \"crm\", secret = \"0-9._~aZ-of-its-own\" }]",
    ] {
        assert_eq!(warnings(text), [""; 0]);
    }
    let classic = SettingsFile::new(ACCOUNT)
        .load(&[("WXGATE__ACCOUNTS__0__TOKEN_API", "classic")])
        .unwrap();
    assert!(classic.warnings()[0].contains("classic"));
}
