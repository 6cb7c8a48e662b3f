//! When WeChat was asked for tokens, and whether a fault explains it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use wxgate::sandbox::Api;

use crate::model::{Excuse, Model};
use crate::world::{GATEWAYS, World};

/// Tokens live for a minute and are renewed after three quarters of it, by one of the gateways. Calls that are closer than
/// this have a cause. To a gateway that was frozen, Redis has not answered in time.
const APART: Duration = Duration::from_secs(30);
const CAUSES: [Excuse; 4 + GATEWAYS] = [
    Excuse::RedisFails,
    Excuse::WeChatFails,
    Excuse::TokenDied,
    Excuse::DeadTokenGivenOut,
    Excuse::GatewayGone(0),
    Excuse::GatewayGone(1),
    Excuse::GatewayGone(2),
];

/// What the faults may cost in all, beside the renewals of both accounts.
const A_MINUTE: u64 = 2 * 2;

pub struct TokenCalls {
    /// The calls for each account.
    seen: Arc<[Mutex<Vec<Instant>>; 2]>,
    /// How many of them have been checked.
    checked: [usize; 2],
    watcher: JoinHandle<()>,
}

impl Drop for TokenCalls {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl TokenCalls {
    pub fn watch(world: &Arc<World>) -> Self {
        let seen: Arc<[Mutex<Vec<Instant>>; 2]> = Arc::default();
        let (world, calls) = (Arc::clone(world), Arc::clone(&seen));
        let watcher = tokio::spawn(async move {
            loop {
                for (account, calls) in calls.iter().enumerate() {
                    let mut calls = calls.lock().unwrap();
                    calls.resize(made(&world, account), Instant::now());
                }
                sleep(Duration::from_millis(50)).await;
            }
        });
        Self {
            seen,
            checked: [0; 2],
            watcher,
        }
    }

    /// Looks at the calls since the last time.
    pub fn check(&mut self, model: &Model, minutes: u64) -> String {
        let (mut total, allowed) = (0, A_MINUTE * minutes + model.allowed_token_calls());
        for (account, (calls, checked)) in self.seen.iter().zip(&mut self.checked).enumerate() {
            let calls = calls.lock().unwrap();
            for pair in calls[*checked..].windows(2) {
                let (before, call) = (pair[0], pair[1]);
                let caused = CAUSES.iter().any(|cause| model.excuses_between(*cause, before, call));
                if call - before < APART && !caused {
                    let [at, after] = [call - model.begun, call - before].map(|time| time.as_secs_f64());
                    let what = format!("a token call for account {account} at {at:.1} s, {after:.1} s after another");
                    model.violation(&what);
                }
            }
            *checked = calls.len().saturating_sub(1);
            total += calls.len() as u64;
        }
        if total > allowed {
            model.violation(&format!("{total} token calls, {allowed} are explained"));
        }
        format!("{total} token calls (at most {allowed})")
    }
}

/// How many token calls WeChat has had for an account.
pub fn made(world: &World, account: usize) -> usize {
    let app_id = world.account(account).app_id;
    let apis = [Api::StableToken, Api::Token];
    let calls = apis.map(|api| world.wechat.sandbox.calls_for(&app_id, api));
    calls.iter().sum::<u64>().try_into().unwrap()
}
