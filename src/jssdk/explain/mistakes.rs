//! The known mistakes, the most frequent first, and what to check if none is found.

use std::mem::swap;

use super::claim::{CandidateTickets, Claim, Signed};
use super::urls;
use crate::secret::Secret;
use crate::words::Words;

/// A known mistake.
#[derive(Debug)]
pub struct Mistake {
    /// Its name, for programs.
    pub name: &'static str,
    /// What was done wrong.
    pub what: Words,
    /// What to do instead.
    pub cure: Words,
    change: Change,
}

/// How a mistake changes the string that should have been signed, in each of its variants.
#[derive(Debug)]
enum Change {
    /// Another URL.
    Url(fn(&str) -> Vec<String>),
    /// The same page's URL, written or encoded otherwise.
    Spelling(fn(&str) -> Vec<String>),
    /// The URL keeps its fragment.
    Fragment,
    /// Another ticket.
    Ticket(fn(&Secret, &CandidateTickets) -> Vec<Secret>),
    /// Anything else.
    Other(fn(&Signed) -> Vec<Signed>),
}

/// What to do about `mistakes`: each cure once.
pub fn cures(mistakes: &[&Mistake]) -> Vec<Words> {
    let mut cures: Vec<Words> = mistakes.iter().map(|mistake| mistake.cure).collect();
    cures.dedup();
    cures
}

impl Mistake {
    /// True if the right page is meant, and its URL is written otherwise.
    pub(super) fn is_spelling(&self) -> bool {
        matches!(self.change, Change::Spelling(_))
    }

    /// The URLs that this mistake may turn `url` into.
    pub(super) fn urls(&self, url: &str) -> Vec<String> {
        match self.change {
            Change::Url(change) | Change::Spelling(change) => change(url),
            _ => Vec::new(),
        }
    }

    /// What this mistake may turn `signed` into.
    pub(super) fn variants(&self, signed: &Signed, claim: &Claim, tickets: &CandidateTickets) -> Vec<Signed> {
        let with_url = |url| signed.with(|signed| signed.url = url);
        let with_ticket = |ticket| signed.with(|signed| signed.ticket = ticket);
        match self.change {
            Change::Url(_) | Change::Spelling(_) => self.urls(&signed.url).into_iter().map(with_url).collect(),
            Change::Fragment => {
                let usual = ["#", "#/", "#rd", "#wechat_redirect"].into_iter();
                let fragments = claim.fragment().into_iter().chain(usual);
                let urls = fragments.map(|fragment| format!("{}{fragment}", signed.url));
                urls.map(with_url).collect()
            }
            Change::Ticket(change) => change(&signed.ticket, tickets).into_iter().map(with_ticket).collect(),
            Change::Other(change) => change(signed),
        }
    }
}

/// For pages that send the wrong URL.
pub(super) const SEND_THE_URL: Words = Words {
    en: "send encodeURIComponent(location.href.split('#')[0]), read when it is needed",
    zh: "发送 encodeURIComponent(location.href.split('#')[0])，使用时再读取",
};
/// For code between page and gateway that changes the URL.
const LEAVE_IT: Words = Words {
    en: "sign the URL byte for byte as the page sent it: decode the parameter once, and don't parse, complete or rewrite it, \
         not even in a proxy",
    zh: "按页面传来的 URL 逐字节签名：参数只解码一次，不要解析、补全或改写，代理里也不要",
};
const FROM_BROWSER: Words = Words {
    en: "sign what the browser sends, location.href.split('#')[0], not the address that the server sees: a proxy has changed \
         it",
    zh: "对浏览器传来的 location.href.split('#')[0] 签名，而不是服务器自己得出的地址：代理已经改变了它",
};
const STRING1: Words = Words {
    en: "sign jsapi_ticket=…&noncestr=…&timestamp=…&url=…: these names in lower case, in this order, with exactly the values \
         that are passed to wx.config",
    zh: "签名原文为 jsapi_ticket=…&noncestr=…&timestamp=…&url=…：字段名全部小写，按此顺序排列，值与传给 wx.config 的完全一致",
};
const ONE_TICKET: Words = Words {
    en: "use the answer of a single call to the gateway unchanged, appId included; other systems must not cache tickets",
    zh: "直接使用网关同一次返回的全部内容（包括 appId）；其他系统不要自己缓存 ticket",
};

macro_rules! mistakes {
    ($($name:literal, $change:expr, $en:literal, $zh:literal, $cure:expr;)*) => {
        pub static MISTAKES: &[Mistake] = &[$(Mistake {
            name: $name,
            what: Words { en: $en, zh: $zh },
            cure: $cure,
            change: $change,
        }),*];
    };
}

