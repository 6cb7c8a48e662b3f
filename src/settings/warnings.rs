//! Settings that are allowed, but risky.

use std::net::IpAddr;

use jsonwebtoken::Algorithm;

use super::values::is_loopback;
use super::{Auth, AuthMode, Backend, ImageStoreBackend, RedisMode, Settings, TokenApi};
use crate::account::APP_SECRET_LEN;
use crate::secret::Secret;

/// Shorter keys can be guessed.
const MIN_KEY: usize = 16;
/// Hardly any phone photo is smaller.
const SMALL_PHOTO: u64 = 100 * bytesize::KIB;

impl Settings {
    /// What is allowed but risky, one sentence each, for the log at start.
    pub fn warnings(&self) -> Vec<String> {
        [
            self.classic_tokens_in_memory(),
            self.late_adoption(),
            self.open_uploads(),
            self.unused_keys(),
            self.plain_redis(),
            self.redis_user_without_password(),
            self.plain_wechat(),
            self.trusts_everybody(),
            self.public_internal_listener(),
            self.tiny_pictures(),
            bucket_named_twice(self),
        ]
        .into_iter()
        .flatten()
        .chain(about_secrets(self))
        .collect()
    }

    fn classic_tokens_in_memory(&self) -> Option<String> {
        let classic = self
            .accounts
            .iter()
            .any(|account| account.token_api == TokenApi::Classic);
        (classic && self.credentials.backend == Backend::Memory).then(|| {
            "credentials.backend is \"memory\" and an account's token_api is \"classic\": a second replica would \
             invalidate this one's access_token; run one replica only, or set credentials.backend = \"redis\""
                .to_owned()
        })
    }

    fn late_adoption(&self) -> Option<String> {
        let credentials = &self.credentials;
        (credentials.adopt_interval >= credentials.refresh_ahead).then(|| {
            "credentials.adopt_interval is not shorter than credentials.refresh_ahead: replicas may learn of a \
             renewed credential only after the old one has expired"
                .to_owned()
        })
    }

    fn open_uploads(&self) -> Option<String> {
        let listen = self.server.listen;
        (self.auth.mode == AuthMode::None && !listen.ip().is_loopback()).then(|| {
            format!(
                "auth.mode is \"none\" and server.listen is {listen}: anybody who reaches that address can upload; \
                 set auth.mode, or keep the route behind a proxy that authenticates callers"
            )
        })
    }

    fn unused_keys(&self) -> Option<String> {
        let auth = &self.auth;
        let has_jwt_key = !auth.jwt_key.is_blank() || auth.jwt_jwks_url.is_some();
        let (key, mode) = match auth.mode {
            AuthMode::None | AuthMode::Jwt if !auth.api_keys.is_empty() => ("auth.api_keys", "api_key"),
            AuthMode::None | AuthMode::ApiKey if has_jwt_key => ("the key for JSON Web Tokens in [auth]", "jwt"),
            _ => return None,
        };
        let what_happens = if auth.mode == AuthMode::None {
            "callers of the upload route are not asked for one"
        } else {
            "callers of the upload route who present one are refused"
        };
        Some(format!(
            "{key} has no effect, and {what_happens}: auth.mode is not \"{mode}\"; set it to that, or remove the key"
        ))
    }

    fn plain_redis(&self) -> Option<String> {
        let redis = &self.redis;
        let hosts: Vec<_> = match redis.mode {
            RedisMode::Standalone => vec![redis.url.host()],
            RedisMode::Sentinel | RedisMode::Cluster => redis.nodes.iter().map(|node| node.parts().0).collect(),
        };
        let far = hosts.into_iter().find(|host| !is_loopback(host))?;
        (self.credentials.backend == Backend::Redis && !redis.url.is_tls()).then(|| {
            format!(
                "the connection to Redis at {far} is not encrypted, and credentials are sent over it; use rediss:// in \
                 redis.url unless the network is private"
            )
        })
    }

    /// The client does not send a user without a password.
    fn redis_user_without_password(&self) -> Option<String> {
        let connection = self.redis.connection();
        let login = connection.redis_settings();
        let is_given = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
        let has_no_effect = is_given(login.username()) && !is_given(login.password());
        (self.credentials.backend == Backend::Redis && has_no_effect).then(|| {
            "the Redis user in redis.username or redis.url has no effect without a password; a password alone is written \
             redis://:PASSWORD@host, with a colon before it"
                .to_owned()
        })
    }

    fn plain_wechat(&self) -> Option<String> {
        let wechat = &self.wechat;
        let mut bases = std::iter::once(("api_base_url", &wechat.api_base_url))
            .chain(wechat.fallback_base_urls.iter().map(|url| ("fallback_base_urls", url)));
        bases.find_map(|(key, url)| {
            let authority = url.as_str().strip_prefix("http://")?.split('/').next()?;
            (!is_loopback(url.host())).then(|| {
                format!(
                    "wechat.{key} reaches {authority} over plain http, and the AppSecret and every token are sent over it; use https"
                )
            })
        })
    }

    fn trusts_everybody(&self) -> Option<String> {
        let everything = self.server.trusted_proxies.iter().find(|net| net.prefix_len() == 0)?;
        Some(format!(
            "server.trusted_proxies has {everything}: anybody who connects can claim any address in X-Forwarded-For, and rate \
             limits and logs will trust it; name the networks of your proxies"
        ))
    }

    fn public_internal_listener(&self) -> Option<String> {
        let listen = self.internal.listen.filter(|listen| is_public(listen.ip()))?;
        Some(format!(
            "internal.listen is {listen}, a public address: metrics, the console and the shared token are open to anybody who \
             reaches it; listen on a private address or on loopback"
        ))
    }

