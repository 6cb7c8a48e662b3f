//! Checks that need more than one field to be decided, or a section as a whole.

use std::collections::HashSet;
use std::net::SocketAddr;

use axum::http::{HeaderName, HeaderValue};

use super::layer::KeyPath;
use super::values::KeyTemplate;
use super::{AuthMode, ImageStoreBackend, JwtAlgorithm, RedisMode, Settings, bounds, headers};
use crate::account::AppId;
use crate::secret::Secret;

/// What the paths of the gateway's own routes begin with.
const OWN_ROUTES: [&str; 6] = ["wechat", "p", "healthz", "readyz", "docs", "openapi.json"];

/// Headers that describe the request's body, which the image store's client writes itself.
const BODY_HEADERS: [&str; 3] = ["content-type", "content-length", "transfer-encoding"];

/// Something that does not fit together.
pub(super) struct Finding {
    /// The keys it is about, the one to name first.
    pub(super) paths: Vec<KeyPath>,
    pub(super) text: String,
}

/// Everything that does not fit together.
pub(super) fn findings(settings: &Settings) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    findings.listeners(settings);
    findings.accounts(settings);
    findings.clients(settings);
    findings.redis_keys(settings);
    findings.lock(settings);
    findings.redis(settings);
    findings.media(settings);
    match settings.image_store.backend {
        ImageStoreBackend::Local => findings.local_store(settings),
        ImageStoreBackend::Http => findings.http_store(settings),
        ImageStoreBackend::S3 => findings.s3_store(settings),
    }
    findings.auth(settings);
    findings.rate_limit(settings);
    findings.0.extend(bounds::findings(settings));
    findings.0.extend(headers::findings(settings));
    findings.0
}

struct Findings(Vec<Finding>);

impl Findings {
    /// Notes `text` about `keys` unless `fits`.
    fn require(&mut self, fits: bool, keys: &[&str], text: impl Into<String>) {
        if !fits {
            self.0.push(Finding {
                paths: keys.iter().map(|key| KeyPath::from(*key)).collect(),
                text: text.into(),
            });
        }
    }

    fn listeners(&mut self, settings: &Settings) {
        let public = settings.server.listen;
        if let Some(internal) = settings.internal.listen {
            let text = format!("{internal} is taken by server.listen ({public}); give it a port of its own");
            self.require(!collide(public, internal), &["internal.listen", "server.listen"], text);
        }
    }

    fn accounts(&mut self, settings: &Settings) {
        let text = "no account is set: add [[accounts]] with app_id and app_secret, or set WXGATE_APP_ID and \
                    WXGATE_APP_SECRET";
        self.require(!settings.accounts.is_empty(), &["accounts"], text);
        let ids: Vec<_> = settings.accounts.iter().map(|a| a.app_id.as_str()).collect();
        for (i, account) in settings.accounts.iter().enumerate() {
            let key = format!("accounts[{i}].app_id");
            self.require(!ids[i].is_empty(), &[&key], "missing: every account needs its AppID");
            if let Some(first) = earlier(&ids, i) {
                let text = format!("accounts[{first}] has the same AppID; each account stands here once");
                self.require(false, &[&key, &format!("accounts[{first}].app_id")], text);
            }
            let key = format!("accounts[{i}].app_secret");
            let text = "missing: every account needs its AppSecret (app_secret or app_secret_file)";
            self.require(!account.app_secret.is_blank(), &[&key], text);
        }
    }

    fn clients(&mut self, settings: &Settings) {
        let clients = &settings.internal.clients;
        let names: Vec<_> = clients.iter().map(|c| c.name.as_str()).collect();
        for (i, client) in clients.iter().enumerate() {
            let key = format!("internal.clients[{i}].name");
            let text = "expected a name of 1 to 32 letters, digits, `_` or `-`: journal and metrics show it";
            self.require(is_name(names[i]), &[&key], text);
            if let Some(first) = earlier(&names, i) {
                let text = format!("internal.clients[{first}] has the same name; nobody could tell them apart");
                self.require(false, &[&key, &format!("internal.clients[{first}].name")], text);
            }
            let key = format!("internal.clients[{i}].secret");
            let text = "missing: every client needs a secret of its own (secret or secret_file)";
            self.require(!client.secret.is_blank(), &[&key], text);
            for (j, id) in client.app_ids.iter().enumerate() {
                let known = settings.accounts.iter().any(|account| account.app_id == *id);
                let key = format!("internal.clients[{i}].app_ids[{j}]");
                self.require(known, &[&key, "accounts"], format!("{id} is not among [[accounts]]"));
            }
        }
    }

