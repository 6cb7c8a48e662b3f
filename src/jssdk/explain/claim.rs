//! What a page claims to have signed, the tickets to check it with, and the signed string in parts that a mistake can change.

use crate::jssdk::page_url::PageUrl;
use crate::jssdk::signature::hex_sha1;
use crate::secret::Secret;
use crate::words::Words;

/// What the page passed to `wx.config`, and its URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The page's whole URL, with its fragment if known.
    url: String,
    nonce: String,
    timestamp: String,
    pub(super) signature: String,
}

/// The tickets to try, and what may have been used instead of one.
#[derive(Debug, Clone, Default)]
pub struct CandidateTickets {
    /// The account's ticket.
    pub current: Secret,
    /// The account's previous ticket, and other accounts' tickets.
    pub others: Vec<Secret>,
    pub tokens: Vec<Secret>,
}

/// The request for a page's URL, if what was given is not one.
pub(super) const URL_EXPECTED: Words = Words {
    en: "the URL must be the page's full address, as in location.href: http:// or https://, and a host",
    zh: "URL 要填页面的完整地址（location.href），以 http:// 或 https:// 开头",
};

pub(super) const NONCE_EXPECTED: Words = Words {
    en: "the nonce is missing: the nonceStr that the page passed to wx.config",
    zh: "缺少 nonce：填页面传给 wx.config 的 nonceStr",
};

pub(super) const TIMESTAMP_EXPECTED: Words = Words {
    en: "the timestamp must be the number that the page passed to wx.config",
    zh: "timestamp 要填页面传给 wx.config 的数字",
};

pub(super) const SIGNATURE_EXPECTED: Words = Words {
    en: "the signature must be 40 hex digits (SHA-1); MD5 has 32 digits, SHA-256 has 64",
    zh: "signature 要填 40 位十六进制（SHA-1）；32 位是 MD5，64 位是 SHA-256",
};

/// The request for a signing call, if what was given is not one.
pub(super) const REQUEST_EXPECTED: Words = Words {
    en: "the request must be the URL of the signing call, as in the browser's network tab: https://…/wechat/jsSDK?url=…",
    zh: "请求要填签名请求的 URL，即浏览器“网络”面板里的 https://…/wechat/jsSDK?url=…",
};

impl Claim {
    /// A claim as people paste it: white space around the values is ignored. The error says what is wrong or missing.
    pub fn new(url: &str, nonce: &str, timestamp: &str, signature: &str) -> Result<Self, Words> {
        let [url, nonce, timestamp, signature] = [url, nonce, timestamp, signature].map(str::trim);
        if url.len() > PageUrl::MAX_LEN || PageUrl::parse(url).is_err() {
            return Err(URL_EXPECTED);
        }
        if nonce.is_empty() || nonce.len() > 256 {
            return Err(NONCE_EXPECTED);
        }
        if !(1..=19).contains(&timestamp.len()) || !timestamp.bytes().all(|b| b.is_ascii_digit()) {
            return Err(TIMESTAMP_EXPECTED);
        }
        if signature.len() != 40 || !signature.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(SIGNATURE_EXPECTED);
        }
        Ok(Self {
            url: url.to_owned(),
            nonce: nonce.to_owned(),
            timestamp: timestamp.to_owned(),
            signature: signature.to_owned(),
        })
    }

    /// The URL to sign.
    pub fn page(&self) -> &str {
        self.url.split('#').next().unwrap_or_default()
    }

    /// Why WeChat will refuse this page's signature even if it is right.
    pub fn warning(&self) -> Option<Words> {
        PageUrl::parse(&self.url).ok()?.warning()
    }

    /// The string that should have been signed, without its ticket.
    pub fn without_ticket(&self) -> String {
        self.right(&Secret::default()).without_ticket()
    }

    /// The fragment with its `#`, if the claim has one.
    pub(super) fn fragment(&self) -> Option<&str> {
        self.url.find('#').map(|at| &self.url[at..])
    }

    /// What should have been signed, with this ticket.
    pub(super) fn right(&self, ticket: &Secret) -> Signed {
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

/// `string1` in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The names of ticket, nonce, timestamp and URL.
    pub(super) names: [&'static str; 4],
    /// The order of the four fields.
    pub(super) order: [usize; 4],
    pub(super) ticket: Secret,
    pub(super) nonce: String,
    pub(super) timestamp: String,
    pub url: String,
    /// Whether the signature's hex digits are in upper case.
    pub(super) upper_case: bool,
}

impl Signed {
    pub(super) const NAMES: [&'static str; 4] = ["jsapi_ticket", "noncestr", "timestamp", "url"];

    pub(super) fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut changed = self.clone();
        change(&mut changed);
        changed
    }

    fn string1<'a>(&'a self, ticket: &'a str) -> impl Iterator<Item = &'a str> {
        let values = [ticket, &self.nonce, &self.timestamp, &self.url];
        let fields = self.order.into_iter().enumerate();
        fields.flat_map(move |(at, field)| {
            let between = if at == 0 { "" } else { "&" };
            [between, self.names[field], "=", values[field]]
        })
    }

    pub fn signature(&self) -> String {
        let signature = hex_sha1(self.string1(self.ticket.expose()));
        if self.upper_case {
            signature.to_uppercase()
        } else {
            signature
        }
    }

    /// `string1` for display: without the ticket.
    pub fn without_ticket(&self) -> String {
        self.string1("…").collect()
    }
}
