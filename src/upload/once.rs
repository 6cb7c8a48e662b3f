//! Stores each picture once in the whole cluster: remembered URLs, and leases on uploads.
//!
//! Two keys per picture in the shared store. One holds its URL for `media.remember_for`. The other is a lease on the
//! upload: short, and renewed while the upload runs, so that a dead replica is soon replaced and a slow one is not. Once
//! the URL is stored, the lease guards nothing and is left to expire. If the shared store fails, no upload fails: each
//! replica stores a picture once and remembers its URL for an hour. Afterwards the first URL that is shared counts.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::account::AppId;
use crate::image_store::is_picture_url;
use crate::store::{
    Claimed, MemoryStore, SharedStore, StoreError, StoreFault, counts_as_none, keys, shorten_foreign_ttl,
};
use crate::wechat::MediaId;

/// The minimum lease: long enough to be renewed in a slow Redis.
const MIN_LEASE: Duration = Duration::from_secs(1);
/// The average pause before the first poll for another replica's result; it doubles each time.
const FIRST_POLL: Duration = Duration::from_millis(100);
/// The maximum of that pause, on average.
const MAX_POLL: Duration = Duration::from_millis(400);
/// A claim that fails this soon met a connection that broke. A silent Redis fails it later, and would make the caller
/// wait as long again for a second one.
const SOON: Duration = Duration::from_millis(250);
/// How long a URL that could not be remembered is tried again.
const REMEMBER_WITHIN: Duration = Duration::from_secs(2);
/// How long this replica remembers what it could not share.
const UNSHARED_FOR: Duration = Duration::from_hours(1);

/// The keys of one picture's URL and lease in the shared store.
pub(super) struct Keys {
    url: String,
    lease: String,
}

impl Keys {
    pub(super) fn of(app_id: &AppId, media_id: &MediaId) -> Self {
        Self {
            url: keys::media(app_id, media_id.as_str()),
            lease: keys::media_lock(app_id, media_id.as_str()),
        }
    }
}

/// Who uploads a picture.
pub(super) enum Turn<'a> {
    /// Nobody: it is already stored at this URL.
    Stored(Arc<str>),
    /// This replica; without a lease if nothing is remembered.
    Ours(Option<Lease<'a>>),
}

/// What all replicas know about uploads, and what this one could not share.
pub(super) struct Once {
    store: Arc<dyn SharedStore>,
    /// The URLs of pictures that this replica stored while the shared store failed: as many as an outage brings in an hour.
    unshared: MemoryStore,
    /// How long a URL is remembered. If it is zero, there are no leases either.
    remember_for: Duration,
    /// The TTL of a lease that is not renewed.
    lease: Duration,
    /// The maximum wait for another replica's upload.
    max_wait: Duration,
}

impl Once {
    /// A lease lasts `media_timeout`, but at least [`MIN_LEASE`] and at most [`keys::MEDIA_LOCK_TTL`]. All attempts
    /// together may take `max_wait`.
    pub(super) fn new(
        store: Arc<dyn SharedStore>,
        remember_for: Duration,
        media_timeout: Duration,
        max_wait: Duration,
    ) -> Self {
        Self {
            store,
            unshared: MemoryStore::default(),
            remember_for,
            // The lease must not outlive the remembered URL.
            lease: media_timeout.clamp(MIN_LEASE, keys::MEDIA_LOCK_TTL).min(remember_for),
            max_wait,
        }
    }

    /// The URL of a picture that was stored earlier.
    pub(super) async fn recall(&self, keys: &Keys) -> Option<Arc<str>> {
        if self.remember_for.is_zero() {
            return None;
        }
        if let Some(url) = self.recall_unshared(keys).await {
            return Some(url);
        }
        self.recall_shared(keys).await
    }

    async fn recall_shared(&self, keys: &Keys) -> Option<Arc<str>> {
        let entry = self.store.get(&keys.url).await.ok()??;
        Some(entry.value).filter(|url| is_usable(url)).map(Arc::from)
    }

    /// The URL of a picture that this replica stored while the shared store failed. It is shared now if that is possible,
    /// unless another replica has shared one, which then counts.
    async fn recall_unshared(&self, keys: &Keys) -> Option<Arc<str>> {
        let url: Arc<str> = self.unshared.get(&keys.url).await.ok()??.value.into();
        let shared = match self.store.set_if_absent(&keys.url, &url, self.remember_for).await {
            Ok(true) => Some(Arc::clone(&url)),
            Ok(false) => self.recall_shared(keys).await,
            Err(_) => None,
        };
        if shared.is_some() {
            let _ = self.unshared.compare_and_delete(&keys.url, &url).await;
        }
        Some(shared.unwrap_or(url))
    }

    /// Waits until the picture is stored or this replica may store it; `None` if another replica has been uploading it
    /// for longer than an upload may take.
    pub(super) async fn wait_for_turn<'a>(&'a self, keys: &'a Keys) -> Option<Turn<'a>> {
        let give_up = Instant::now() + self.max_wait;
        let mut pause = FIRST_POLL;
        let mut is_first_wait = true;
        loop {
            let turn = self.try_turn(keys).await;
            if turn.is_some() || Instant::now() >= give_up {
                return turn;
            }
            if std::mem::take(&mut is_first_wait) {
                shorten_foreign_ttl(&*self.store, &keys.lease, self.lease).await;
            }
            sleep(jittered(pause)).await;
            pause = (pause * 2).min(MAX_POLL);
        }
    }

