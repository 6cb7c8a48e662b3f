//! What each `errcode` means to the gateway, from WeChat's public list of error codes and from captured answers.

use std::fmt;

use super::cure;
use crate::words::Words;

/// A WeChat `errcode` other than 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrCode(pub i64);

/// What to do about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// WeChat is busy: the same request may succeed soon.
    Busy,
    /// The access_token is not, or no longer, the account's: get another one, once.
    TokenRejected,
    /// No such media, or expired, or of another account.
    MediaUnknown,
    /// The quota of this minute is used up.
    MinuteQuota,
    /// The quota of the day is used up.
    DayQuota,
    /// Only an operator can fix it, and this is how.
    Operator(Words),
    /// A code that is not documented.
    Unlisted,
}

impl Meaning {
    /// What an operator can do about it.
    pub fn cure(self) -> Words {
        match self {
            Self::Busy => cure::BUSY,
            Self::TokenRejected => cure::TOKEN_REJECTED,
            Self::MediaUnknown => cure::MEDIA_UNKNOWN,
            Self::MinuteQuota => cure::MINUTE_QUOTA,
            Self::DayQuota => cure::DAY_QUOTA,
            Self::Operator(words) => words,
            Self::Unlisted => cure::UNLISTED,
        }
    }
}

impl ErrCode {
    /// WeChat is busy.
    pub const BUSY: Self = Self(-1);
    /// The access_token is invalid or not the latest; on a token call: the AppSecret is wrong.
    pub const INVALID_CREDENTIAL: Self = Self(40001);
    /// No such media.
    pub const INVALID_MEDIA_ID: Self = Self(40007);
    /// The caller's address is not on the account's IP list.
    pub const IP_NOT_LISTED: Self = Self(40164);

    /// What it means on a call that is made with an access_token.
    pub fn meaning(self) -> Meaning {
        match self.0 {
            -1 => Meaning::Busy,
            40001 | 40014 | 42001 => Meaning::TokenRejected,
            40007 => Meaning::MediaUnknown,
            45009 => Meaning::DayQuota,
            45011 => Meaning::MinuteQuota,
            _ => cure::of(self.0).map_or(Meaning::Unlisted, Meaning::Operator),
        }
    }

    /// What it means on a call for an access_token: there 40001 is about the AppSecret.
    pub fn meaning_of_token_call(self) -> Meaning {
        match self {
            Self::INVALID_CREDENTIAL => Meaning::Operator(cure::WRONG_SECRET),
            _ => self.meaning(),
        }
    }
}

impl fmt::Display for ErrCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
