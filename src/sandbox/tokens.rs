//! One account's access tokens: which one replaces which, and when each becomes invalid.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::config::SandboxConfig;
use super::random;
use crate::secret::Secret;

/// The two kinds of token. They are independent: neither invalidates the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// From `GET /cgi-bin/token`.
    Classic,
    /// From `POST /cgi-bin/stable_token`.
    Stable,
}

/// How tokens are invalidated before they expire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kill {
    /// Which kind; both if `None`.
    pub kind: Option<TokenKind>,
    /// Whether the invalid token is refused with 42001 (expired) rather than 40001 (superseded).
    pub expired: bool,
    /// Whether `stable_token` keeps returning the invalid token until `force_refresh`.
    pub still_answered: bool,
}

/// Whether a token is valid now, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Validity {
    Valid,
    Superseded,
    Expired,
}

/// An answer to a token call.
#[derive(Debug)]
pub(super) struct TokenAnswer {
    pub(super) token: Secret,
    /// Seconds.
    pub(super) expires_in: u64,
}

struct TokenRecord {
    value: Secret,
    kind: TokenKind,
    expires_at: Instant,
    /// When and why it becomes invalid before `expires_at`.
    ended: Option<(Instant, Validity)>,
}

/// Every valid token and the last invalid ones, newest first.
#[derive(Default)]
pub(super) struct Tokens {
    issued: VecDeque<TokenRecord>,
    /// Whether `stable_token` returns its last token although it is invalid.
    stuck: bool,
    last_forced: Option<Instant>,
    /// The day of the last `force_refresh`, and how many that day has had.
    forced_on: (u64, u64),
}

/// At most two of a kind are valid at a time; the others are kept to distinguish 42001 from 40001.
const REMEMBERED: usize = 64;

impl TokenRecord {
    fn validity(&self, now: Instant) -> Validity {
        match self.ended {
            Some((at, how)) if at <= now => how,
            _ if self.expires_at <= now => Validity::Expired,
            _ => Validity::Valid,
        }
    }

    fn left(&self, now: Instant) -> Duration {
        self.expires_at.saturating_duration_since(now)
    }

    fn end(&mut self, at: Instant, how: Validity) {
        if self.ended.is_none_or(|(earlier, _)| at < earlier) {
            self.ended = Some((at, how));
        }
    }

    fn answer(&self, now: Instant) -> TokenAnswer {
        TokenAnswer {
            token: self.value.clone(),
            expires_in: self.left(now).as_secs().max(1),
        }
    }
}

impl Tokens {
    /// `GET /cgi-bin/token`: always a new one. The previous one stays valid for the overlap, older ones become invalid
    /// at once.
    pub(super) fn classic(&mut self, config: &SandboxConfig, now: Instant) -> TokenAnswer {
        for (age, token) in self.of(TokenKind::Classic).enumerate() {
            let at = if age == 0 { now + config.overlap() } else { now };
            token.end(at, Validity::Superseded);
        }
        self.issue(TokenKind::Classic, config, now)
    }

    /// `POST /cgi-bin/stable_token`: the current one, or a new one in the current one's last minutes, when both are valid.
    pub(super) fn stable(&mut self, config: &SandboxConfig, now: Instant) -> TokenAnswer {
        let stuck = self.stuck;
        let current = self
            .of(TokenKind::Stable)
            .next()
            .filter(|token| stuck || token.validity(now) == Validity::Valid)
            .filter(|token| token.left(now) > config.overlap());
        match current {
            Some(token) => token.answer(now),
            None => self.issue(TokenKind::Stable, config, now),
        }
    }

    /// The same with `force_refresh`: invalidates the current one. WeChat does not document its answer if this is called
    /// too soon or too often; here the call then behaves as without `force_refresh`.
    pub(super) fn stable_forced(&mut self, config: &SandboxConfig, now: Instant, day: u64) -> TokenAnswer {
        let too_soon = self
            .last_forced
            .is_some_and(|last| now < last + config.force_refresh_interval);
        let today = if self.forced_on.0 == day { self.forced_on.1 } else { 0 };
        if too_soon || today >= config.daily_force_refreshes {
            return self.stable(config, now);
        }
        self.last_forced = Some(now);
        self.forced_on = (day, today + 1);
        for token in self.of(TokenKind::Stable) {
            token.end(now, Validity::Superseded);
        }
        self.issue(TokenKind::Stable, config, now)
    }

    pub(super) fn validity(&self, value: &Secret, now: Instant) -> Option<Validity> {
        let token = self.issued.iter().find(|token| token.value == *value)?;
        Some(token.validity(now))
    }

    /// The newest token of this kind with its remaining seconds, if it is valid.
    pub(super) fn current(&self, kind: TokenKind, now: Instant) -> Option<TokenAnswer> {
        let newest = self.issued.iter().find(|token| token.kind == kind)?;
        (newest.validity(now) == Validity::Valid).then(|| newest.answer(now))
    }

    pub(super) fn kill(&mut self, kill: Kill, now: Instant) {
        let how = if kill.expired {
            Validity::Expired
        } else {
            Validity::Superseded
        };
        for token in &mut self.issued {
            if kill.kind.is_none_or(|only| only == token.kind) && token.validity(now) == Validity::Valid {
                token.end(now, how);
                self.stuck |= token.kind == TokenKind::Stable && kill.still_answered;
            }
        }
    }