    /// `None` if another replica is uploading the picture.
    async fn try_turn<'a>(&'a self, keys: &'a Keys) -> Option<Turn<'a>> {
        if self.remember_for.is_zero() {
            return Some(Turn::Ours(None));
        }
        if let Some(url) = self.recall_unshared(keys).await {
            return Some(Turn::Stored(url));
        }
        let owner = hex::encode(rand::random::<[u8; 16]>());
        let mut claimed = self.claim(keys, &owner).await;
        if let Ok(Claimed::Exists(value)) = &claimed
            && !is_usable(value)
        {
            let _ = self.store.compare_and_delete(&keys.url, value).await;
            claimed = self.claim(keys, &owner).await;
        }
        let is_held = claimed.is_ok();
        match claimed {
            Ok(Claimed::Exists(url)) if is_usable(&url) => Some(Turn::Stored(url.into())),
            Ok(Claimed::Theirs) => None,
            // If the store is unreachable, which it has logged, or contains something that is not a URL, storing the
            // picture twice is better than not at all.
            Ok(Claimed::Ours | Claimed::Exists(_)) | Err(_) => Some(Turn::Ours(Some(Lease {
                once: self,
                keys,
                owner,
                is_held,
            }))),
        }
    }

    /// Claims the upload. If the connection breaks, the claim may or may not have arrived, so it is made once more.
    async fn claim(&self, keys: &Keys, owner: &str) -> Result<Claimed, StoreError> {
        let claim = || self.store.claim(&keys.url, &keys.lease, owner, self.lease);
        let began = Instant::now();
        match claim().await {
            Err(error) if error.fault == StoreFault::Unreachable && began.elapsed() < SOON => {}
            claimed => return claimed,
        }
        match claim().await? {
            Claimed::Theirs if self.renew_lease(keys, owner).await? => Ok(Claimed::Ours),
            claimed => Ok(claimed),
        }
    }

    /// True if `owner` still holds the lease.
    async fn renew_lease(&self, keys: &Keys, owner: &str) -> Result<bool, StoreError> {
        self.store
            .compare_and_set(&keys.lease, Some(owner), owner, self.lease)
            .await
    }
}

/// Whether a remembered text is a picture's URL. Anything else was written by another program, and is replaced.
fn is_usable(url: &str) -> bool {
    !counts_as_none(url) && is_picture_url(url)
}

/// The right to upload one picture.
pub(super) struct Lease<'a> {
    once: &'a Once,
    keys: &'a Keys,
    owner: String,
    /// False if the store failed, so that nobody may hold it.
    is_held: bool,
}

impl Lease<'_> {
    /// Runs `work`, renewing the lease meanwhile. On success the URL is remembered; on failure the lease is released.
    ///
    /// Returns the remembered URL: a replica that was frozen for longer than its lease finds the URL of the replica that
    /// took over, and all callers get that one.
    pub(super) async fn during<E>(self, work: impl Future<Output = Result<Arc<str>, E>>) -> Result<Arc<str>, E> {
        let remembered = async { Ok(self.remember(work.await?).await) };
        let done = tokio::select! {
            biased;
            done = remembered => done,
            never = self.renew() => match never {},
        };
        if done.is_err() {
            let released = self.once.store.compare_and_delete(&self.keys.lease, &self.owner);
            let _ = released.await;
        }
        done
    }

    /// Remembers `url`, or returns the one that is remembered already. A lost connection must not give the picture
    /// another URL, so this is tried again for a moment, unless the store failed before. If it can't be shared, or perhaps
    /// not be read again, at least this replica remembers it.
    async fn remember(&self, url: Arc<str>) -> Arc<str> {
        let (once, keys) = (self.once, self.keys);
        let give_up = Instant::now() + REMEMBER_WITHIN;
        let mut pause = FIRST_POLL;
        loop {
            match once.store.set_if_absent(&keys.url, &url, once.remember_for).await {
                Ok(true) if self.is_held => return url,
                Ok(true) => break,
                // Another replica's, or ours if only the reply was lost.
                Ok(false) => match once.recall_shared(keys).await {
                    Some(remembered) => return remembered,
                    None => break,
                },
                Err(error) if error.fault != StoreFault::Unreachable || !self.is_held => break,
                Err(_) if Instant::now() + pause >= give_up => break,
                Err(_) => {}
            }
            sleep(jittered(pause)).await;
            pause = (pause * 2).min(MAX_POLL);
        }
        let time = UNSHARED_FOR.min(once.remember_for);
        let _ = once.unshared.set_if_absent(&keys.url, &url, time).await;
        url
    }

    async fn renew(&self) -> Infallible {
        loop {
            sleep(self.once.lease / 3).await;
            // The upload continues even if the lease is lost (the store restarted, or this process was frozen) or the
            // store is unreachable: in the end `set_if_absent` decides which URL counts.
            let _ = self.once.renew_lease(self.keys, &self.owner).await;
        }
    }
}

/// Between 0.5 and 1.5 times `pause`, so that uploads that failed together do not retry together.
pub(super) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.5..1.5))
}
