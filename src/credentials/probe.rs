//! Probes a token that may be dead; it is renewed only if WeChat rejects it (C12). However many clients suspect it, on
//! whichever replicas, the account makes one probe in ten seconds. Answers that reject a good token cost each replica one
//! probe per path in ten seconds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use super::credential::{Credential, Policy, Unavailable, rejects_token};
use super::parameters::{Issuer, Parameters};
use super::renewal::CredentialResult;
use super::token::Token;
use crate::account::AppId;
use crate::clock::Moment;
use crate::secret::Secret;
use crate::single_flight::SingleFlight;
use crate::store::{SharedStore, keys};
use crate::wechat::{CallError, ErrCode, TokenRejection, what_to_do};

/// Stored while a probe is running, and after one that did not reject the token. After a rejection, the token's
/// fingerprint and the `errcode` are stored.
const RUNNING: &str = "under way";
const NOT_REJECTED: &str = "not rejected";

/// Probes one account's token: at most one replica in ten seconds, and the others read its result.
pub(super) struct Probe {
    app_id: AppId,
    token: Arc<Token>,
    issuer: Arc<dyn Issuer>,
    policy: Policy,
    store: Arc<dyn SharedStore>,
    /// Where a replica publishes the result of its probe for the others.
    key: String,
    /// This process's last probe, for times when the shared store is down.
    last: Mutex<Option<Moment>>,
    /// The last comparison of the token in use with a stored one.
    compared: Mutex<Option<Comparison>>,
    /// Paths that rejected a token though a probe did not, or could not be made, and when.
    wrong_paths: Mutex<HashMap<WrongPath, Moment>>,
    flight: Arc<SingleFlight<Reason, CredentialResult>>,
    tasks: TaskTracker,
}

/// A comparison of the token in use with a stored one. It is repeated after the `pause`; none begins sooner than ten seconds
/// after another.
struct Comparison {
    other: Secret,
    at: Moment,
    pause: Duration,
}

/// A path, and whether its rejections are certain: a file that reads like a rejection says nothing about other answers.
type WrongPath = (String, bool);

/// From this number of remembered paths on, no rejection of the same certainty causes a probe.
const MAX_WRONG_PATHS: usize = 32;

/// How long WeChat accepts a classic token after it has issued another one.
const OVERLAP: Duration = Duration::from_mins(5);

/// The maximum wait of a client that suspects the token, since it may give up after five seconds; and for another replica's
/// probe, from its start, since that replica may have died, or given up before Redis carried out its claim.
const MAX_WAIT: Duration = Duration::from_secs(4);

/// Why a token is probed.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Reason {
    /// A client asks for the token again.
    Suspicion,
    /// WeChat has rejected a token, or an answer may be a user's file that reads like a rejection.
    Rejection { fingerprint: String, is_certain: bool },
}

/// The error if it is unknown whether an answer was a rejection of the token or a user's file; `why` is about the token.
fn unverified(rejection: &CallError, why: &str, retry_after: Duration) -> Unavailable {
    Unavailable {
        reason: format!("WeChat's answer may be a rejection of the access_token ({rejection}), which {why}"),
        errcode: rejection.errcode(),
        retry_after,
    }
}

impl Probe {
    pub(super) fn new(parameters: &Parameters, token: Arc<Token>) -> Self {
        Self {
            app_id: parameters.app_id.clone(),
            token,
            issuer: Arc::clone(&parameters.issuer),
            policy: parameters.policy.clone(),
            store: parameters.store(),
            key: keys::PROBE.of_account(&parameters.app_id),
            last: Mutex::default(),
            compared: Mutex::default(),
            wrong_paths: Mutex::default(),
            flight: Arc::default(),
            tasks: parameters.services.tasks.clone(),
        }
    }

    /// The token, for a client that suspects that the token is dead: probed, unless a probe was made recently, and
    /// replaced if WeChat rejects it. If WeChat does not answer in time, the client gets the token that there is.
    pub(super) async fn verified_token(self: &Arc<Self>) -> CredentialResult {
        let probe = Arc::clone(self);
        let verified = self.once(Reason::Suspicion, async move { probe.verify().await });
        match timeout(MAX_WAIT, verified).await {
            Ok((verified, _)) => verified,
            Err(_) => self.token.get().await,
        }
    }

    /// The store has `other`, which expires sooner than the token in use, or has come back after it was replaced. Which of
    /// the two is newer only WeChat can tell: if it rejects the token in use, `other` is adopted, and if it rejects `other`,
    /// that is replaced. As long as it accepts both, they are compared again every [`OVERLAP`].
    pub(super) fn compare_with(self: &Arc<Self>, other: Secret) {
        let is_recent = |last: &Comparison| {
            let age = last.at.elapsed();
            age < keys::PROBE_TTL || (last.other == other && age < last.pause)
        };
        if self.compared.lock().as_ref().is_some_and(is_recent) {
            return;
        }
        self.note_compared(&other, keys::PROBE_TTL);
        let probe = Arc::clone(self);
        self.tasks.spawn(async move { probe.compare(other).await });
    }

