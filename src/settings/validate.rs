//! Checks that need more than one field to be decided, or a section as a whole.

use std::collections::HashSet;
use std::net::SocketAddr;

use super::layer::KeyPath;
use super::resolved::Resolved;
use super::values::KeyTemplate;
use super::{Settings, bounds, headers};
use crate::account::AppId;

/// Something that does not fit together.
pub(super) struct Finding {
    /// The keys it is about, the one to name first.
    pub(super) paths: Vec<KeyPath>,
    pub(super) text: String,
}

/// Everything that does not fit together; if there is nothing, what the settings resolve to.
pub(super) fn check(settings: &Settings) -> (Option<Resolved>, Vec<Finding>) {
    let mut findings = Findings::default();
    findings.listeners(settings);
    findings.http_client(settings);
    findings.accounts(settings);
    findings.clients(settings);
    findings.redis_keys(settings);
    findings.lock(settings);
    findings.media(settings);
    findings.rate_limit(settings);
    findings.0.extend(bounds::findings(settings));
    findings.0.extend(headers::findings(settings));
    let resolved = Resolved::of(settings, &mut findings);
    (resolved, findings.0)
}

impl Finding {
    /// The key to name.
    pub(super) fn subject(&self) -> String {
        self.paths.first().map(ToString::to_string).unwrap_or_default()
    }
}

/// What has been found so far.
#[derive(Default)]
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    /// Notes `text` about `keys` unless `fits`.
    pub(super) fn require(&mut self, fits: bool, keys: &[&str], text: impl Into<String>) {
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

    fn http_client(&mut self, settings: &Settings) {
        let problem = settings.http_client.ca_file.certificates().err();
        self.require(problem.is_none(), &["http_client.ca_file"], problem.unwrap_or_default());
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

    fn media(&mut self, settings: &Settings) {
        let media = &settings.media;
        let text = "expected at least one kind of picture, or nothing can be uploaded";
        self.require(!media.allowed_types.is_empty(), &["media.allowed_types"], text);
        let text = "expected 1 or more, or nothing can be uploaded";
        self.require(media.max_concurrent > 0, &["media.max_concurrent"], text);
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