    fn redis_keys(&mut self, settings: &Settings) {
        let credentials = &settings.credentials;
        let templates = [
            ("credentials.token_key", &credentials.token_key),
            ("credentials.ticket_key", &credentials.ticket_key),
            ("credentials.lock_key", &credentials.lock_key),
        ];
        for (i, (key, template)) in templates.iter().enumerate() {
            let apart = settings.accounts.len() < 2 || template.names_account();
            let text = "expected {app_id} in it: with several accounts, one would overwrite the other's";
            self.require(apart, &[key], text);
            for (other_key, other) in &templates[..i] {
                let text = format!("is the same Redis key as {other_key}; each needs its own");
                self.require(!coincide(template, other, settings), &[key, other_key], text);
            }
        }
    }

    fn lock(&mut self, settings: &Settings) {
        let wechat = &settings.wechat;
        let hosts = u32::try_from(1 + wechat.fallback_base_urls.len()).unwrap_or(u32::MAX);
        let connecting = wechat.connect_timeout.saturating_mul(hosts);
        let longest = wechat.timeout.saturating_add(connecting);
        let keys = [
            "credentials.lock_ttl",
            "wechat.timeout",
            "wechat.connect_timeout",
            "wechat.fallback_base_urls",
        ];
        let text = format!(
            "expected more than {}: one call to WeChat may take that long (wechat.timeout, plus \
             wechat.connect_timeout for each base URL), and the lock must outlive it",
            humantime::format_duration(longest)
        );
        self.require(settings.credentials.lock_ttl > longest, &keys, text);
    }

    fn redis(&mut self, settings: &Settings) {
        let redis = &settings.redis;
        let reachable = redis.mode == RedisMode::Standalone || !redis.nodes.is_empty();
        let text = "missing: redis.mode \"sentinel\" and \"cluster\" need addresses, \"host:port\"";
        self.require(reachable, &["redis.nodes", "redis.mode"], text);
        let named = redis.mode != RedisMode::Sentinel || !redis.sentinel_service.trim().is_empty();
        let text = "missing: redis.mode \"sentinel\" needs the master's name";
        self.require(named, &["redis.sentinel_service", "redis.mode"], text);
    }

    fn media(&mut self, settings: &Settings) {
        let media = &settings.media;
        let text = "expected at least one kind of picture, or nothing can be uploaded";
        self.require(!media.allowed_types.is_empty(), &["media.allowed_types"], text);
        let text = "expected 1 or more, or nothing can be uploaded";
        self.require(media.max_concurrent > 0, &["media.max_concurrent"], text);
    }

    fn local_store(&mut self, settings: &Settings) {
        let local = &settings.image_store.local;
        let first = local.public_base_url.path().split('/').nth(1).unwrap_or_default();
        let keys = ["image_store.local.public_base_url", "image_store.backend"];
        let text = format!("/{first} belongs to the gateway's own routes; expected another path such as \"/images\"");
        self.require(!OWN_ROUTES.contains(&first), &keys, text);
        let named = !local.directory.as_os_str().is_empty();
        let keys = ["image_store.local.directory", "image_store.backend"];
        self.require(named, &keys, "missing: image_store.backend \"local\" needs a folder");
    }

