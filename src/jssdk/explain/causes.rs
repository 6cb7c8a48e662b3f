//! What to look at if no mistake in the signature is found.

use crate::words::Words;

/// Other causes of `invalid signature` if the signature is right for its URL.
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

/// Causes that remain if no known mistake fits.
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