    fn tiny_pictures(&self) -> Option<String> {
        let bytes = self.media.max_bytes;
        (bytes < SMALL_PHOTO).then(|| {
            format!(
                "media.max_bytes is {bytes} bytes, which is too small for most photos; a number without a unit is in bytes: \
                 write \"20MiB\" for 20 MiB"
            )
        })
    }
}

/// Whether `ip` is a public Internet address. 0.0.0.0 is not: a container has to listen there, and what can reach it is
/// decided elsewhere.
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let shared = first == 100 && second & 0b1100_0000 == 64;
            !(ip.is_unspecified() || ip.is_loopback() || ip.is_private() || ip.is_link_local() || shared)
        }
        IpAddr::V6(ip) => {
            !(ip.is_unspecified() || ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local())
        }
    }
}

/// What is wrong if the bucket is named twice: objects would get keys that begin with its name, and the returned URLs
/// would lead nowhere.
fn bucket_named_twice(settings: &Settings) -> Option<String> {
    let store = &settings.image_store;
    if store.backend != ImageStoreBackend::S3 || store.s3.bucket_endpoint {
        return None;
    }
    let bucket = &store.s3.bucket;
    let endpoint = store.s3.endpoint.as_ref()?;
    let in_host = endpoint.host_str()?.starts_with(&format!("{bucket}."));
    let in_path = endpoint.path().trim_end_matches('/').rsplit('/').next() == Some(bucket);
    (!bucket.is_empty() && (in_host || in_path)).then(|| {
        let place = if in_host { "begins" } else { "ends" };
        format!(
            "image_store.s3.endpoint {place} with the bucket's name ({bucket}), and the bucket is added to it again, \
             so the URLs of pictures don't work; if it is the bucket's own address, set image_store.s3.bucket_endpoint \
             = true; if not, use the address of the store itself"
        )
    })
}

/// Secrets that can be guessed, look wrong, or can't be sent by callers. They are never shown.
fn about_secrets(settings: &Settings) -> Vec<String> {
    let (internal, auth) = (&settings.internal, &settings.auth);
    let mut warnings = Vec::new();
    for (i, account) in settings.accounts.iter().enumerate() {
        warnings.extend(app_secret(i, &account.app_secret));
    }
    for (i, client) in internal.clients.iter().enumerate() {
        warnings.extend(client_secret(i, &client.name, &client.secret));
        let earlier = &internal.clients[..i];
        let first = earlier.iter().position(|other| other.secret == client.secret);
        warnings.extend(first.map(|first| {
            let (other, name) = (&earlier[first].name, &client.name);
            format!(
                "internal.clients[{i}].secret ({name}) is that of internal.clients[{first}] ({other}), so anybody who has it \
                 can use the accounts of both, and the journal may name the wrong one; give each client a secret of its own"
            )
        }));
    }
    if !internal.operator_key.expose().is_empty() {
        warnings.extend(short("internal.operator_key", &internal.operator_key));
    }
    match auth.mode {
        AuthMode::None => {}
        AuthMode::ApiKey => {
            let mut keys = auth.api_keys.iter();
            warnings.extend(keys.find_map(|key| short("a key of auth.api_keys", key)));
        }
        AuthMode::Jwt => warnings.extend(short_jwt_secret(auth)),
    }
    warnings
}

/// Whether `secret` looks like an AppSecret.
pub(super) fn is_app_secret(secret: &Secret) -> bool {
    let secret = secret.expose();
    secret.len() == APP_SECRET_LEN && secret.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn app_secret(index: usize, secret: &Secret) -> Option<String> {
    if is_app_secret(secret) {
        return None;
    }
    let secret = secret.expose();
    let key = format!("accounts[{index}].app_secret");
    let quotes = ['"', '\'', '`', '“', '”', '‘', '’'];
    Some(if secret.starts_with(quotes) || secret.ends_with(quotes) {
        format!("{key} has quotes around it, which count as part of the secret: remove them")
    } else {
        format!(
            "{key} is not {APP_SECRET_LEN} letters and digits, as AppSecrets are: copy it again from WeChat's console if \
             WeChat refuses it"
        )
    })
}

fn client_secret(index: usize, name: &str, secret: &Secret) -> Vec<String> {
    let key = format!("internal.clients[{index}].secret ({name})");
    let sent_as_it_is = |b: u8| b.is_ascii_alphanumeric() || b"._~-".contains(&b);
    let mut warnings = Vec::new();
    if !secret.expose().bytes().all(sent_as_it_is) {
        warnings.push(format!(
            "{key} has characters other than letters, digits, `.`, `_`, `~` and `-`: many SDKs put a secret into a URL without \
             encoding it, which changes it"
        ));
    }
    warnings.extend(short(&key, secret));
    warnings
}

fn short_jwt_secret(auth: &Auth) -> Option<String> {
    // RFC 7518, section 3.2, requires at least as many bytes as the hash has.
    let shortest = match auth.jwt_algorithm {
        Algorithm::HS256 => 32,
        Algorithm::HS384 => 48,
        Algorithm::HS512 => 64,
        _ => return None,
    };
    (auth.jwt_key.expose().len() < shortest).then(|| {
        format!(
            "auth.jwt_key is shorter than {shortest} bytes, which {:?} requires: anybody who has a token may find it by brute \
             force, and sign tokens",
            auth.jwt_algorithm
        )
    })
}

fn short(key: &str, secret: &Secret) -> Option<String> {
    let is_short = secret.expose().chars().count() < MIN_KEY;
    is_short.then(|| format!("{key} is shorter than {MIN_KEY} characters and may be guessed"))
}