    fn http_store(&mut self, settings: &Settings) {
        let http = &settings.image_store.http;
        let needs = [
            ("url", http.url.is_some(), "the address to post pictures to"),
            (
                "url_pointer",
                !http.url_pointer.is_empty(),
                "the place of the picture's URL in the answer",
            ),
            ("field", !http.field.is_empty(), "the name of the file's form field"),
        ];
        self.needs("http", &needs);
        let text = "expected a number from 1 to 10";
        self.require((1..=10).contains(&http.attempts), &["image_store.http.attempts"], text);
        for (name, value) in &http.headers {
            let key = format!("image_store.http.headers.{name}");
            let valid = HeaderName::from_bytes(name.as_bytes()).is_ok();
            self.require(valid, &[&key], "expected a header's name, such as Authorization");
            let own = BODY_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own));
            self.require(
                !own,
                &[&key],
                "this header is not for settings: it tells of the body, picture by picture",
            );
            let valid = HeaderValue::from_str(value.expose()).is_ok();
            let text = "expected a header's value, one line of text (it is not shown, it may be secret)";
            self.require(valid, &[&key], text);
        }
    }

    fn s3_store(&mut self, settings: &Settings) {
        let s3 = &settings.image_store.s3;
        let needs = [
            ("bucket", !s3.bucket.trim().is_empty(), "a bucket"),
            ("region", !s3.region.trim().is_empty(), "a region"),
            (
                "public_base_url",
                s3.public_base_url.is_some(),
                "the address that pictures are read from",
            ),
            ("access_key_id", !s3.access_key_id.is_blank(), "both access keys"),
            (
                "secret_access_key",
                !s3.secret_access_key.is_blank(),
                "both access keys",
            ),
        ];
        self.needs("s3", &needs);
    }

    /// Requires keys of the image store in use: name, presence, and what each one is.
    fn needs(&mut self, backend: &str, keys: &[(&str, bool, &str)]) {
        for (key, present, what) in keys {
            let key = format!("image_store.{backend}.{key}");
            let text = format!("missing: image_store.backend \"{backend}\" needs {what}");
            self.require(*present, &[&key, "image_store.backend"], text);
        }
    }

    fn auth(&mut self, settings: &Settings) {
        let auth = &settings.auth;
        let given = auth.mode != AuthMode::ApiKey || !auth.api_keys.is_empty();
        let text = "missing: auth.mode \"api_key\" needs at least one key";
        self.require(given, &["auth.api_keys", "auth.mode"], text);
        let blank = auth.api_keys.iter().any(Secret::is_blank);
        self.require(
            !blank,
            &["auth.api_keys"],
            "one of the keys is empty, and would let everybody in",
        );
        if auth.mode == AuthMode::Jwt {
            let fault = jwt_key_fault(&auth.jwt_key, auth.jwt_algorithm);
            let keys = ["auth.jwt_key", "auth.jwt_algorithm", "auth.mode"];
            self.require(fault.is_none(), &keys, fault.unwrap_or_default());
        }
    }

    fn rate_limit(&mut self, settings: &Settings) {
        let limits = &settings.rate_limit;
        let routes = [
            ("jssdk", limits.jssdk_per_second, limits.jssdk_burst),
            ("upload", limits.upload_per_second, limits.upload_burst),
        ];
        for (route, per_second, burst) in routes {
            let rate_key = format!("rate_limit.{route}_per_second");
            let text = format!("limits nothing alone; set {rate_key} too");
            let key = format!("rate_limit.{route}_burst");
            self.require(burst == 0 || per_second > 0, &[&key, &rate_key], text);
        }
    }
}

/// The index of the first entry that equals the one at `index`, where that is an earlier one. Empty
/// ones are missing, which is told on its own.
fn earlier(entries: &[&str], index: usize) -> Option<usize> {
    let entry = entries[index];
    entries[..index]
        .iter()
        .position(|earlier| *earlier == entry && !entry.is_empty())
}

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(allowed)
}

fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let overlap = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    // Port 0 lets the system choose a free one.
    a.port() == b.port() && a.port() != 0 && overlap
}

fn coincide(a: &KeyTemplate, b: &KeyTemplate, settings: &Settings) -> bool {
    let keys = |template: &KeyTemplate| -> HashSet<String> {
        let none = AppId::default();
        let ids = settings.accounts.iter().map(|account| &account.app_id).chain([&none]);
        ids.map(|id| template.fill(id)).collect()
    };
    !keys(a).is_disjoint(&keys(b))
}

fn jwt_key_fault(key: &Secret, algorithm: JwtAlgorithm) -> Option<&'static str> {
    if key.is_blank() {
        return Some("missing: auth.mode \"jwt\" needs the shared secret, or the public key in PEM");
    }
    let is_pem = key.expose().trim_start().starts_with("-----BEGIN");
    match algorithm {
        // A public key is public: whoever has it could sign tokens with it.
        JwtAlgorithm::HS256 => is_pem.then_some("expected a shared secret for HS256, not a key in PEM"),
        JwtAlgorithm::RS256 | JwtAlgorithm::ES256 | JwtAlgorithm::EdDSA => {
            (!is_pem).then_some("expected a public key in PEM (\"-----BEGIN PUBLIC KEY-----\") for auth.jwt_algorithm")
        }
    }
}
