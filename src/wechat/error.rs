//! How a call to WeChat fails, and the addresses from which WeChat refuses calls.

use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::StatusCode;
use tokio::time::Instant;

use super::{ErrCode, Meaning};
use crate::http_client::HttpError;

/// How a call to WeChat failed. No text contains a URL, since a query may contain a token.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// No connection to any of WeChat's hosts could be made; WeChat never saw the request.
    #[error("no connection to WeChat: {0}")]
    Unreachable(String),
    /// WeChat did not answer in time; it may have executed the request.
    #[error("WeChat did not answer in time")]
    TimedOut,
    /// The connection broke before the answer was complete; WeChat may have executed the request.
    #[error("the connection to WeChat broke: {0}")]
    Interrupted(String),
    /// WeChat answered with a status other than 200.
    #[error("WeChat answered with HTTP status {0}")]
    Status(StatusCode),
    /// The body is not as documented.
    #[error("WeChat's answer is unusable: {0}")]
    Body(BodyProblem),
    /// WeChat refused, with an `errcode` other than 0.
    #[error("WeChat refused: {code} {message}")]
    Refused {
        /// The `errcode`.
        code: ErrCode,
        /// WeChat's `errmsg`, shortened, without control characters. It appears in the log, the internal listener's
        /// answers, `/readyz`, the console and the journal.
        message: String,
    },
}

impl From<HttpError> for CallError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Connect(why) => Self::Unreachable(why),
            HttpError::Broken(why) => Self::Interrupted(why),
            HttpError::CutOff => Self::Body(BodyProblem::CutOff),
            HttpError::TimedOut => Self::TimedOut,
        }
    }
}

impl CallError {
    /// The `errcode`, if WeChat sent one.
    pub fn errcode(&self) -> Option<ErrCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// When the same call may succeed, if the failure is temporary.
    pub fn retry_after(&self) -> Option<Duration> {
        const SOON: Duration = Duration::from_secs(2);
        let passes = match self {
            Self::Unreachable(_) | Self::TimedOut | Self::Interrupted(_) | Self::Body(BodyProblem::CutOff) => true,
            Self::Status(status) => status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429),
            Self::Body(_) => false,
            Self::Refused { code, .. } => match code.meaning() {
                // There may be another token by then.
                Meaning::Busy | Meaning::TokenRejected => true,
                Meaning::MinuteQuota => return Some(Duration::from_mins(1)),
                _ => false,
            },
        };
        passes.then_some(SOON)
    }

    /// What an operator can do about a refusal, for the log. `meaning` is [`ErrCode::meaning`], or
    /// [`ErrCode::meaning_of_token_call`].
    pub fn cure(&self, meaning: fn(ErrCode) -> Meaning) -> Option<String> {
        let code = self.errcode()?;
        Some(match self.refused_address() {
            Some(address) => format!(
                "add {address} to the account's IP list (设置与开发 → 开发接口管理 → IP白名单); it takes up to 10 minutes"
            ),
            None => meaning(code).cure().en.to_owned(),
        })
    }

    /// The address from which WeChat received the call, if it refused the call because of that address (40164). WeChat
    /// sometimes names none, or 0.0.0.0.
    pub fn refused_address(&self) -> Option<IpAddr> {
        match self {
            Self::Refused { code, message } if *code == ErrCode::IP_NOT_LISTED => {
                let (_, rest) = message.split_once("invalid ip ")?;
                let addresses = rest.split([' ', ',']).filter_map(|word| word.parse::<IpAddr>().ok());
                addresses
                    .map(|address| address.to_canonical())
                    .find(|address| !address.is_unspecified())
            }
            _ => None,
        }
    }
}

/// The end of a log line about a failure: what an operator can do about it, if known.
pub fn what_to_do(cure: Option<&str>) -> String {
    cure.map(|cure| format!(". What to do: {cure}")).unwrap_or_default()
}

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyProblem {
    /// It is empty.
    #[error("empty body")]
    Empty,
    /// It ended before its Content-Length, or its JSON is incomplete.
    #[error("body cut off")]
    CutOff,
    /// It is longer than any answer of this API.
    #[error("body too long")]
    TooLong,
    /// It lacks a documented field, or is something else.
    #[error("not what the API promises")]
    Unexpected,
    /// It is a link to a video.
    #[error("a video, not a picture")]
    Video,
    /// It is a web page.
    #[error("a web page (HTML); does a proxy, or a login page, answer in WeChat's place?")]
    Page,
}

/// What to do about 40164 from several addresses within an hour.
pub const CHANGING_ADDRESS: &str = "give wxgate one fixed outgoing address (a NAT gateway, or a forward proxy named in \
     http_client.proxy) and add it to the account's IP list (设置与开发 → 开发接口管理 → IP白名单); it takes up \
     to 10 minutes";

/// How long a refused address is remembered.
const WINDOW: Duration = Duration::from_hours(1);
/// How many addresses are remembered.
const MAX: usize = 16;

/// The addresses that WeChat has refused in the last hour.
#[derive(Default)]
pub struct RefusedAddresses(Mutex<Vec<(IpAddr, Instant)>>);

impl RefusedAddresses {
    /// Notes that `address` was refused; returns all of them if others were refused within an hour.
    pub fn note(&self, address: IpAddr) -> Option<String> {
        let mut refused = self.0.lock();
        let now = Instant::now();
        refused.retain(|(_, at)| now.duration_since(*at) < WINDOW);
        match refused.iter_mut().find(|(known, _)| *known == address) {
            Some((_, at)) => *at = now,
            None => refused.push((address, now)),
        }
        if refused.len() > MAX {
            refused.remove(0);
        }
        let names: Vec<String> = refused.iter().map(|(known, _)| known.to_string()).collect();
        (names.len() > 1).then(|| names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_address_is_read_from_every_form_of_the_message() {
        let address = |code, message: &str| {
            let message = message.to_owned();
            CallError::Refused { code, message }.refused_address()
        };
        for message in [
            "invalid ip 47.107.115.102 ipv6 ::ffff:47.107.115.102, not in whitelist rid: 63758f5e-16a2d579-4da10952",
            "invalid ip 47.107.115.102, not in whitelist hint: [KJZfAa0644e575]",
            "invalid ip  ipv6 ::ffff:47.107.115.102, not in whitelist",
        ] {
            let expected = "47.107.115.102".parse().ok();
            assert_eq!(address(ErrCode::IP_NOT_LISTED, message), expected, "{message}");
        }
        for message in [
            "invalid ip , not in whitelist",
            "invalid ip 0.0.0.0, not in whitelist",
            "invalid ip 0.0.0.0 ipv6 ::ffff:0.0.0.0, not in whitelist",
        ] {
            assert_eq!(address(ErrCode::IP_NOT_LISTED, message), None, "{message}");
        }
        assert_eq!(address(ErrCode(-1), "invalid ip 1.1.1.1, x"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_of_the_last_hour_are_named() {
        let refused = RefusedAddresses::default();
        let note = |last: u8| refused.note(IpAddr::from([203, 0, 113, last]));
        assert_eq!(note(1), None);
        assert_eq!(note(1), None);
        tokio::time::advance(Duration::from_mins(40)).await;
        assert_eq!(note(2).as_deref(), Some("203.0.113.1, 203.0.113.2"));
        tokio::time::advance(Duration::from_mins(30)).await;
        assert_eq!(note(3).as_deref(), Some("203.0.113.2, 203.0.113.3"));
        tokio::time::advance(WINDOW).await;
        assert_eq!(note(4), None);
        for last in 5..100 {
            note(last);
        }
        assert_eq!(refused.0.lock().len(), MAX);
    }
}
