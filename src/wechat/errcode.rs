//! What each `errcode` means to the gateway, from WeChat's public list of error codes and from captured answers, and what
//! an operator can do about it.

use std::fmt;

use crate::words::Words;

/// A WeChat `errcode` other than 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrCode(pub i64);

/// What a refusal means to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// WeChat is busy: the same request may succeed soon.
    Busy,
    /// The access_token is not, or no longer, the account's: get another one, once.
    TokenRejected,
    /// The media does not exist, has expired, or belongs to another account.
    MediaUnknown,
    /// The quota for this minute is used up.
    MinuteQuota,
    /// The quota for the day is used up.
    DayQuota,
    /// Only an operator can fix it, as described.
    Operator(Words),
    /// An undocumented code.
    Unlisted,
}

impl Meaning {
    /// What an operator can do about it.
    pub fn cure(self) -> Words {
        let (en, zh) = match self {
            Self::Busy => (
                "no action needed unless it persists: WeChat is busy, and wxgate or the page tries again",
                "无需处理，除非持续出现：微信系统繁忙，wxgate 或页面会重试。",
            ),
            Self::TokenRejected => (
                "no action needed unless it persists: the gateway gets another token with its next call; if it persists, \
                 another system fetches tokens with this AppSecret",
                "无需处理，除非持续出现：网关会在下一次调用时更换 token；如果持续出现，说明有其他系统在用这个 AppSecret 获取 token。",
            ),
            Self::MediaUnknown => (
                "the mediaId is older than three days, another account's, or not a serverId: post the serverId of \
                 wx.uploadImage right away, and with several accounts the right appId",
                "mediaId 超过三天、属于其他公众号，或不是 serverId：得到 wx.uploadImage 的 serverId 后立即提交；有多个公众号时，使用正确的 appId。",
            ),
            Self::MinuteQuota => (
                "no action needed unless it persists: the quota of this minute is used up; if it persists, find out who \
                 makes so many calls",
                "无需处理，除非持续出现：这一分钟的调用次数已用完；如果持续出现，找出是谁在频繁调用。",
            ),
            Self::DayQuota => (
                "the day's quota is used up: find out who uses it (wxgate_token_calls_today, the journal, the other systems \
                 of this account); it is reset at midnight in Beijing, and can be cleared in the console ten times a month",
                "当天的调用次数已用完：找出调用来源（wxgate_token_calls_today、流水、同一公众号的其他系统）。北京时间零点重置；\
                 也可在公众平台清零，每月十次。",
            ),
            Self::Operator(words) => return words,
            Self::Unlisted => (
                "look this errcode up in WeChat's list of return codes (全局返回码)",
                "在微信的“全局返回码”里查找这个错误码。",
            ),
        };
        Words { en, zh }
    }
}

impl ErrCode {
    /// The access_token is invalid or not the latest; on a token call: the AppSecret is wrong.
    pub const INVALID_CREDENTIAL: Self = Self(40001);
    /// No such media.
    pub const INVALID_MEDIA_ID: Self = Self(40007);
    /// The caller's address is not on the account's IP list.
    pub const IP_NOT_LISTED: Self = Self(40164);

    /// Its meaning for a call made with an access_token.
    pub fn meaning(self) -> Meaning {
        match self.0 {
            -1 => Meaning::Busy,
            40001 | 40014 | 42001 => Meaning::TokenRejected,
            40007 => Meaning::MediaUnknown,
            45009 => Meaning::DayQuota,
            45011 => Meaning::MinuteQuota,
            _ => operator_cure(self.0).map_or(Meaning::Unlisted, Meaning::Operator),
        }
    }

    /// Its meaning for a token call: there 40001 is about the AppSecret.
    pub fn meaning_of_token_call(self) -> Meaning {
        match self {
            Self::INVALID_CREDENTIAL => Meaning::Operator(WRONG_SECRET),
            _ => self.meaning(),
        }
    }
}

impl fmt::Display for ErrCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// For 40125, and for 40001 on a token call.
const WRONG_SECRET: Words = Words {
    en: "the AppSecret is wrong, was reset, or belongs to another account: copy it again from the account's console",
    zh: "AppSecret 错误、已重置，或属于其他公众号：到公众平台重新复制。",
};

/// How an operator can fix what WeChat refuses with `errcode`; `None` for other codes.
fn operator_cure(errcode: i64) -> Option<Words> {
    let (en, zh) = match errcode {
        40125 => return Some(WRONG_SECRET),
        40013 => (
            "no such AppID: correct app_id (it begins with wx)",
            "AppID 不存在：更正 app_id（以 wx 开头）。",
        ),
        40164 => (
            "add the address named here to the account's IP list (设置与开发 → 开发接口管理 → IP白名单); it takes up to 10 minutes",
            "把上面的 IP 加入公众平台的 IP 白名单（设置与开发 → 开发接口管理 → IP白名单），最多 10 分钟生效。",
        ),
        40243 => (
            "the AppSecret is frozen (AppSecret已被冻结): unfreeze it in the account's console",
            "AppSecret 已被冻结：到公众平台解冻。",
        ),
        48001 => (
            "the account lacks this API: verify the account (认证) or look at 接口权限 in its console",
            "公众号没有该接口的权限：完成微信认证，或在公众平台查看“接口权限”。",
        ),
        48004 => (
            "the API is banned for this account: read the notice in its console",
            "该接口被封禁：查看公众平台的通知。",
        ),
        48017 => (
            "this host resolves WeChat to a retired address: remove pinned addresses from the hosts file or DNS",
            "本机把微信的域名解析到了已停用的 IP：删除 hosts 文件或 DNS 里写死的 IP。",
        ),
        50001 => (
            "the account lacks the permission: look at 接口权限 in its console",
            "公众号没有该接口的权限：在公众平台查看“接口权限”。",
        ),
        50002 => (
            "the account is frozen, migrated or cancelled: its owner must act",
            "账号被冻结、迁移或注销：需要由账号主体处理。",
        ),
        50004 => (
            "the account may not use the token API (punishment): its owner must act",
            "账号受到处罚，不能使用 token 接口：需要由账号主体处理。",
        ),
        50007 => (
            "the account is frozen (账号已冻结): its owner must act",
            "账号已冻结：需要由账号主体处理。",
        ),
        61024 => (
            "this AppID is a third-party platform's: use the AppID of the account itself",
            "这是第三方平台的 AppID：改用公众号自己的。",
        ),
        89501 => (
            "an administrator must answer the pending confirmation of this address in WeChat",
            "管理员需要在微信里处理该 IP 的确认请求。",
        ),
        89503 => (
            "an administrator must confirm this address in WeChat, or add it to the IP list",
            "管理员需要在微信里确认该 IP，或把它加入 IP 白名单。",
        ),
        89506 => (
            "an administrator refused this address twice: it is blocked for 24 hours; add it to the IP list",
            "管理员两次拒绝了该 IP，它会被禁用 24 小时：把它加入 IP 白名单。",
        ),
        89507 => (
            "an administrator refused this address: it is blocked for one hour; add it to the IP list",
            "管理员拒绝了该 IP，它会被禁用一小时：把它加入 IP 白名单。",
        ),
        _ => return None,
    };
    Some(Words { en, zh })
}