    fn note_compared(&self, other: &Secret, pause: Duration) {
        *self.compared.lock() = Some(Comparison {
            other: other.clone(),
            at: Moment::now(),
            pause,
        });
    }

    async fn compare(&self, other: Secret) {
        let Some(token) = self.token.slot.usable() else { return };
        let (app_id, ours, theirs) = (&self.app_id, &token.fingerprint, other.fingerprint());
        if let Err(error) = self.issuer.probe(&token.value).await {
            if rejects_token(&error) {
                tracing::info!(%app_id, token = ours, other = theirs, "another access_token is stored, and ours is dead");
                // The other one is newer, even if it was in use here before.
                self.token.slot.history.revive(&other);
                let _ = self.token.replace_rejected(&token, &error).await;
            }
            // Any other failure says nothing about the token. The next sync tries again, after a pause.
            return;
        }
        match self.issuer.probe(&other).await {
            Ok(()) => self.note_compared(&other, OVERLAP),
            Err(error) if rejects_token(&error) => {
                tracing::info!(%app_id, token = ours, other = theirs, "a dead access_token is stored; ours replaces it");
                let _ = self.token.slot.shared.replace(Some(&other), &token).await;
            }
            Err(_) => {}
        }
    }

    /// The token to use instead of `token`, which WeChat has rejected in a call of `path`. Some paths reject good tokens,
    /// for example those that take a different kind of token. So the token is replaced only if WeChat rejects it in a
    /// probe too, or if the rejection is certain and WeChat does not answer the probe. A path whose rejection did not
    /// lead to another token causes no further probe for a while. Fails if it can't be determined now whether an answer
    /// was a rejection: only a probe that begins after it can tell.
    pub(super) async fn token_after_rejection(
        self: &Arc<Self>,
        token: &Arc<Credential>,
        path: &str,
        rejection: TokenRejection,
    ) -> CredentialResult {
        let asked_at = Moment::now();
        if let Some(retry_after) = self.no_probe_for(path, rejection.is_certain) {
            if rejection.is_certain {
                return Ok(Arc::clone(token));
            }
            return Err(unverified(&rejection.error, "is not probed again yet", retry_after));
        }
        let reason = Reason::Rejection {
            fingerprint: token.fingerprint.clone(),
            is_certain: rejection.is_certain,
        };
        let (probe, rejected, answer) = (Arc::clone(self), Arc::clone(token), rejection.clone());
        let work = async move { probe.verify_rejection(&rejected, answer).await };
        let (outcome, is_new) = self.once(reason, work).await;
        let is_kept = outcome.as_ref().is_ok_and(|kept| kept.value == token.value);
        if is_kept || (outcome.is_err() && !rejection.is_certain) {
            let path = (path.to_owned(), rejection.is_certain);
            self.wrong_paths.lock().insert(path, asked_at);
        }
        if is_kept && !is_new && !rejection.is_certain {
            let why = "was already being probed when that answer arrived";
            return Err(unverified(&rejection.error, why, keys::PROBE_TTL));
        }
        outcome
    }

    /// How much longer rejections by `path` cause no probe because one of them did not lead to another token; `None` if
    /// they do cause one.
    fn no_probe_for(&self, path: &str, is_certain: bool) -> Option<Duration> {
        let mut wrong = self.wrong_paths.lock();
        wrong.retain(|_, at| at.elapsed() < keys::PROBE_TTL);
        // With so many paths, a client is probably trying one after another, which must not cause as many probes.
        let too_many = wrong.keys().filter(|(_, certain)| *certain == is_certain).count() >= MAX_WRONG_PATHS;
        let left = |at: &Moment| keys::PROBE_TTL.saturating_sub(at.elapsed());
        let left = wrong.get(&(path.to_owned(), is_certain)).map(left);
        left.or(too_many.then_some(keys::PROBE_TTL))
    }

    /// The outcome of `work`, or of the same work if it is already running, and whether this call started it.
    async fn once(
        &self,
        reason: Reason,
        work: impl Future<Output = CredentialResult> + Send + 'static,
    ) -> (CredentialResult, bool) {
        let (pending, is_new) = self.flight.join_or_start(&reason, &self.tasks, || work);
        let outcome = pending.await;
        let outcome = outcome.unwrap_or_else(|_| Err(Unavailable::soon("the probe panicked")));
        (outcome, is_new)
    }

