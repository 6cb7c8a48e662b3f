//! Every Redis key of the program: its name, content, TTL and writer.
//!
//! All modules take their key names from here, and a test compares this table with docs/reference/redis.md. No name
//! contains a secret: a token is named by a part of its SHA-256. Each operation of the store touches one key, or a key
//! and its lock, which the braces in the lock's name keep in one slot of a Redis Cluster.

use std::time::Duration;

use crate::account::AppId;

/// A row of the table: one kind of key.
#[derive(Debug)]
pub struct Key {
    /// Its name. Placeholders such as `{app_id}` are replaced by values.
    pub name: &'static str,
    /// What the key contains.
    pub holds: Holds,
    /// How long it is kept after it was written.
    pub lifetime: Lifetime,
    /// Which module writes it, and when.
    pub written_by: &'static str,
}

/// What a key contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// A string.
    Text,
    /// A number that is incremented.
    Counter,
    /// A stream of entries, each a set of fields.
    Stream,
}

/// How long a key is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as the credential that it contains or is about, or as long as clients were promised that it lasts.
    Credential,
    /// The time in this setting, or a part of it.
    Setting(&'static str),
    /// This long at most.
    AtMost(Duration),
    /// It does not expire; the stream keeps about this many entries.
    Entries(usize),
}

/// A day's count must outlive the day.
pub(crate) const DAY_COUNT_TTL: Duration = Duration::from_hours(48);
/// WeChat allows a `force_refresh` this often.
pub(crate) const FORCE_REFRESH_TTL: Duration = Duration::from_secs(30);
/// After a token's whole lifetime, a token that may have been replaced unnoticed has expired anyway.
pub(crate) const TOKEN_CALL_TTL: Duration = Duration::from_hours(2);
/// The maximum wait of a token call after rejected tokens, lengthened at random.
pub(crate) const TOKEN_REJECTED_TTL: Duration = Duration::from_mins(144);
/// A token that may be dead is probed at most this often.
pub(crate) const PROBE_TTL: Duration = Duration::from_secs(10);
/// Long enough for a slow Redis to renew the lease on an upload, short enough that a crashed replica is soon replaced.
pub(crate) const MEDIA_LOCK_TTL: Duration = Duration::from_secs(10);
/// The key used to try the store's operations expires even if the process crashes.
pub(crate) const CHECK_TTL: Duration = Duration::from_mins(1);
/// A replica that crashed is not shown for longer than this.
pub(crate) const REPLICA_TTL: Duration = Duration::from_secs(15);
/// How many names of replicas are kept.
pub(crate) const REPLICA_ENTRIES: usize = 200;
/// A client that asks again for the same token within this time has probably found it invalid.
pub(crate) const TOKEN_ASKED_TTL: Duration = Duration::from_mins(1);
/// Longer than replicas use the same token.
pub(crate) const FOREIGN_INVALIDATION_TTL: Duration = Duration::from_hours(3);
/// The journal covers weeks of renewals.
pub(crate) const JOURNAL_ENTRIES: usize = 2000;

