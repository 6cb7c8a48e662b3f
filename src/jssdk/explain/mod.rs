//! Why WeChat says `invalid signature`: which of the known mistakes gives the signature that the page has.
//!
//! A mistake is data: its name, what to say about it, and what it makes of the right string. The ones that
//! fit are found by trying, alone first and then in pairs, for SHA-1 tells nothing by itself.

mod compare;
mod escapes;
mod marked;
mod mistakes;
mod urls;

use super::signature::hex_sha1;
use super::{PageUrl, UrlWarning};
use crate::secret::Secret;
use crate::words::Words;

pub use compare::{Comparison, Difference, compare, refusal};
pub use marked::Marked;
pub use mistakes::{MISTAKES, Mistake};

/// What the page passed to `wx.config`, and its URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The page's whole URL, its fragment too where it is known.
    url: String,
    nonce: String,
    timestamp: String,
    signature: String,
}

/// Why a claim can't be looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimProblem {
    /// The URL is no page's.
    Url,
    /// There is no nonce.
    Nonce,
    /// The timestamp is no number.
    Timestamp,
    /// The signature is not 40 hex digits.
    Signature,
    /// The request is no signing call.
    Request,
}

/// The tickets to try, and what may have been taken for one.
#[derive(Debug, Clone, Default)]
pub struct Tickets {
    /// The one that is right.
    pub current: Secret,
    /// The one before, other accounts' ones.
    pub others: Vec<Secret>,
    /// Access tokens.
    pub tokens: Vec<Secret>,
}

/// What came out.
#[derive(Debug)]
pub enum Verdict {
    /// It is the right signature for this URL.
    Right,
    /// It is the signature of another string.
    Explained {
        /// One mistake, or two in this order.
        mistakes: Vec<&'static Mistake>,
        /// What was signed.
        signed: Box<Signed>,
    },
    /// Nothing known gives this signature.
    Unexplained,
}

impl ClaimProblem {
    /// What to tell whoever made the claim.
    #[must_use]
    pub fn words(self) -> Words {
        match self {
            Self::Url => Words {
                en: "the URL has to be the page's whole address, as location.href has it: http:// or https://, and a host",
                zh: "网址要填页面的完整地址（location.href），以 http:// 或 https:// 开头",
            },
            Self::Nonce => Words {
                en: "the nonce is missing: the nonceStr that the page passed to wx.config",
                zh: "缺少 nonce：填页面传给 wx.config 的 nonceStr",
            },
            Self::Timestamp => Words {
                en: "the timestamp has to be the number that the page passed to wx.config",
                zh: "timestamp 要填页面传给 wx.config 的数字",
            },
            Self::Signature => Words {
                en: "the signature has to be 40 hex digits (SHA-1); 32 digits would be MD5's, 64 SHA-256's",
                zh: "signature 要填 40 位十六进制（SHA-1）；32 位是 MD5，64 位是 SHA-256",
            },
            Self::Request => Words {
                en: "the request has to be the URL of the signing call, as the browser's network tab has it: \
                     https://…/wechat/jsSDK?url=…",
                zh: "请求要填签名请求的网址，即浏览器“网络”面板里的 https://…/wechat/jsSDK?url=…",
            },
        }
    }
}

impl Claim {
    /// A claim as people paste it: white space around the values is theirs.
    pub fn new(url: &str, nonce: &str, timestamp: &str, signature: &str) -> Result<Self, ClaimProblem> {
        let [url, nonce, timestamp, signature] = [url, nonce, timestamp, signature].map(str::trim);
        if url.len() > PageUrl::MAX_LEN || PageUrl::parse(url).is_err() {
            return Err(ClaimProblem::Url);
        }
        if nonce.is_empty() || nonce.len() > 256 {
            return Err(ClaimProblem::Nonce);
        }
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if !(1..=19).contains(&timestamp.len()) || !digits(timestamp) {
            return Err(ClaimProblem::Timestamp);
        }
        if signature.len() != 40 || !signature.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ClaimProblem::Signature);
        }
        Ok(Self {
            url: url.to_owned(),
            nonce: nonce.to_owned(),
            timestamp: timestamp.to_owned(),
            signature: signature.to_owned(),
        })
    }

    /// The URL that is to be signed.
    #[must_use]
    pub fn page(&self) -> &str {
        self.url.split('#').next().unwrap_or_default()
    }

    /// Why WeChat will refuse this page's signature even if it is right.
    #[must_use]
    pub fn warning(&self) -> Option<UrlWarning> {
        PageUrl::parse(&self.url).ok()?.warning()
    }

    /// The string that should have been signed, without its ticket.
    #[must_use]
    pub fn without_ticket(&self) -> String {
        self.right(&Secret::default()).without_ticket()
    }

    /// The fragment with its `#`, where the claim has one.
    fn fragment(&self) -> Option<&str> {
        self.url.find('#').map(|at| &self.url[at..])
    }

    /// What should have been signed, with this ticket.
    fn right(&self, ticket: &Secret) -> Signed {
        Signed {
            names: Signed::NAMES,
            order: [0, 1, 2, 3],
            ticket: ticket.clone(),
            nonce: self.nonce.clone(),
            timestamp: self.timestamp.clone(),
            url: self.page().to_owned(),
            upper_case: false,
        }
    }
}