mistakes! {
    "fragment_kept", Change::Fragment,
        "the fragment (# and what follows) was signed too", "把 # 及其后的部分也签了", SEND_THE_URL;
    "encoded_once_too_often", Change::Spelling(urls::encoded),
        "the URL was still encoded when it was signed: encoded once too often, or not decoded",
        "签名时 URL 仍是编码过的：多编码了一次，或没有解码", LEAVE_IT;
    "html_escaped", Change::Spelling(urls::html_escaped),
        "the URL's & was written as HTML or JSON escapes it (&amp;), or the other way round",
        "URL 里的 & 被写成了 &amp;（或反过来）",
        Words {
            en: "read the URL from location.href in a script, not from a template's text",
            zh: "在脚本里从 location.href 读取 URL，不要从模板文本里读取",
        };
    "other_scheme", Change::Url(urls::other_scheme),
        "http was signed for https, or https for http", "http 与 https 弄反了", FROM_BROWSER;
    "share_parameters_missing", Change::Url(urls::without_share_parameters),
        "the parameters that WeChat appends on sharing (from, isappinstalled …) were left out",
        "漏掉了微信分享时追加的参数（from、isappinstalled 等）", SEND_THE_URL;
    "share_parameters_added", Change::Url(urls::with_share_parameters),
        "parameters that WeChat appends on sharing were signed, and this page does not have them",
        "签了微信分享时追加的参数，而当前页面没有这些参数", SEND_THE_URL;
    "slash", Change::Url(urls::other_slash),
        "a slash at the path's end was added or is missing", "路径末尾多了或少了斜杠", LEAVE_IT;
    "access_token", Change::Ticket(|_, tickets| tickets.tokens.clone()),
        "an access_token was used as the jsapi_ticket", "把 access_token 当成了 jsapi_ticket",
        Words {
            en: "get the ticket with the token: GET /cgi-bin/ticket/getticket?type=jsapi",
            zh: "用 token 获取 ticket：GET /cgi-bin/ticket/getticket?type=jsapi",
        };
    "other_ticket", Change::Ticket(|_, tickets| tickets.others.clone()),
        "a different ticket was used: an older one, or another account's", "使用了其他 ticket：旧的，或其他公众号的",
        ONE_TICKET;
    "cut_at_ampersand", Change::Url(urls::cut_at_ampersand),
        "the part after one of its & was not signed: the URL was sent unencoded, or parameters were added after it was read",
        "某个 & 之后的部分没有签：URL 未经编码就发送了，或读取 URL 之后又添加了参数", SEND_THE_URL;
    "query_missing", Change::Url(urls::without_query),
        "the query (? and what follows) was left out", "漏掉了 ? 及其后的查询参数", SEND_THE_URL;
    "origin_only", Change::Url(urls::origin),
        "only scheme and host were signed, as in location.origin or a truncated Referer",
        "只签了协议和域名（location.origin 或被截短的 Referer）", SEND_THE_URL;
    "not_absolute", Change::Url(urls::relative),
        "the URL was signed without its beginning (scheme, or scheme and host)", "签名的 URL 缺少开头（协议或域名）", SEND_THE_URL;
    "login_parameters_missing", Change::Url(urls::without_login_parameters),
        "the login parameters (code, state) were left out, so the URL before the redirect was signed",
        "漏掉了授权登录返回的 code、state，签的是跳转之前的 URL",
        Words {
            en: "sign after the redirect, when the page has loaded: location.href.split('#')[0]",
            zh: "等跳转完成、页面打开后再签名：location.href.split('#')[0]",
        };
    "port", Change::Url(urls::other_port),
        "a port was added, left out or replaced by the server's own", "端口多了、少了，或换成了服务器自己的", FROM_BROWSER;
    "default_page", Change::Url(urls::other_index),
        "the directory's default page (index.html …) was added or left out", "多了或少了默认首页（index.html 等）", LEAVE_IT;
    "decoded", Change::Spelling(urls::decoded),
        "the URL was sent unencoded, or decoded once too often", "URL 没有编码就发送了，或多解码了一次",
        Words {
            en: "send encodeURIComponent(location.href.split('#')[0]); if the page already does, something between page and \
                 gateway decodes the URL once more: remove that decoding",
            zh: "发送 encodeURIComponent(location.href.split('#')[0])；如果页面已经这样做，则是页面与网关之间多解码了一次：去掉这次解码",
        };
    "escapes_rewritten", Change::Spelling(urls::escaped_otherwise),
        "the URL's escapes were changed: raw characters escaped, or %e4 for %E4",
        "转义写法变了：原始字符被转义，或 %E4 与 %e4 的大小写不同", LEAVE_IT;
    "plus_for_space", Change::Spelling(urls::other_space),
        "a space was encoded differently: + for %20, or %20 for +, or a + was escaped as %2B",
        "空格的写法变了：%20 与 + 互换，或把 + 转义成了 %2B", LEAVE_IT;
    "host_in_unicode", Change::Url(urls::other_host_form),
        "the host was in Unicode instead of its xn-- form, or the other way round",
        "域名用了 Unicode 写法而不是 xn-- 形式（或反过来）", SEND_THE_URL;
    "query_rebuilt", Change::Spelling(urls::rebuilt_query),
        "the query was parsed and written again: sorted, or with an = added or removed",
        "查询参数被拆开重组过：排了序，或多了、少了等号", LEAVE_IT;
    "lower_case", Change::Spelling(urls::lower_case),
        "the URL was turned into lower case", "URL 被转成了小写", LEAVE_IT;
    "www", Change::Url(urls::other_www),
        "www. was added or left out", "多了或少了 www.", FROM_BROWSER;
    "other_host", Change::Url(urls::other_host),
        "a different host was signed: another subdomain, or the server's own name",
        "签的是另一个域名：其他子域名，或服务器自己的域名", FROM_BROWSER;
    "other_path", Change::Url(urls::other_path),
        "a different path was signed: segments at its beginning or end are missing, as when a proxy or router rewrites it",
        "签的是另一个路径：开头或末尾少了几段，常见于代理或前端路由改写之后", FROM_BROWSER;
    "white_space", Change::Spelling(urls::padded),
        "white space or quotes around the URL were signed too", "URL 前后的空白或引号也参与了签名", LEAVE_IT;
    "ticket_spoilt", Change::Ticket(spoilt),
        "the ticket was in quotes, had white space, was encoded, or was missing", "ticket 带了引号、空白、被编码，或为空",
        Words {
            en: "read the bare ticket: a Redis client that serialises JSON puts quotes around it",
            zh: "读取 ticket 原文：以 JSON 序列化的 Redis 客户端会给它加上引号",
        };
    "field_names", Change::Other(renamed),
        "a field had a different name in the string, such as nonceStr for noncestr",
        "签名原文里的字段名写错了，例如把 noncestr 写成 nonceStr", STRING1;
    "field_order", Change::Other(reordered),
        "the fields were in another order", "字段顺序不对", STRING1;
    "swapped", Change::Other(|signed| vec![signed.with(|signed| swap(&mut signed.nonce, &mut signed.timestamp))]),
        "nonce and timestamp were swapped", "nonce 与 timestamp 弄反了", STRING1;
    "timestamp_unit", Change::Other(other_unit),
        "the timestamp was signed in milliseconds and passed on in seconds, or the other way round",
        "timestamp 签名时用毫秒、传给页面时用秒（或反过来）", STRING1;
    "nonce_changed", Change::Other(other_nonce),
        "the nonce was changed after it was signed, or before: its case, or left out",
        "nonce 在签名前后被改过：大小写变了，或为空", STRING1;
    "upper_case_signature", Change::Other(|signed| vec![signed.with(|signed| signed.upper_case = true)]),
        "the signature is right, but in upper case", "签名内容正确，但用了大写",
        Words::new("write the signature's hex digits in lower case", "签名的十六进制要用小写");
}

