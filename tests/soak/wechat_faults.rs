//! What WeChat does wrong, and what other systems do to the token.

use std::time::Duration;

use rand::RngExt;
use tokio::time::{Instant, sleep};
use wxgate::sandbox::{Api, Fault, Kill, Rule, TokenKind};

use crate::faults::Player;
use crate::model::Excuse;
use crate::world::{CLASSIC, STABLE, WECHAT};

/// How long WeChat leaves tokens alone after it has invalidated one. The wait between token calls grows if tokens keep
/// dying, and lives of a minute are too short for that.
const TOKENS_LIVE: Duration = Duration::from_secs(90);

/// How much of a photo arrives: less than any has, or more than one part of an upload to S3.
const IN_A_PHOTO: [usize; 2] = [3000, 5_300_000];

impl Player {
    pub async fn disturbs_wechat(&mut self) {
        const FAILS: &[Excuse] = &[Excuse::WeChatFails];
        const SPARED: &[Excuse] = &[];
        const SLOW: &[Excuse] = &[Excuse::WeChatSlow];
        let (time, part) = (self.millis(500..6000), IN_A_PHOTO[self.rng.random_range(0..2)]);
        let (name, rule, excuses): (_, Rule, _) = match self.rng.random_range(0..12) {
            0 if self.may_die(STABLE) => return self.kills_the_token(STABLE, false),
            1 if self.may_die(STABLE) => return self.kills_the_token(STABLE, true),
            2 if self.may_die(CLASSIC) => return self.kills_the_token(CLASSIC, false),
            3 => return self.loses_its_name(time).await,
            0..=4 => ("WeChat is slow", Fault::delay(Duration::from_secs(2)).into(), SLOW),
            5 => ("WeChat is busy", Fault::errcode(-1).into(), FAILS),
            6 => ("WeChat breaks off", Fault::Reset.into(), FAILS),
            7 => ("WeChat's answers are lost", Fault::lost_answer().into(), FAILS),
            8 => ("WeChat answers 502", Fault::status(502).into(), FAILS),
            9 => ("photos end early", Fault::cut(part).on(Api::MediaGet), SPARED),
            10 => ("photos stall", Fault::stall_after(part).on(Api::MediaGet), SPARED),
            _ => {
                let (bytes, millis) = (16 * 1024, 50);
                (
                    "WeChat's answers come slowly",
                    Fault::Drip { bytes, millis }.into(),
                    SLOW,
                )
            }
        };
        let _fault = self.model.plays(name, excuses);
        let injected = self.world.wechat.sandbox.inject(rule);
        sleep(time).await;
        self.world.wechat.sandbox.remove_fault(injected);
    }

    fn may_die(&self, account: usize) -> bool {
        self.token_died[account].is_none_or(|died| died.elapsed() > TOKENS_LIVE)
    }

    /// Invalidates a token: the classic account's as if another system had fetched one; for the stable account WeChat
    /// may go on giving out the dead one.
    fn kills_the_token(&mut self, account: usize, still_answered: bool) {
        let (name, excuses): (_, &[Excuse]) = match (account, still_answered) {
            (CLASSIC, _) => ("another system replaces the classic token", &[Excuse::TokenDied]),
            (_, false) => ("WeChat invalidates the token", &[Excuse::TokenDied]),
            (_, true) => {
                let excuses = &[Excuse::TokenDied, Excuse::DeadTokenGivenOut];
                ("WeChat goes on giving out a dead token", excuses)
            }
        };
        let _fault = self.model.plays(name, excuses);
        self.token_died[account] = Some(Instant::now());
        let kill = Kill {
            kind: (account == CLASSIC).then_some(TokenKind::Classic),
            still_answered,
            ..Kill::default()
        };
        let app_id = self.world.account(account).app_id;
        self.world.wechat.sandbox.kill_token(&app_id, kill).unwrap();
    }

    /// Connections that are open break, too.
    async fn loses_its_name(&self, time: Duration) {
        let _fault = self
            .model
            .plays("WeChat's name does not resolve", &[Excuse::WeChatFails]);
        self.world.names.set(WECHAT, false);
        let broken = self.world.wechat.sandbox.inject(Fault::Reset);
        sleep(time).await;
        self.world.wechat.sandbox.remove_fault(broken);
        self.world.names.set(WECHAT, true);
    }
}
