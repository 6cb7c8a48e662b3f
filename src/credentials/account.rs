//! One account's credentials, as the rest of the gateway sees them.

use std::future::Future;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backoff::{Backoff, Severity};
use super::budget::Budget;
use super::credential::{Cell, Credential, Kind};
use super::doubt::Doubt;
use super::issuer::Issuer;
use super::jitter::Jitter;
use super::journal::{Event, Journal};
use super::metrics::CredentialMetrics;
use super::past::Past;
use super::policy::Policy;
use super::renewal::Trigger;
use super::shelf::Shelf;
use super::suspicion::Suspicion;
use super::{TokenCallError, Unavailable};
use crate::account::AppId;
use crate::secret::Secret;
use crate::settings;
use crate::single_flight::SingleFlight;
use crate::store::{SharedStore, keys};
use crate::wechat::{CallError, Meaning};

/// What a renewal ends in; every caller that waits for it gets a copy.
pub type Outcome = Result<Arc<Credential>, Unavailable>;

/// One account's token and ticket.
pub struct AccountCredentials {
    pub(super) app_id: AppId,
    pub(super) issuer: Arc<dyn Issuer>,
    pub(super) store: Arc<dyn SharedStore>,
    pub(super) policy: Policy,
    pub(super) lock_key: String,
    pub(super) token: Slot,
    pub(super) ticket: Slot,
    /// Whether WeChat may have replaced the token in an answer that got lost.
    pub(super) doubt: Doubt,
    /// Spaces out renewals where new tokens keep dying at once.
    pub(super) fights: Backoff,
    pub(super) suspicion: Suspicion,
    pub(super) budget: Budget,
    pub(super) journal: Journal,
    pub(super) metrics: CredentialMetrics,
    /// Where renewals run, so that a drain waits for them.
    pub(super) tasks: TaskTracker,
    /// Ends their calls to WeChat, so that they still release the lock.
    pub(super) cut_off: CancellationToken,
}

/// What there is once for the token and once for the ticket.
pub(super) struct Slot {
    pub(super) kind: Kind,
    pub(super) cell: Cell,
    pub(super) past: Past,
    pub(super) shelf: Shelf,
    pub(super) flight: Arc<SingleFlight<(), Outcome>>,
    pub(super) backoff: Backoff,
}

impl Slot {
    fn new(kind: Kind, store: Arc<dyn SharedStore>, key: String, jitter: &Jitter) -> Self {
        let shelf = Shelf::new(store, key);
        Self {
            kind,
            cell: Cell::default(),
            past: Past::default(),
            shelf,
            flight: Arc::default(),
            backoff: Backoff::new(jitter.clone()),
        }
    }
}

/// A credential's state, for people and probes.
#[derive(Debug)]
pub struct Status {
    /// What is held and usable.
    pub credential: Option<Arc<Credential>>,
    /// Why none is being got now.
    pub failing: Option<Unavailable>,
}

/// A token that died sooner than this after it was got, or in the first tenth of a shorter life, was
/// in a fight.
const YOUNG: std::time::Duration = std::time::Duration::from_mins(1);

impl AccountCredentials {
    /// The credentials of the account that `issuer` speaks for; nothing is asked for yet.
    #[must_use]
    pub fn new(
        app_id: AppId,
        issuer: Arc<dyn Issuer>,
        settings: &settings::Credentials,
        policy: Policy,
        services: Services,
    ) -> Arc<Self> {
        let Services {
            store,
            journal,
            metrics,
            tasks,
            cut_off,
        } = services;
        // From zero on, so that the first one is an increase that an alert can see.
        metrics.foreign.with_label_values(&[app_id.as_str()]).inc_by(0);
        let slot = |kind, key| Slot::new(kind, Arc::clone(&store), key, &policy.jitter);
        Arc::new(Self {
            token: slot(Kind::AccessToken, keys::token(settings, &app_id)),
            ticket: slot(Kind::JsapiTicket, keys::ticket(settings, &app_id)),
            lock_key: keys::lock(settings, &app_id),
            doubt: Doubt::new(Arc::clone(&store), &app_id),
            fights: Backoff::new(policy.jitter.clone()),
            suspicion: Suspicion::default(),
            budget: Budget::new(Arc::clone(&store), app_id.clone(), policy.daily_token_calls),
            app_id,
            issuer,
            store,
            policy,
            journal,
            metrics,
            tasks,
            cut_off,
        })
    }

    /// The account's name.
    #[must_use]
    pub fn app_id(&self) -> &AppId {
        &self.app_id
    }

    /// Reads the ticket if it is warm, in place: the hot path of signing.
    pub fn with_warm_ticket<T>(&self, read: impl FnOnce(&Credential) -> T) -> Option<T> {
        self.ticket.cell.with_usable(read)
    }

    /// The ticket; waits for it where there is none.
    pub async fn ticket(self: &Arc<Self>) -> Result<Arc<Credential>, Unavailable> {
        self.usable_or_renewed(&self.ticket).await
    }

    /// The token; waits for it where there is none.
    pub async fn token(self: &Arc<Self>) -> Result<Arc<Credential>, Unavailable> {
        self.usable_or_renewed(&self.token).await
    }

