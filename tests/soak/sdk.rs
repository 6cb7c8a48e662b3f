//! Other systems' SDKs: they keep a token until its announced end, and call WeChat through the gateway.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::load::Client;
use crate::model::Excuse;
use crate::world::{CLASSIC, CLIENT_SECRET, GATEWAYS};

/// A token's remaining life at which an SDK renews it.
const NEAR_ITS_END: Duration = Duration::from_secs(12);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Asks with `GET /cgi-bin/token`; repeats a call once with a new token if WeChat rejects it.
    Repeating,
    /// Asks with `stable_token`, and repeats nothing.
    Once,
    /// Uploads files, which are too large for the gateway to repeat.
    Uploader,
}

impl Kind {
    /// The field that WeChat's answer has.
    fn asks_for(self) -> &'static str {
        match self {
            Self::Repeating | Self::Once => "ip_list",
            Self::Uploader => "media_id",
        }
    }
}

pub struct Sdk {
    client: Client,
    kind: Kind,
    /// The token, and until when it is used.
    token: Option<(String, Instant)>,
}

impl Sdk {
    pub fn new(client: Client, kind: Kind) -> Self {
        Self {
            client,
            kind,
            token: None,
        }
    }

    pub async fn calls_wechat(&mut self) {
        let begun = Instant::now();
        let Some(token) = self.token(begun).await else { return };
        let Some(mut body) = self.call(&token).await else {
            return;
        };
        if self.kind == Kind::Repeating && is_rejection(errcode(&body)) {
            self.token = None;
            let Some(token) = self.token(begun).await else { return };
            let Some(again) = self.call(&token).await else { return };
            body = again;
        }
        // A frozen gateway may have kept the call for longer than the token lives.
        if is_rejection(errcode(&body)) && self.token_has_ended() {
            self.token = None;
            return;
        }
        let model = &self.client.model;
        model.counts.sdk_calls.fetch_add(1, Ordering::Relaxed);
        if errcode(&body) == 0 && body[self.kind.asks_for()].is_null() {
            model.violation(&format!("{:?}: not what WeChat answers: {body}", self.kind));
        } else if errcode(&body) != 0 {
            model.failed(
                self.is_excused(errcode(&body), begun),
                &format!("{:?} for account {}: {body}", self.kind, self.client.account),
            );
            self.token = None;
        }
    }

    fn token_has_ended(&self) -> bool {
        let a_second_before = Instant::now() + Duration::from_secs(1);
        self.token.as_ref().is_some_and(|(_, until)| *until < a_second_before)
    }

    /// Whether a fault explains that a call which began at `begun` failed with this code or status.
    fn is_excused(&self, code: i64, begun: Instant) -> bool {
        let now = |excuse| self.client.model.excuses(excuse, begun);
        let classic = self.client.account == CLASSIC;
        // WeChat rejects the token, and no other one can be fetched.
        let without_token = || now(Excuse::TokenDied) && (now(Excuse::WeChatFails) || now(Excuse::RedisFails));
        // A gateway that has just started without Redis does not recognise replaced tokens, and fetches no classic
        // one.
        let alone = || now(Excuse::RedisFails) && (0..GATEWAYS).any(|index| now(Excuse::Fresh(index)));
        // Redis has failed for longer than the life that a classic token has left when it is renewed.
        let long = classic && self.client.model.lasts_for(Excuse::RedisFails, NEAR_ITS_END);
        match code {
            _ if is_rejection(code) => {
                let too_large = self.kind == Kind::Uploader && now(Excuse::TokenDied);
                // A classic token whose answer is lost has replaced the one before.
                let replaced = classic && now(Excuse::WeChatFails);
                too_large || replaced || now(Excuse::DeadTokenGivenOut) || without_token() || alone() || long
            }
            -1 | 502 | 503 | 504 => now(Excuse::WeChatFails) || without_token() || (classic && alone()) || long,
            _ => false,
        }
    }

    /// The token that it has, or a new one.
    async fn token(&mut self, begun: Instant) -> Option<String> {
        if let Some((token, until)) = &self.token
            && Instant::now() < *until
        {
            return Some(token.clone());
        }
        let account = self.client.world.account(self.client.account);
        let (app_id, http) = (account.app_id.to_string(), self.client.http.clone());
        let classic = self.kind == Kind::Repeating;
        let sent = self.client.send_to_any("a token", |world, index| {
            let internal = world.gateways[index].caller.internal;
            if classic {
                let query = format!("grant_type=client_credential&appid={app_id}&secret={CLIENT_SECRET}");
                http.get(format!("http://{internal}/cgi-bin/token?{query}"))
            } else {
                let body = json!({"grant_type": "client_credential", "appid": app_id, "secret": CLIENT_SECRET});
                http.post(format!("http://{internal}/cgi-bin/stable_token")).json(&body)
            }
        });
        let body = sent.await?.body;
        let (Some(token), Some(life)) = (body["access_token"].as_str(), body["expires_in"].as_u64()) else {
            let excused = self.is_excused(errcode(&body), begun);
            self.client.model.failed(excused, &format!("a token: {body}"));
            return None;
        };
        self.client.model.is_secret(token);
        self.token = Some((token.to_owned(), Instant::now() + Duration::from_secs(life)));
        Some(token.to_owned())
    }

    async fn call(&mut self, token: &str) -> Option<Value> {
        let (http, kind) = (self.client.http.clone(), self.kind);
        let sent = self.client.send_to_any("a call", |world, index| {
            let internal = world.gateways[index].caller.internal;
            if kind == Kind::Uploader {
                let mut file = vec![0x5A; 100_000];
                file[..4].copy_from_slice(b"\xFF\xD8\xFF\xE0");
                let part = reqwest::multipart::Part::bytes(file).file_name("photo.jpg");
                let form = reqwest::multipart::Form::new().part("media", part);
                let url = format!("http://{internal}/cgi-bin/media/upload?access_token={token}&type=image");
                http.post(url).multipart(form)
            } else {
                http.get(format!("http://{internal}/cgi-bin/getcallbackip?access_token={token}"))
            }
        });
        let answer = sent.await?;
        Some(if answer.status == 200 {
            answer.body
        } else {
            json!({ "errcode": answer.status })
        })
    }
}

fn is_rejection(errcode: i64) -> bool {
    matches!(errcode, 40001 | 40014 | 42001)
}

fn errcode(body: &Value) -> i64 {
    // An answer that is not a JSON object, such as a proxy's page, is not WeChat's.
    if body.is_object() {
        body["errcode"].as_i64().unwrap_or(0)
    } else {
        -1
    }
}
