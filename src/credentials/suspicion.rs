//! A client suspects that the token it was given is dead. That is looked into before anything is
//! renewed: any number of suspicions cost the account one probe in ten seconds, whichever replicas
//! they come to, and a renewal only where WeChat rejects the token.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};
use tracing::Instrument;

use super::Unavailable;
use super::account::{AccountCredentials, Outcome, rejects_token};
use super::credential::Credential;
use crate::flights::Flights;
use crate::wechat::{CallError, ErrCode};

/// One probe per account in this time.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// How long a replica that waits for another one's probe pauses between two looks.
const POLL: Duration = Duration::from_millis(50);

/// What stands in the shared store while a probe is under way, and after one that found the token
/// good. After one that found it dead, its fingerprint and the `errcode` stand there.
const UNDER_WAY: &str = "under way";
const NOT_REJECTED: &str = "not rejected";

/// One account's suspicions.
#[derive(Default)]
pub(super) struct Suspicion {
    flight: Arc<Flights<(), Outcome>>,
    /// This process's last probe, for times when the shared store is down.
    probed_at: Mutex<Option<Instant>>,
}

/// Whether this replica may probe.
enum Turn {
    Ours,
    /// Somebody has probed lately, or is at it.
    Theirs,
}

impl AccountCredentials {
    /// The token, for a client that suspects that it is dead: probed, unless one was lately, and
    /// replaced where WeChat rejects it (C12).
    pub async fn verified_token(self: &Arc<Self>) -> Result<Arc<Credential>, Unavailable> {
        let start = || Arc::clone(self).verification().in_current_span();
        let (ticket, _) = self.suspicion.flight.join(&(), &self.tasks, start);
        ticket
            .await
            .unwrap_or_else(|_| Err(Unavailable::soon("the probe panicked")))
    }

    fn verification(self: Arc<Self>) -> BoxFuture<'static, Outcome> {
        async move {
            let token = self.token().await?;
            let rejection = match self.take_turn().await {
                Turn::Ours => self.probe(&token).await,
                Turn::Theirs => self.others_finding(&token).await,
            };
            match rejection {
                Some(error) => self.replace_rejected(&token, &error).await,
                // Another replica may have renewed it meanwhile.
                None => self.token().await,
            }
        }
        .boxed()
    }

    async fn take_turn(&self) -> Turn {
        let ours = match self
            .store
            .set_if_absent(&self.probe_key(), UNDER_WAY, PROBE_INTERVAL)
            .await
        {
            Ok(ours) => ours,
            Err(_) => self
                .suspicion
                .last_probe()
                .is_none_or(|at| at.elapsed() >= PROBE_INTERVAL),
        };
        if !ours {
            return Turn::Theirs;
        }
        self.suspicion.note_probe();
        Turn::Ours
    }

    /// Asks WeChat; answers its rejection. Any other failure says nothing about the token.
    async fn probe(&self, token: &Credential) -> Option<CallError> {
        let until = Instant::now() + PROBE_INTERVAL;
        let error = self.issuer.probe(&token.value).await.err();
        let rejection = error.filter(rejects_token);
        let finding = match rejection.as_ref().and_then(CallError::errcode) {
            Some(code) => format!("{} {code}", token.fingerprint),
            None => NOT_REJECTED.to_owned(),
        };
        tracing::info!(
            app_id = %self.app_id,
            token = token.fingerprint,
            rejected = rejection.is_some(),
            "a client suspected that the access_token is dead; it was probed"
        );
        let left = until.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            // A store that fails here leaves the other replicas to wait out the interval.
            let _ = self
                .store
                .compare_and_set(&self.probe_key(), Some(UNDER_WAY), &finding, left)
                .await;
        }
        rejection
    }

    /// What the last probe of any replica has found about `token`.
    async fn others_finding(&self, token: &Credential) -> Option<CallError> {
        let give_up = Instant::now() + self.policy.call_limit;
        loop {
            let finding = self.store.get(&self.probe_key()).await.ok()??.value;
            if finding != UNDER_WAY {
                let (fingerprint, code) = finding.split_once(' ')?;
                let code = code.parse().ok().filter(|_| fingerprint == token.fingerprint)?;
                return Some(CallError::Refused {
                    code: ErrCode(code),
                    message: "as another probe has found".to_owned(),
                });
            }
            if Instant::now() >= give_up {
                return None;
            }
            sleep(self.policy.jitter.spread(POLL, 0.5..=1.5)).await;
        }
    }

    fn probe_key(&self) -> String {
        format!("wxgate:probe:{}", self.app_id)
    }
}

impl Suspicion {
    fn last_probe(&self) -> Option<Instant> {
        *self.probed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_probe(&self) {
        *self.probed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}