    fn of(&mut self, kind: TokenKind) -> impl Iterator<Item = &mut TokenRecord> {
        self.issued.iter_mut().filter(move |token| token.kind == kind)
    }

    fn issue(&mut self, kind: TokenKind, config: &SandboxConfig, now: Instant) -> TokenAnswer {
        let token = TokenRecord {
            value: Secret::new(random::token()),
            kind,
            expires_at: now + config.token_ttl,
            ended: None,
        };
        let answer = token.answer(now);
        self.stuck &= kind != TokenKind::Stable;
        self.issued.push_front(token);
        if self.issued.len() > REMEMBERED
            && let Some(oldest) = self
                .issued
                .iter()
                .rposition(|token| token.validity(now) != Validity::Valid)
        {
            self.issued.remove(oldest);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn config() -> SandboxConfig {
        SandboxConfig::default()
    }

    fn validity(tokens: &Tokens, issued: &TokenAnswer, now: Instant) -> Validity {
        tokens.validity(&issued.token, now).unwrap()
    }

    #[test]
    fn classic_token_stays_valid_for_the_overlap_after_its_successor_only() {
        let (mut tokens, t0) = (Tokens::default(), Instant::now());
        let a = tokens.classic(&config(), t0);
        let b = tokens.classic(&config(), t0);
        assert_ne!(a.token, b.token);
        assert_eq!(a.expires_in, 7200);
        assert_eq!(validity(&tokens, &a, t0 + 299 * SECOND), Validity::Valid);
        assert_eq!(validity(&tokens, &a, t0 + 300 * SECOND), Validity::Superseded);
        let c = tokens.classic(&config(), t0 + 10 * SECOND);
        assert_eq!(validity(&tokens, &a, t0 + 10 * SECOND), Validity::Superseded);
        assert_eq!(validity(&tokens, &b, t0 + 10 * SECOND), Validity::Valid);
        assert_eq!(validity(&tokens, &c, t0 + 7209 * SECOND), Validity::Valid);
        assert_eq!(validity(&tokens, &c, t0 + 7210 * SECOND), Validity::Expired);
    }

    #[test]
    fn classic_token_replaced_in_its_last_minutes_expires_on_time() {
        let (mut tokens, t0) = (Tokens::default(), Instant::now());
        let a = tokens.classic(&config(), t0);
        tokens.classic(&config(), t0 + 7100 * SECOND);
        assert_eq!(validity(&tokens, &a, t0 + 7200 * SECOND), Validity::Expired);
    }

    #[test]
    fn token_kinds_do_not_invalidate_each_other() {
        let (mut tokens, t0) = (Tokens::default(), Instant::now());
        let stable = tokens.stable(&config(), t0);
        let classic = tokens.classic(&config(), t0);
        tokens.classic(&config(), t0);
        tokens.classic(&config(), t0);
        assert_eq!(validity(&tokens, &stable, t0), Validity::Valid);
        assert_eq!(validity(&tokens, &classic, t0), Validity::Superseded);
        let classic = tokens.current(TokenKind::Classic, t0).unwrap();
        tokens.stable_forced(&config(), t0, 0);
        assert_eq!(validity(&tokens, &classic, t0), Validity::Valid);
    }

    #[test]
    fn force_refresh_invalidates_at_once_within_its_limits() {
        let (mut tokens, t0) = (Tokens::default(), Instant::now());
        let a = tokens.stable(&config(), t0);
        let b = tokens.stable_forced(&config(), t0, 1);
        assert_eq!(validity(&tokens, &a, t0), Validity::Superseded);
        let soon = tokens.stable_forced(&config(), t0 + 29 * SECOND, 1);
        assert_eq!(soon.token, b.token);
        let mut last = b;
        for n in 1..20 {
            let next = tokens.stable_forced(&config(), t0 + n * 30 * SECOND, 1);
            assert_ne!(next.token, last.token, "{n}");
            last = next;
        }
        let t1 = t0 + 20 * 30 * SECOND;
        assert_eq!(tokens.stable_forced(&config(), t1, 1).token, last.token, "the 21st");
        assert_ne!(tokens.stable_forced(&config(), t1, 2).token, last.token, "the next day");
    }

    #[test]
    fn overlap_is_shorter_for_short_lived_tokens() {
        let config = SandboxConfig {
            token_ttl: 8 * SECOND,
            ..config()
        };
        let (mut tokens, t0) = (Tokens::default(), Instant::now());
        let a = tokens.stable(&config, t0);
        assert_eq!(tokens.stable(&config, t0 + 5 * SECOND).token, a.token);
        assert_ne!(tokens.stable(&config, t0 + 6 * SECOND).token, a.token);
    }

    #[test]
    fn invalid_tokens_are_remembered_up_to_a_limit() {
        let (mut tokens, t0) = (Tokens::default(), Instant::now());
        let stable = tokens.stable(&config(), t0);
        for _ in 0..3 * REMEMBERED {
            tokens.classic(&config(), t0);
        }
        assert_eq!(tokens.issued.len(), REMEMBERED);
        // A valid token is never forgotten, however many others are issued.
        assert_eq!(validity(&tokens, &stable, t0), Validity::Valid);
    }
}