/// Defines the keys, one row per key: its name, what it contains, how long it is kept, and who writes it.
macro_rules! keys {
    ($($(#[$about:meta])* $key:ident: $name:literal, $holds:ident, $lifetime:expr, $written_by:literal;)+) => {
        $(
            $(#[$about])*
            pub const $key: Key = Key {
                name: $name,
                holds: Holds::$holds,
                lifetime: $lifetime,
                written_by: $written_by,
            };
        )+

        /// Every row of the table.
        pub const ALL: &[&Key] = &[$(&$key),+];
    };
}

keys! {
    /// The account's `access_token`. The name is the default of `credentials.token_key`.
    TOKEN: "weChat_client_credential:access_token:{app_id}", Text, Lifetime::Credential,
        "credentials, after a renewal, or if Redis has lost it";
    /// The account's `jsapi_ticket`. The name is the default of `credentials.ticket_key`.
    TICKET: "weChat_client_credential:jsapi_ticket:{app_id}", Text, Lifetime::Credential,
        "credentials, after a renewal, or if Redis has lost it";
    /// The account's ticket for cards.
    CARD_TICKET: "wxgate:card_ticket:{app_id}", Text, Lifetime::Credential,
        "credentials, after a renewal, from the first time that a client asks for it";
    /// The lock on renewals of the token: a random owner. The name is the default of `credentials.lock_key`.
    LOCK: "weChatApiToken:{app_id}", Text, Lifetime::Setting("credentials.lock_ttl"),
        "credentials, for the length of a renewal";
    /// The lock on renewals of the ticket: a random owner.
    TICKET_LOCK: "wxgate:ticket_lock:{app_id}", Text, Lifetime::Setting("credentials.lock_ttl"),
        "credentials, for the length of a renewal";
    /// The lock on renewals of the ticket for cards: a random owner.
    CARD_TICKET_LOCK: "wxgate:ticket_lock:{app_id}:wx_card", Text, Lifetime::Setting("credentials.lock_ttl"),
        "credentials, for the length of a renewal";
    /// WeChat was asked for the ticket recently.
    TICKET_ASKED: "wxgate:ticket_asked:{app_id}", Text, Lifetime::Setting("credentials.ticket_max_age"),
        "credentials, after a call for the ticket";
    /// WeChat was asked for the ticket for cards recently.
    CARD_TICKET_ASKED: "wxgate:ticket_asked:{app_id}:wx_card", Text, Lifetime::Setting("credentials.ticket_max_age"),
        "credentials, after a call for the ticket for cards";
    /// The day's token calls of all replicas.
    TOKEN_CALLS: "wxgate:token_calls:{app_id}:{day}", Counter, Lifetime::AtMost(DAY_COUNT_TTL),
        "credentials, before a token call, or if Redis has lost it";
    /// `force_refresh` was used very recently.
    FORCE_REFRESH: "wxgate:force_refresh:{app_id}", Text, Lifetime::AtMost(FORCE_REFRESH_TTL),
        "credentials, before a forced token call";
    /// How often `force_refresh` was used on a day.
    FORCE_REFRESH_CALLS: "wxgate:force_refresh:{app_id}:{day}", Counter, Lifetime::AtMost(DAY_COUNT_TTL),
        "credentials, before a forced token call";
    /// A token call whose outcome is unknown.
    TOKEN_CALL: "wxgate:token_call:{app_id}", Text, Lifetime::AtMost(TOKEN_CALL_TTL),
        "credentials, from a token call until its outcome is known";
    /// WeChat rejects the tokens that it issues; counts how many in a row.
    TOKEN_REJECTED: "wxgate:token_rejected:{app_id}", Text, Lifetime::AtMost(TOKEN_REJECTED_TTL),
        "credentials, when WeChat rejects a new token, until the next token call is due";
    /// A replica has reported that another system invalidated this token.
    FOREIGN_INVALIDATION: "wxgate:foreign_invalidation:{app_id}:{token_hash}", Text, Lifetime::AtMost(FOREIGN_INVALIDATION_TTL),
        "credentials, before the report";
    /// The result of the last probe of a token that may be dead.
    PROBE: "wxgate:probe:{app_id}", Text, Lifetime::AtMost(PROBE_TTL),
        "credentials, when a client suspects that its token is dead";
    /// A token that clients may have been given. Kept for the longest lifetime promised to one of them.
    HANDED_OUT: "wxgate:handed_out:{app_id}:{token_hash}", Text, Lifetime::Credential,
        "credentials, before the token is published, and when a client is promised a longer life";
    /// The journal has noted that this client was given that token.
    HANDED_OUT_TO: "wxgate:handed_out:{app_id}:{token_hash}:{client}", Text, Lifetime::Credential,
        "credentials, when a client is given the token";
    /// This client, or holder of the AppSecret at this address, was given that token a moment ago.
    TOKEN_ASKED: "wxgate:token_asked:{app_id}:{token_hash}:{client}", Text, Lifetime::AtMost(TOKEN_ASKED_TTL),
        "credentials, when a client is given the token";
    /// What happened to the account's credentials.
    JOURNAL: "wxgate:journal:{app_id}", Stream, Lifetime::Entries(JOURNAL_ENTRIES),
        "credentials, by the journal's writer";
    /// The URL of a stored picture.
    MEDIA: "wxgate:media:{app_id}:{media_id}", Text, Lifetime::Setting("media.remember_for"),
        "upload, after an upload";
    /// The lease on storing a picture: a random owner. The outer braces are part of the name.
    MEDIA_LOCK: "wxgate:media-lock:{wxgate:media:{app_id}:{media_id}}", Text, Lifetime::AtMost(MEDIA_LOCK_TTL),
        "upload, for the length of an upload";
    /// A running replica: its version, and when it started.
    REPLICA: "wxgate:replica:{replica}", Text, Lifetime::AtMost(REPLICA_TTL),
        "replicas, every few seconds; removed at a clean end";
    /// The names of replicas that started recently or are still running.
    REPLICAS: "wxgate:replicas", Stream, Lifetime::Entries(REPLICA_ENTRIES),
        "replicas, at the start and every hour";
    /// The key with which gateways and `wxgate check` test whether Redis accepts their commands.
    CHECK: "wxgate:check:{id}", Text, Lifetime::AtMost(CHECK_TTL),
        "store and check, which remove it again";
}

impl Key {
    /// The name of an account's key that has no other placeholder.
    pub(crate) fn of_account(&self, app_id: &AppId) -> String {
        self.name.replace("{app_id}", app_id.as_str())
    }

    /// The name of the key of one of the account's tokens.
    pub(crate) fn of_token(&self, app_id: &AppId, token_hash: &str) -> String {
        self.of_account(app_id).replace("{token_hash}", token_hash)
    }

    /// The name of the key of a client that was given one of the account's tokens.
    pub(crate) fn of_client(&self, app_id: &AppId, token_hash: &str, client: &str) -> String {
        self.of_token(app_id, token_hash).replace("{client}", client)
    }
}

pub(crate) fn token_calls(app_id: &AppId, day: &str) -> String {
    TOKEN_CALLS.of_account(app_id).replace("{day}", day)
}

pub(crate) fn force_refresh_calls(app_id: &AppId, day: &str) -> String {
    FORCE_REFRESH_CALLS.of_account(app_id).replace("{day}", day)
}

pub(crate) fn media(app_id: &AppId, media_id: &str) -> String {
    MEDIA.of_account(app_id).replace("{media_id}", media_id)
}

pub(crate) fn media_lock(app_id: &AppId, media_id: &str) -> String {
    MEDIA_LOCK.of_account(app_id).replace("{media_id}", media_id)
}

pub(crate) fn replica(name: &str) -> String {
    REPLICA.name.replace("{replica}", name)
}

pub(crate) fn check(id: u64) -> String {
    CHECK.name.replace("{id}", &format!("{id:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings;

    #[test]
    fn names_leave_no_placeholder_unfilled() {
        let app_id = AppId::try_from("wx1".to_owned()).unwrap();
        let names = [
            CARD_TICKET.of_account(&app_id),
            TICKET_LOCK.of_account(&app_id),
            CARD_TICKET_LOCK.of_account(&app_id),
            TICKET_ASKED.of_account(&app_id),
            CARD_TICKET_ASKED.of_account(&app_id),
            token_calls(&app_id, "2026-01-31"),
            FORCE_REFRESH.of_account(&app_id),
            force_refresh_calls(&app_id, "2026-01-31"),
            TOKEN_CALL.of_account(&app_id),
            TOKEN_REJECTED.of_account(&app_id),
            PROBE.of_account(&app_id),
            FOREIGN_INVALIDATION.of_token(&app_id, "ba7816bf"),
            HANDED_OUT.of_token(&app_id, "ba7816bf"),
            HANDED_OUT_TO.of_client(&app_id, "ba7816bf", "crm"),
            TOKEN_ASKED.of_client(&app_id, "ba7816bf", "crm"),
            JOURNAL.of_account(&app_id),
            media(&app_id, "m-1"),
            replica("gw-1"),
            check(1),
        ];
        for name in names {
            assert!(!name.contains(['{', '}']), "{name}");
        }
    }

    #[test]
    fn names_that_settings_change_are_listed_with_their_defaults() {
        let settings = settings::Credentials::default();
        let defaults = [settings.token_key, settings.ticket_key, settings.lock_key];
        let names = [TOKEN, TICKET, LOCK].map(|key| key.name.to_owned().try_into());
        assert_eq!(names, defaults.map(Ok));
    }
}
