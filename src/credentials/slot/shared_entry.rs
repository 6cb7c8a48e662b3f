//! What the replicas share about one credential: its entry, to whose key another program may write too, and for tokens a
//! mark for each call whose answer may be lost.
//!
//! If an answer is lost, or a replica dies between the call and publishing, it looks as if another system had fetched a
//! token: ours is rejected, and no replica has the new one. So a token call is marked in the shared store before it is
//! made, and the mark is removed when the outcome is known.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Moment;
use crate::credentials::credential::{Credential, Kind};
use crate::credentials::parameters::Parameters;
use crate::secret::Secret;
use crate::store::{Found, SharedStore, StoreError, keys};
use crate::wechat::MAX_CREDENTIAL;

/// The entry of one account's token or ticket in the shared store.
pub(crate) struct SharedEntry {
    store: Arc<dyn SharedStore>,
    kind: Kind,
    key: String,
    /// Another program's value, if the last read found one.
    foreign: Mutex<Option<Arc<ForeignEntry>>>,
}

pub(crate) struct Stored {
    pub(crate) value: Secret,
    /// When it expires; `None` if it must not be used but may be replaced: blank, too long, or without a TTL.
    pub(crate) expires_at: Option<Moment>,
}

/// Why it is unknown what the other replicas use.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum NotShared {
    #[error("the shared store is down ({0})")]
    Down(#[from] StoreError),
    /// Another program's value is there, which wxgate neither uses nor overwrites.
    #[error("{0}")]
    Foreign(Arc<ForeignEntry>),
}

/// Another program's value at a credential's key, described without any part of the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{seen}. What to do: {cure}")]
pub(crate) struct ForeignEntry {
    pub(crate) seen: String,
    pub(crate) cure: String,
}

impl SharedEntry {
    pub(crate) fn new(parameters: &Parameters, kind: Kind) -> Self {
        Self {
            store: parameters.store(),
            kind,
            key: kind.key(&parameters.policy.settings, &parameters.app_id),
            foreign: Mutex::default(),
        }
    }

    pub(crate) async fn read(&self) -> Result<Option<Stored>, NotShared> {
        let stored = self.read_once().await?;
        let has_expired = |stored: &Stored| stored.expires_at.is_some_and(|end| end <= Moment::now());
        if stored.as_ref().is_some_and(has_expired) {
            // The store never returns expired values: this process was frozen while it waited.
            return self.read_once().await;
        }
        Ok(stored)
    }

    async fn read_once(&self) -> Result<Option<Stored>, NotShared> {
        // The lifetime is counted from before the command: too short by the command's duration, never too long.
        let asked_at = Moment::now();
        let found = self.store.inspect(&self.key).await?;
        let foreign = foreign_entry(self.kind, &self.key, &found);
        self.note(foreign.clone());
        match (found, foreign) {
            (_, Some(why)) => Err(NotShared::Foreign(why)),
            (Found::Bytes { value, ttl }, None) => {
                let value = Secret::new(String::from_utf8_lossy(&value));
                let is_usable = !value.is_blank() && value.expose().len() <= MAX_CREDENTIAL;
                let expires_at = ttl.filter(|_| is_usable).map(|ttl| asked_at + ttl);
                Ok(Some(Stored { value, expires_at }))
            }
            (Found::Nothing | Found::OtherType(_), None) => Ok(None),
        }
    }

    /// Logs once that the entry is another program's, and once that it no longer is.
    fn note(&self, foreign: Option<Arc<ForeignEntry>>) {
        let mut known = self.foreign.lock();
        match (&*known, &foreign) {
            (None, Some(why)) => tracing::warn!("{why}"),
            (Some(_), None) => tracing::info!(key = self.key, "the key no longer holds another program's value"),
            _ => {}
        }
        *known = foreign;
    }

    /// Another program's value, if the last read found one.
    pub(crate) fn foreign(&self) -> Option<Arc<ForeignEntry>> {
        self.foreign.lock().clone()
    }

    /// Compare-and-set: replaces `seen` with `credential`; false if something else is stored now. Another program's value
    /// is left alone.
    pub(crate) async fn replace(&self, seen: Option<&Secret>, credential: &Credential) -> Result<bool, StoreError> {
        let (value, ttl) = (credential.value.expose(), credential.remaining());
        if ttl.is_zero() || self.foreign().is_some() {
            return Ok(true);
        }
        self.store
            .compare_and_set(&self.key, seen.map(Secret::expose), value, ttl)
            .await
    }

    /// Removes `dead`, which WeChat has rejected, if it is still stored.
    pub(crate) async fn remove(&self, dead: &Secret) {
        if self.foreign().is_some() {
            return;
        }
        if let Err(error) = self.store.compare_and_delete(&self.key, dead.expose()).await {
            tracing::debug!(%error, "the rejected token stays in the shared store; no replica that saw it rejected uses it");
        }
    }
}