fn spoilt(ticket: &Secret, _: &CandidateTickets) -> Vec<Secret> {
    let ticket = ticket.expose();
    let encoded: String = percent_encoding::utf8_percent_encode(ticket, percent_encoding::NON_ALPHANUMERIC).collect();
    let variants = [
        format!("\"{ticket}\""),
        format!("{ticket}\n"),
        format!("{ticket} "),
        format!("'{ticket}'"),
        encoded,
        ticket.to_lowercase(),
        String::new(),
        "null".to_owned(),
        "undefined".to_owned(),
        "None".to_owned(),
    ];
    variants.map(Secret::new).into()
}

fn renamed(signed: &Signed) -> Vec<Signed> {
    const OTHERS: [&[&str]; 4] = [
        &["jsapiTicket", "ticket", "jsApiTicket", "access_token"],
        &["nonceStr", "nonce_str", "nonce", "noncStr"],
        &["timeStamp", "time_stamp", "time"],
        &["URL", "href", "link"],
    ];
    let mut variants = Vec::new();
    for (field, others) in OTHERS.iter().enumerate() {
        for &other in *others {
            let renamed = signed.with(|signed| signed.names[field] = other);
            // Code that uses one of wx.config's names uses all of them.
            let both = (field == 1).then(|| renamed.with(|signed| signed.names[2] = "timeStamp"));
            variants.push(renamed);
            variants.extend(both);
        }
    }
    variants
}

