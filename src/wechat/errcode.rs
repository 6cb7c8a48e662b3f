//! What each `errcode` means to the gateway, from WeChat's public list of error codes and from captured answers.

use std::fmt;

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
    /// A quota is used up: nothing helps before its minute or day is over.
    Quota,
    /// Only an operator can fix it, as the text says.
    Operator(&'static str),
    /// A code that is not documented.
    Unlisted,
}

impl ErrCode {
    /// WeChat is busy.
    pub const BUSY: Self = Self(-1);
    /// The access_token is invalid or not the latest; on a token call: the AppSecret is wrong.
    pub const INVALID_CREDENTIAL: Self = Self(40001);
    /// No such media.
    pub const INVALID_MEDIA_ID: Self = Self(40007);
    /// No such AppID.
    pub const INVALID_APPID: Self = Self(40013);
    /// A malformed access_token.
    pub const INVALID_ACCESS_TOKEN: Self = Self(40014);
    /// The AppSecret is wrong.
    pub const INVALID_APPSECRET: Self = Self(40125);
    /// The caller's address is not on the account's IP list.
    pub const IP_NOT_LISTED: Self = Self(40164);
    /// The access_token has expired.
    pub const ACCESS_TOKEN_EXPIRED: Self = Self(42001);

    /// What it means on a call that is made with an access_token.
    #[must_use]
    pub fn meaning(self) -> Meaning {
        match self.0 {
            -1 => Meaning::Busy,
            40001 | 40014 | 42001 => Meaning::TokenRejected,
            40007 => Meaning::MediaUnknown,
            45009 | 45011 => Meaning::Quota,
            _ => self.cure().map_or(Meaning::Unlisted, Meaning::Operator),
        }
    }

    /// What it means on a call for an access_token: there 40001 is about the AppSecret.
    #[must_use]
    pub fn meaning_of_token_call(self) -> Meaning {
        match self {
            Self::INVALID_CREDENTIAL => Meaning::Operator(WRONG_SECRET),
            _ => self.meaning(),
        }
    }

    /// How an operator can fix it; `None` for other codes.
    fn cure(self) -> Option<&'static str> {
        Some(match self.0 {
            40013 => "no such AppID: correct app_id (it begins with wx)",
            40125 => WRONG_SECRET,
            40164 => {
                "add the address named here to the account's IP list (设置与开发 → 开发接口管理 → IP白名单); it takes up to 10 minutes"
            }
            40243 => "the AppSecret is frozen (AppSecret已被冻结): unfreeze it in the account's console",
            48001 => "the account lacks this API: verify the account (认证) or look at 接口权限 in its console",
            48004 => "the API is banned for this account: read the notice in its console",
            48017 => {
                "this host resolves WeChat to a retired address: remove pinned addresses from the hosts file or DNS"
            }
            50001 => "the account lacks the permission: look at 接口权限 in its console",
            50002 => "the account is frozen, migrated or cancelled: its owner must act",
            50004 => "the account may not use the token API (punishment): its owner must act",
            50007 => "the account is frozen (账号已冻结): its owner must act",
            61024 => "this AppID is a third-party platform's: use the AppID of the account itself",
            89501 => "an administrator must answer the pending confirmation of this address in WeChat",
            89503 => "an administrator must confirm this address in WeChat, or add it to the IP list",
            89506 => "an administrator refused this address twice: it is blocked for 24 hours; add it to the IP list",
            89507 => "an administrator refused this address: it is blocked for one hour; add it to the IP list",
            _ => return None,
        })
    }
}

const WRONG_SECRET: &str =
    "the AppSecret is wrong, was reset, or belongs to another account: copy it again from the account's console";

impl fmt::Display for ErrCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
