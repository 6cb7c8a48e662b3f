//! The state of a sandbox behind its one lock: WeChat, the faults, and the log of calls.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::account::{AccountRecord, Tickets};
use super::active_rules::{ActiveRules, CallFaults};
use super::answer::Payload;
use super::api::Api;
use super::config::SandboxConfig;
use super::fault::Fault;
use super::request::Request;
use super::tokens::TokenKind;
use super::wechat::WeChat;
use crate::account::AppId;
use crate::secret::Secret;

/// The state guarded by the lock.
pub(super) struct LockedState {
    pub(super) wechat: WeChat,
    pub(super) rules: ActiveRules,
    calls: BTreeMap<(Api, Option<AppId>), u64>,
    pub(super) log: VecDeque<CallRecord>,
    last_number: u64,
}

/// One call in the log. It contains no token and no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallRecord {
    /// Counted from 1 in the order of the answers.
    pub number: u64,
    /// When it was answered, in seconds since 1970.
    pub unix: u64,
    /// Which API was called.
    pub api: Api,
    /// The HTTP method.
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// The account that it was about, if it named one.
    pub app_id: Option<AppId>,
    /// What WeChat answered: `ok`, `errcode 40001`, `status 500`, `no answer`.
    pub outcome: String,
    /// The kinds of fault that applied to it.
    pub faults: Vec<String>,
    /// The request's headers, except those that carry credentials.
    pub headers: BTreeMap<String, String>,
}

/// The number of calls that the log keeps.
const LOGGED: usize = 1000;

impl LockedState {
    pub(super) fn new(config: Arc<SandboxConfig>) -> Self {
        Self {
            wechat: WeChat::new(config),
            rules: ActiveRules::default(),
            calls: BTreeMap::new(),
            log: VecDeque::new(),
            last_number: 0,
        }
    }

    /// Counts a call and returns the faults to apply to it.
    pub(super) fn arrive(&mut self, api: Api, request: &Request) -> CallFaults {
        let app_id = self.wechat.app_id_of(request);
        *self.calls.entry((api, app_id.clone())).or_default() += 1;
        self.rules.faults_for(api, app_id.as_ref(), &request.param("media_id"))
    }

    /// Logs a call with its answer.
    pub(super) fn record(&mut self, api: Api, request: &Request, payload: &Payload, faults: &[Fault]) {
        self.last_number += 1;
        let record = CallRecord {
            number: self.last_number,
            unix: self.wechat.clock.unix(),
            api,
            method: request.head.method.to_string(),
            path: request.head.uri.path().to_owned(),
            app_id: self.wechat.app_id_of(request),
            outcome: match payload {
                Payload::Answer(answer) => answer.outcome(),
                Payload::Raw(_) => "raw bytes".to_owned(),
                Payload::Nothing(_) => "no answer".to_owned(),
            },
            faults: faults.iter().map(Fault::kind).collect(),
            headers: harmless_headers(request),
        };
        self.log.push_back(record);
        if self.log.len() > LOGGED {
            self.log.pop_front();
        }
    }

    /// How many calls of `api` arrived: those about `app_id` if it is given.
    pub(super) fn calls(&self, api: Api, app_id: Option<&AppId>) -> u64 {
        self.calls
            .iter()
            .filter(|((called, about), _)| *called == api && (app_id.is_none() || about.as_ref() == app_id))
            .map(|(_, count)| count)
            .sum()
    }

    /// The whole state, as shown by `GET /sandbox/state`. Tokens and tickets are identified by their fingerprints.
    pub(super) fn view(&self) -> Value {
        let mut calls: BTreeMap<Api, u64> = BTreeMap::new();
        for ((api, _), count) in &self.calls {
            *calls.entry(*api).or_default() += count;
        }
        let accounts = self.wechat.accounts.iter().map(|account| self.account_view(account));
        json!({
            "unix": self.wechat.clock.unix(),
            "accounts": accounts.collect::<Value>(),
            "calls": calls,
            "faults": self.rules.states(),
        })
    }

    fn account_view(&self, account: &AccountRecord) -> Value {
        let (now, ttl) = (self.wechat.clock.now(), self.wechat.config.ticket_ttl);
        let app_id = &account.config.app_id;
        let token = |kind| {
            let current = account.tokens.current(kind, now)?;
            Some(credential_view(&current.token, current.expires_in))
        };
        let tickets = |of: &Tickets| -> Value {
            of.unexpired(ttl, now)
                .map(|(ticket, left)| credential_view(ticket, left.as_secs()))
                .collect()
        };
        let about = |((api, about), count): (&(Api, Option<AppId>), &u64)| {
            (about.as_ref() == Some(app_id)).then_some((*api, *count))
        };
        json!({
            "app_id": app_id,
            "classic_token": token(TokenKind::Classic),
            "stable_token": token(TokenKind::Stable),
            "jsapi_tickets": tickets(&account.jsapi_tickets),
            "wx_card_tickets": tickets(&account.wx_card_tickets),
            "media": account.media.files.len(),
            "calls": self.calls.iter().filter_map(about).collect::<BTreeMap<_, _>>(),
        })
    }
}

fn credential_view(value: &Secret, seconds_left: u64) -> Value {
    json!({ "fingerprint": value.fingerprint(), "seconds_left": seconds_left })
}

fn harmless_headers(request: &Request) -> BTreeMap<String, String> {
    let secret = ["authorization", "proxy-authorization", "cookie", "x-api-key"];
    let shown = request.head.headers.iter();
    shown
        .filter(|(name, _)| !secret.contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}