    async fn usable_or_renewed(self: &Arc<Self>, slot: &Slot) -> Outcome {
        match slot.cell.usable() {
            Some(credential) => Ok(credential),
            None => self.renew(slot.kind, Trigger::Missing).await,
        }
    }

    /// Makes `call` with the current token; where WeChat rejects that token, another one is got, once
    /// for the whole cluster, and the call is made once more (C4).
    pub async fn with_token<T, F, Fut>(self: &Arc<Self>, call: F) -> Result<T, TokenCallError>
    where
        F: Fn(Arc<Credential>) -> Fut + Send,
        Fut: Future<Output = Result<T, CallError>> + Send,
    {
        let token = self.token().await?;
        let error = match call(Arc::clone(&token)).await {
            Err(error) if rejects_token(&error) => error,
            other => return Ok(other?),
        };
        let token = self.replace_rejected(&token, &error).await?;
        let outcome = call(Arc::clone(&token)).await;
        if let Err(error) = &outcome
            && rejects_token(error)
        {
            self.condemn(&token, error).await;
        }
        Ok(outcome?)
    }

    /// Gets another token in place of `dead`, which WeChat has rejected.
    pub(super) async fn replace_rejected(self: &Arc<Self>, dead: &Arc<Credential>, error: &CallError) -> Outcome {
        self.condemn(dead, error).await;
        // The renewal that is joined first may have begun before this rejection; the next one has not.
        for _ in 0..2 {
            let token = match self.token.cell.usable() {
                Some(token) => token,
                None => self.renew(Kind::AccessToken, Trigger::Rejected).await?,
            };
            if token.value != dead.value {
                return Ok(token);
            }
        }
        Err(Unavailable::soon("WeChat goes on issuing the token that it rejects"))
    }

    /// Drops `dead` everywhere, but only where it is still the one in use.
    async fn condemn(&self, dead: &Arc<Credential>, error: &CallError) {
        let news = self.token.past.reject(dead);
        // Whoever told of it before may not have come to this yet.
        self.token.cell.drop_if_still(&dead.value);
        if !news {
            return;
        }
        tracing::info!(app_id = %self.app_id, token = dead.fingerprint, %error, "WeChat rejected the access_token");
        self.journal.note(
            &self.app_id,
            Kind::AccessToken,
            Event::Rejected,
            &dead.fingerprint,
            &error.to_string(),
        );
        let life = dead.expires_at.saturating_duration_since(dead.held_since);
        if dead.held_since.elapsed() < YOUNG.min(life / 10) {
            self.fights.fail(
                Severity::Fight,
                Unavailable::soon("new access_tokens are rejected at once"),
            );
        } else {
            self.fights.clear();
        }
        if let Err(error) = self.token.shelf.discard(&dead.value).await {
            tracing::debug!(%error, "the rejected token stays in the shared store; no replica that saw it rejected uses it");
        }
    }

    /// Renews a credential now, at an operator's word, whatever back-off is running.
    pub async fn renew_now(self: &Arc<Self>, kind: Kind) -> Result<Arc<Credential>, Unavailable> {
        self.renew(kind, Trigger::Operator).await
    }

    /// A credential's state.
    #[must_use]
    pub fn status(&self, kind: Kind) -> Status {
        let slot = self.slot(kind);
        Status {
            credential: slot.cell.usable(),
            failing: slot.backoff.refusal(),
        }
    }

    /// What was in use here before and no longer is.
    #[must_use]
    pub fn former(&self, kind: Kind) -> Vec<Secret> {
        self.slot(kind).past.values()
    }

    /// How many token calls the whole cluster has made today (Beijing time).
    pub async fn token_calls_today(&self) -> u64 {
        self.budget.spent_by_all().await
    }

    pub(super) fn slot(&self, kind: Kind) -> &Slot {
        match kind {
            Kind::AccessToken => &self.token,
            Kind::JsapiTicket => &self.ticket,
        }
    }

    /// Puts `credential` into use, unless it has been rejected meanwhile.
    pub(super) fn hold(&self, slot: &Slot, credential: &Arc<Credential>) {
        let ends = std::time::SystemTime::now() + credential.expires_at.saturating_duration_since(Instant::now());
        let ends = ends
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();
        self.metrics
            .expiry
            .with_label_values(&[self.app_id.as_str(), slot.kind.label()])
            .set(ends);
        let before = slot.cell.hold(Arc::clone(credential));
        if let Some(before) = before.filter(|before| before.value != credential.value) {
            slot.past.supersede(before);
            // Whatever was rejected, this is what took its place.
            slot.past.explain();
        }
        if slot.past.rejected(&credential.value) {
            slot.cell.drop_if_still(&credential.value);
        }
    }
}

/// What the accounts of a gateway have in common.
#[derive(Clone)]
pub struct Services {
    /// Where the replicas meet.
    pub store: Arc<dyn SharedStore>,
    /// Where events are noted.
    pub journal: Journal,
    /// Where things are counted.
    pub metrics: CredentialMetrics,
    /// Where renewals run.
    pub tasks: TaskTracker,
    /// Cancelled when they may not go on.
    pub cut_off: CancellationToken,
}

/// True where WeChat says that the token is not, or no longer, good.
pub(super) fn rejects_token(error: &CallError) -> bool {
    error
        .errcode()
        .is_some_and(|code| code.meaning() == Meaning::TokenRejected)
}