    async fn verify_rejection(&self, token: &Arc<Credential>, rejection: TokenRejection) -> CredentialResult {
        match self.issuer.probe(&token.value).await {
            Err(probed) if rejects_token(&probed) => self.token.replace_rejected(token, &probed).await,
            // Only if the probe was accepted may the answer be a file.
            Err(failed) if !rejection.is_certain => {
                tracing::warn!(
                    app_id = %self.app_id,
                    token = token.fingerprint,
                    "a WeChat answer may be a rejection of the access_token, which could not be probed: {failed}"
                );
                let why = format!("could not be probed: {failed}");
                Err(unverified(&rejection.error, &why, keys::PROBE_TTL))
            }
            // Another refusal is not about the token but, say, a quota.
            Ok(()) | Err(CallError::Refused { .. }) => {
                tracing::info!(
                    app_id = %self.app_id,
                    token = token.fingerprint,
                    "a WeChat answer looks like a rejection of the access_token, but a probe did not confirm it; the token is \
                     kept"
                );
                // A client that suspects the token now causes no probe of its own.
                if self.may_probe().await {
                    self.publish(token, None, Moment::now() + keys::PROBE_TTL).await;
                }
                Ok(Arc::clone(token))
            }
            Err(_) => self.token.replace_rejected(token, &rejection.error).await,
        }
    }

    async fn verify(&self) -> CredentialResult {
        let token = self.token.get().await?;
        let rejection = if self.may_probe().await {
            self.ask_wechat(&token).await
        } else {
            self.wait_for_finding(&token).await
        };
        if let Some(error) = rejection {
            return self.token.replace_rejected(&token, &error).await;
        }
        // Another replica may have renewed it meanwhile.
        self.token.slot.sync_with_store().await;
        self.token.get().await
    }

    /// WeChat's rejection of `token`, if there is one. Any other failure says nothing about the token.
    async fn ask_wechat(&self, token: &Credential) -> Option<CallError> {
        let until = Moment::now() + keys::PROBE_TTL;
        let error = self.issuer.probe(&token.value).await.err();
        let (app_id, token_hash) = (&self.app_id, &token.fingerprint);
        if let Some(error) = error.as_ref().filter(|error| !rejects_token(error)) {
            let cure = what_to_do(error.cure(ErrCode::meaning).as_deref());
            tracing::warn!(%app_id, token = token_hash, "an access_token that may be dead could not be probed: {error}{cure}");
        } else {
            tracing::info!(
                %app_id,
                token = token_hash,
                rejected = error.is_some(),
                "a client suspected that the access_token is dead; it was probed"
            );
        }
        let rejection = error.filter(rejects_token);
        self.publish(token, rejection.as_ref(), until).await;
        rejection
    }

    /// True if this replica may probe; false if another one has probed recently or is probing now.
    async fn may_probe(&self) -> bool {
        let may_probe = match self.store.set_if_absent(&self.key, RUNNING, keys::PROBE_TTL).await {
            Ok(is_first) => is_first,
            Err(_) => self.last.lock().is_none_or(|at| at.elapsed() >= keys::PROBE_TTL),
        };
        if may_probe {
            *self.last.lock() = Some(Moment::now());
        }
        may_probe
    }

    /// Publishes whether WeChat rejects `token`, valid until `until`.
    async fn publish(&self, token: &Credential, rejection: Option<&CallError>, until: Moment) {
        let finding = match rejection.and_then(CallError::errcode) {
            Some(code) => format!("{} {code}", token.fingerprint),
            None => NOT_REJECTED.to_owned(),
        };
        let left = until.saturating_duration_since(Moment::now());
        if !left.is_zero() {
            // If the store fails here, the other replicas wait until the key expires.
            let published = self.store.compare_and_set(&self.key, Some(RUNNING), &finding, left);
            let _ = published.await;
        }
    }

    /// The result of any replica's last probe of `token`. Waits for a probe that is running, unless it began longer than
    /// [`MAX_WAIT`] ago.
    async fn wait_for_finding(&self, token: &Credential) -> Option<CallError> {
        loop {
            let entry = self.store.get(&self.key).await.ok()??;
            match entry.value.as_str() {
                RUNNING => {
                    let age = keys::PROBE_TTL.saturating_sub(entry.ttl?);
                    if age >= MAX_WAIT {
                        return None;
                    }
                }
                NOT_REJECTED => return None,
                rejected => {
                    let (fingerprint, code) = rejected.split_once(' ')?;
                    let code = code.parse().ok().filter(|_| fingerprint == token.fingerprint)?;
                    return Some(CallError::Refused {
                        code: ErrCode(code),
                        message: "as another probe found".to_owned(),
                    });
                }
            }
            sleep(self.policy.jitter.poll()).await;
        }
    }
}
