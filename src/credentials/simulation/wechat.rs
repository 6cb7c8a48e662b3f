//! WeChat as one replica reaches it: with classic tokens (the worst case) or with stable ones.

use std::time::Duration;

use async_trait::async_trait;

use super::replica::Outside;
use super::world::TOKEN_LIFETIME;
use crate::clock::Moment;
use crate::credentials::parameters::Issuer;
use crate::secret::Secret;
use crate::settings::TokenApi;
use crate::wechat::{CallError, ErrCode, Issued};

const TICKET_LIFETIME: Duration = Duration::from_mins(1);

impl Outside {
    async fn issue(&self, forced: bool) -> Result<Issued, CallError> {
        let asked_at = Moment::now();
        if self.world.is_wechat_down() {
            return Err(CallError::Unreachable("simulated".to_owned()));
        }
        self.world.begin_call();
        self.world.latency(1..400).await;
        let (number, lost) = self.world.end_call(forced);
        // A replica that freezes during the call gets its answer when it wakes up.
        self.gate.pass().await;
        if lost {
            return Err(CallError::TimedOut);
        }
        Ok(Issued {
            value: Secret::new(format!("token-{number}")),
            expires_in: TOKEN_LIFETIME,
            asked_at,
        })
    }
}

#[async_trait]
impl Issuer for Outside {
    fn token_api(&self) -> TokenApi {
        self.world.token_api
    }

    async fn token(&self, force_refresh: bool) -> Result<Issued, CallError> {
        self.issue(force_refresh).await
    }

    async fn probe(&self, token: &Secret) -> Result<(), CallError> {
        let good = self.world.accepts(token.expose());
        if good { Ok(()) } else { Err(rejection()) }
    }

    async fn ticket(&self, token: &Secret, _: &'static str) -> Result<Issued, CallError> {
        let asked_at = Moment::now();
        self.world.latency(1..400).await;
        if !self.world.accepts(token.expose()) {
            return Err(rejection());
        }
        Ok(Issued {
            value: Secret::new("ticket"),
            expires_in: TICKET_LIFETIME,
            asked_at,
        })
    }
}

/// WeChat's answer to an invalid token.
pub(super) fn rejection() -> CallError {
    CallError::Refused {
        code: ErrCode::INVALID_CREDENTIAL,
        message: String::new(),
    }
}