fn reordered(signed: &Signed) -> Vec<Signed> {
    let quadruples = (0..256).map(|number| [number / 64, number / 16 % 4, number / 4 % 4, number % 4]);
    let orders = quadruples.filter(|order| (0..4).all(|field| order.contains(&field)));
    orders.map(|order| signed.with(|signed| signed.order = order)).collect()
}

fn other_unit(signed: &Signed) -> Vec<Signed> {
    let timestamp = &signed.timestamp;
    let other = if timestamp.len() > 10 {
        // Any text, if it was swapped with the nonce.
        timestamp[..timestamp.floor_char_boundary(timestamp.len() - 3)].to_owned()
    } else {
        format!("{timestamp}000")
    };
    vec![signed.with(|signed| signed.timestamp = other)]
}

fn other_nonce(signed: &Signed) -> Vec<Signed> {
    let nonce = &signed.nonce;
    let others = [
        nonce.to_lowercase(),
        nonce.to_uppercase(),
        nonce.replace('-', ""),
        String::new(),
    ];
    others.map(|nonce| signed.with(|signed| signed.nonce = nonce)).into()
}

/// Why the URL to sign may be another one than the page's.
pub(super) const ON_IOS: Words = Words {
    en: "the exception is iOS: a single-page app is checked there against its landing URL, the first one that was loaded, \
         even after history.pushState: keep that URL, and sign it",
    zh: "iOS 例外：单页应用按入口 URL（首次加载的 URL）校验，history.pushState 不会改变它：保存这个 URL，并用它签名",
};

/// Other causes of `invalid signature` if the signature is right for its URL.
pub const OTHER_CAUSES: [Words; 4] = [
    Words {
        en: "a different page is open: WeChat checks the URL of the open page. Compare this URL, character by character, with \
             location.href.split('#')[0] when wx.config is called; sharing appends parameters, logging in redirects",
        zh: "实际打开的是另一个页面：微信校验的是当前打开的 URL。把这个 URL 与调用 wx.config 时的 location.href.split('#')[0] 逐字符比较；\
             分享会追加参数，登录会跳转",
    },
    ON_IOS,
    Words {
        en: "wx.config was called with an appId, nonceStr or timestamp other than this answer's; nonceStr needs a capital S",
        zh: "wx.config 使用的 appId、nonceStr 或 timestamp 与这次返回的不一致；注意 nonceStr 的 S 是大写",
    },
    Words {
        en: "the ticket has been replaced since, or is of type wx_card: sign again and retry. (A wrong domain gives \"invalid \
             url domain\": see js_domains and JS接口安全域名)",
        zh: "ticket 此后已被更换，或类型是 wx_card：重新签名后再试。（域名不正确时报的是 invalid url domain：检查 js_domains 和 \
             JS接口安全域名）",
    },
];

/// Causes that remain if no known mistake fits.
pub const REMAINING_CAUSES: [Words; 4] = [
    Words {
        en: "on iOS, a single-page app's landing URL was signed, as it has to be: give that URL instead of the open page's",
        zh: "iOS 上的单页应用签的是入口 URL（本应如此）：请改填入口 URL，而不是当前页面的 URL",
    },
    Words {
        en: "a different ticket was used: another account's, one replaced since, or one of type wx_card",
        zh: "使用了其他 ticket：属于其他公众号、此后已被更换，或类型是 wx_card",
    },
    Words {
        en: "the URL of another host or path was signed: give the signing call, copied from the browser's network tab, to have \
             the two URLs compared byte by byte",
        zh: "签的是其他域名或路径的 URL：填入浏览器“网络”面板里的签名请求，会逐字节比较两个 URL",
    },
    Words {
        en: "url, nonce, timestamp and signature are not from the same wx.config call: copy them again from the page, with the \
             URL as in the address bar, or on iOS the landing URL",
        zh: "URL、nonce、timestamp、signature 不属于同一次 wx.config 调用：请从页面重新复制，URL 以地址栏为准（iOS 单页应用为入口 URL）",
    },
];