/// Describes what was found at `key`, if another program wrote it. wxgate itself writes the bare credential, which has no
/// other characters than `[A-Za-z0-9_-]`.
pub(crate) fn foreign_entry(kind: Kind, key: &str, found: &Found) -> Option<Arc<ForeignEntry>> {
    const JAVA: &[u8] = b"\xAC\xED\x00\x05";
    const NULLS: [&[u8]; 4] = [b"null", b"undefined", b"nil", b"None"];
    let is_ours = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let what = match found {
        Found::Nothing => return None,
        Found::OtherType(name) => format!("a value of the type {name}"),
        Found::Bytes { value, .. } => {
            let text = value.trim_ascii();
            let is_null = NULLS.contains(&text);
            if text.is_empty() || (value.iter().all(is_ours) && !is_null) {
                return None;
            }
            let what = match text[0] {
                _ if is_null => "a null value, as a serializer writes it",
                _ if value.starts_with(JAVA) => "an object serialized by Java",
                b'"' => "a string in quotes, as a JSON serializer writes it",
                b'{' | b'[' => "JSON",
                _ if value.is_ascii() => "text with characters that no WeChat credential has",
                _ => "bytes that are not text",
            };
            what.to_owned()
        }
    };
    let name = kind.label();
    let seen = format!(
        "the key {key} in Redis holds {what} instead of the bare {name}, so wxgate neither uses nor overwrites it, and \
         shares no {name} with others"
    );
    let write_bare_or_set = |setting: &str| {
        format!(
            "let the other program write the bare string (in Java: StringRedisSerializer) with a TTL, or give wxgate a \
             key of its own in {setting}"
        )
    };
    let cure = match kind {
        Kind::AccessToken => write_bare_or_set("credentials.token_key"),
        Kind::JsapiTicket => write_bare_or_set("credentials.ticket_key"),
        Kind::CardTicket => "delete it: the key is wxgate's own".to_owned(),
    };
    Some(Arc::new(ForeignEntry { seen, cure }))
}

const MARK: &str = "unanswered";

/// One account's token call whose outcome is unknown.
pub(crate) struct UnansweredCall {
    store: Arc<dyn SharedStore>,
    key: String,
    /// True if this process has lost an answer, or has taken over another process's call.
    in_doubt: AtomicBool,
}

impl UnansweredCall {
    pub(crate) fn new(parameters: &Parameters) -> Self {
        Self {
            store: parameters.store(),
            key: keys::TOKEN_CALL.of_account(&parameters.app_id),
            in_doubt: AtomicBool::new(false),
        }
    }

    /// Marks the beginning of a token call; true if all earlier calls were answered.
    pub(crate) async fn begin(&self) -> bool {
        // If the store fails here, only this process knows about the call.
        let marked = self.store.set_if_absent(&self.key, MARK, keys::TOKEN_CALL_TTL).await;
        if let Ok(false) = marked {
            // The mark is renewed, so that no other replica takes over what this one is about to retry.
            let renewed = self
                .store
                .compare_and_set(&self.key, Some(MARK), MARK, keys::TOKEN_CALL_TTL);
            let _ = renewed.await;
        }
        matches!(marked, Ok(true)) && !self.is_in_doubt()
    }

    /// Notes that this process must find out the outcome.
    pub(crate) fn lose(&self) {
        self.in_doubt.store(true, Ordering::Relaxed);
    }

    /// Takes over a call that another replica began longer than `limit` ago, and whose outcome is still unknown: that
    /// replica has died, or failed to remove the mark. Only the replica that removes the mark takes over.
    pub(crate) async fn take_over(&self, limit: Duration) {
        if let Ok(Some(mark)) = self.store.get(&self.key).await
            && mark.ttl.is_some_and(|left| left + limit < keys::TOKEN_CALL_TTL)
            && let Ok(true) = self.store.compare_and_delete(&self.key, &mark.value).await
        {
            self.lose();
        }
    }

    /// Removes the mark, because the outcome is known: the token is known, or was never replaced.
    pub(crate) async fn settle(&self) {
        self.forget();
        // If the mark stays, a classic token is renewed once more, or the next foreign invalidation goes unreported.
        let _ = self.store.compare_and_delete(&self.key, MARK).await;
    }

    /// Notes that another replica has obtained a token since.
    pub(crate) fn forget(&self) {
        self.in_doubt.store(false, Ordering::Relaxed);
    }

    /// See [`Self::lose`].
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.in_doubt.load(Ordering::Relaxed)
    }

    /// True if any replica may have lost an answer.
    pub(crate) async fn exists(&self) -> bool {
        self.is_in_doubt() || matches!(self.store.get(&self.key).await, Ok(Some(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_values_are_named_and_never_quoted() {
        let foreign = |value: &[u8]| {
            let (value, ttl) = (value.to_vec(), Some(Duration::from_hours(1)));
            foreign_entry(Kind::AccessToken, "the-key", &Found::Bytes { value, ttl })
        };
        for (value, what) in [
            (b"\"85_old\"".as_slice(), "a string in quotes"),
            (b"{\"token\":\"85_old\"}", "JSON"),
            (b"[\"85_old\"]", "JSON"),
            (b"\xAC\xED\x00\x05t\x00\x0685_old", "serialized by Java"),
            (b"85_old\n", "characters that no WeChat credential"),
            (b"85_old.x", "characters that no WeChat credential"),
            (b"\xFF\xFE85_old", "bytes that are not text"),
            (b"null", "a null value"),
            (b"undefined", "a null value"),
        ] {
            let why = foreign(value).unwrap().to_string();
            assert!(why.contains(what) && why.contains("the-key"), "{why}");
            assert!(!why.contains("85_old"), "{why}");
        }
        for ours in [b"85_o-Ld".as_slice(), b"", b" \n", "x".repeat(70_000).as_bytes()] {
            assert!(foreign(ours).is_none());
        }
        let hash = Found::OtherType("hash".to_owned());
        let why = foreign_entry(Kind::JsapiTicket, "the-key", &hash).unwrap().to_string();
        assert!(
            why.contains("type hash") && why.contains("credentials.ticket_key"),
            "{why}"
        );
    }
}
