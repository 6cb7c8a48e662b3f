//! What people are told about failed and foreign renewals: log, journal, metrics.

use super::Unavailable;
use super::account::{AccountCredentials, Slot};
use super::backoff::Severity;
use super::credential::Kind;
use super::journal::Event;
use crate::wechat::{CallError, ErrCode, Meaning};

impl AccountCredentials {
    /// Tells of a token that died long before its end though nobody of ours replaced it (C5).
    pub(super) async fn report_foreign(&self) {
        let Some(dead) = self.token.past.take_foreign() else {
            return;
        };
        if self.doubt.exists().await {
            return;
        }
        let left = dead.remaining().as_secs();
        let reason = format!("rejected {left} s before its end: another system fetched a token with this AppSecret");
        self.metrics.foreign.with_label_values(&[self.app_id.as_str()]).inc();
        self.journal.note(
            &self.app_id,
            Kind::AccessToken,
            Event::ForeignInvalidation,
            &dead.fingerprint,
            &reason,
        );
        tracing::error!(
            app_id = %self.app_id,
            token = dead.fingerprint,
            "foreign invalidation: the access_token was {reason}. Let that system ask wxgate's internal listener for its \
             tokens, or reset the AppSecret and give it to wxgate alone"
        );
    }

    /// Logs and journals a failed call, and lets nobody try again too soon (C9).
    pub(super) fn note_failure(&self, slot: &Slot, error: &CallError, meaning: fn(ErrCode) -> Meaning) -> Unavailable {
        let errcode = error.errcode();
        let meaning = errcode.map_or(Meaning::Busy, meaning);
        let severity = match meaning {
            Meaning::Operator(_) => Severity::Operator,
            Meaning::Quota => Severity::Quota,
            Meaning::Busy | Meaning::TokenRejected | Meaning::MediaUnknown | Meaning::Unlisted => Severity::Passing,
        };
        let reason = format!("{}: {error}", slot.kind.label());
        let why = slot.backoff.fail(
            severity,
            Unavailable {
                errcode,
                ..Unavailable::soon(reason)
            },
        );
        let (app_id, kind, retry_in) = (&self.app_id, slot.kind.label(), why.retry_after);
        if let Meaning::Operator(cure) = meaning {
            tracing::error!(%app_id, kind, ?retry_in, "WeChat gives no credential: {error}. What to do: {cure}");
        } else {
            tracing::warn!(%app_id, kind, ?retry_in, "WeChat gives no credential: {error}");
        }
        self.journal
            .note(app_id, slot.kind, Event::RenewalFailed, "", &error.to_string());
        why
    }
}