/// What was signed: `string1`, in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The names of ticket, nonce, timestamp and URL.
    names: [&'static str; 4],
    /// In which order they stand.
    order: [usize; 4],
    ticket: Secret,
    nonce: String,
    timestamp: String,
    /// The URL.
    pub url: String,
    /// Whether the digits of the signature are in upper case.
    upper_case: bool,
}

impl Signed {
    const NAMES: [&'static str; 4] = ["jsapi_ticket", "noncestr", "timestamp", "url"];

    fn string1<'a>(&'a self, ticket: &'a str) -> impl Iterator<Item = &'a str> {
        let values = [ticket, &self.nonce, &self.timestamp, &self.url];
        let fields = self.order.into_iter().enumerate();
        fields.flat_map(move |(at, field)| {
            let between = if at == 0 { "" } else { "&" };
            [between, self.names[field], "=", values[field]]
        })
    }

    /// Its signature.
    #[must_use]
    pub fn signature(&self) -> String {
        let signature = hex_sha1(self.string1(self.ticket.expose()));
        if self.upper_case {
            signature.to_uppercase()
        } else {
            signature
        }
    }

    /// `string1` for people: everything but the ticket.
    #[must_use]
    pub fn without_ticket(&self) -> String {
        self.string1("…").collect()
    }
}

/// Finds what was signed instead of what `claim` should have been, with `tickets.current`.
#[must_use]
pub fn explain(claim: &Claim, tickets: &Tickets) -> Verdict {
    let right = claim.right(&tickets.current);
    let is_found = |signed: &Signed| signed.signature() == claim.signature;
    if is_found(&right) {
        return Verdict::Right;
    }
    let variants = |mistake: &Mistake, signed: &Signed| mistake.variants(signed, claim, tickets);
    match find_mistakes(&right, variants, is_found) {
        Some((mistakes, signed)) => Verdict::Explained {
            mistakes,
            signed: Box::new(signed),
        },
        None => Verdict::Unexplained,
    }
}

/// The known mistakes that turn `right` into what `is_found` accepts, and that: one mistake if one is enough, else two
/// different ones in the order in which they were made. `variants` is what a mistake may make of something.
fn find_mistakes<T>(
    right: &T,
    variants: impl Fn(&Mistake, &T) -> Vec<T>,
    is_found: impl Fn(&T) -> bool,
) -> Option<(Vec<&'static Mistake>, T)> {
    let all = |from: &T| -> Vec<(&'static Mistake, T)> {
        let of_one = |mistake| variants(mistake, from).into_iter().map(move |made| (mistake, made));
        MISTAKES.iter().flat_map(of_one).collect()
    };
    let mut alone = all(right);
    if let Some(at) = alone.iter().position(|(_, made)| is_found(made)) {
        let (mistake, made) = alone.swap_remove(at);
        return Some((vec![mistake], made));
    }
    alone.iter().find_map(|(first, made)| {
        let mut seconds = all(made).into_iter();
        let (second, made) = seconds.find(|(second, made)| second.name != first.name && is_found(made))?;
        Some((vec![*first, second], made))
    })
}

/// What else makes WeChat say `invalid signature`, where the signature is right for its URL.
pub const OTHER_CAUSES: [Words; 4] = [
    Words {
        en: "the page is another one: WeChat checks the URL that it has open. Compare this URL, character by character, with \
             location.href.split('#')[0] at the moment of wx.config; sharing appends parameters, logging in redirects",
        zh: "页面不是这一个：微信校验的是当前打开的网址。把这个网址与调用 wx.config 时的 location.href.split('#')[0] 逐字比较；\
             分享会追加参数，登录会跳转",
    },
    Words {
        en: "on iOS, a single-page app is checked against its landing URL, the first one that was loaded, whatever \
             history.pushState has made of it: keep that URL, and sign it",
        zh: "iOS 上的单页应用按落地页网址（最先加载的那个）校验，history.pushState 改不了它：记住它，并对它签名",
    },
    Words {
        en: "wx.config was called with another appId, nonceStr or timestamp than this answer's; nonceStr has a capital S there",
        zh: "wx.config 用的 appId、nonceStr 或 timestamp 与这次返回的不一致；注意 nonceStr 的 S 是大写",
    },
    Words {
        en: "the ticket was replaced since, or is of type wx_card: sign anew and try again. (A wrong domain gives \
             \"invalid url domain\": see js_domains and JS接口安全域名)",
        zh: "ticket 之后被换掉了，或者取的是 wx_card 类型：重新签名再试。（域名不对时报的是 invalid url domain：检查 js_domains 和 \
             JS接口安全域名）",
    },
];

/// What remains where no known mistake fits.
pub const REMAINING_CAUSES: [Words; 3] = [
    Words {
        en: "the ticket was another one: of another account, replaced since, or of type wx_card",
        zh: "ticket 不是这一个：属于别的公众号、之后被换掉了，或是 wx_card 类型",
    },
    Words {
        en: "the URL of another host or path was signed: give the signing call, copied from the browser's network tab, and the \
             two URLs are compared byte by byte",
        zh: "签的是另一个域名或路径的网址：把浏览器“网络”面板里的签名请求填进来，会逐字节比较两个网址",
    },
    Words {
        en: "url, nonce, timestamp and signature are not of one and the same call of wx.config: copy them again from the page, \
             with the URL as the address bar has it",
        zh: "网址、nonce、timestamp、signature 不是同一次 wx.config 的：请从页面重新复制，网址以地址栏为准",
    },
];

#[cfg(test)]
mod tests;
