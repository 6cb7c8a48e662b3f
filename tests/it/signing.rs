//! Pages are signed byte for byte as WeChat signs them.

use crate::support::{Gateway, SandboxHost, encode_uri_component};
use wxgate::jssdk::{PageUrl, sign};
use wxgate::sandbox::SandboxConfig;

const TICKET: &str = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg";

/// Signatures that WeChat's documentation, other projects' tests and real pages have published.
#[test]
#[expect(clippy::too_many_lines, reason = "a table reads best in one piece")]
fn published_signatures_come_out_the_same() {
    let (nonce, time) = ("Wm3WZYTPz0wzccnW", "1414587457");
    for (ticket, nonce, time, url, signature) in [
        (
            TICKET,
            nonce,
            time,
            "http://mp.weixin.qq.com?params=value",
            "0f9de62fce790f9a083d5c99e95740ceb90c27ed",
        ),
        (
            TICKET,
            nonce,
            time,
            "http://mp.weixin.qq.com",
            "f4d90daf4b3bca3078ab155816175ba34c443a7b",
        ),
        (
            TICKET,
            nonce,
            time,
            "http://mp.weixin.qq.com/",
            "a1a0141122148a10c58bbd00ef52231dc4dda87a",
        ),
        (
            TICKET,
            nonce,
            time,
            "http://mp.weixin.qq.com/?params=value",
            "f50191877b62b116ef830363a3a613ed652a2d5d",
        ),
        (
            TICKET,
            nonce,
            time,
            "https://mp.weixin.qq.com?params=value",
            "55e6e3f15deaa00deefed8e7bc620c6a0a5329a6",
        ),
        (
            TICKET,
            nonce,
            time,
            "http://mp.weixin.qq.com/?q=中文",
            "d3e33f2f472002e556912cfc9d06d7b5eec9dda0",
        ),
        (
            TICKET,
            nonce,
            time,
            "http://mp.weixin.qq.com/?q=%E4%B8%AD%E6%96%87",
            "db418d52651b67264ae9633a95eb05c216fdeb87",
        ),
        (
            "bxLdikRXVbTPdHSM05e5u4RbEYQn7pNQMPrfzl8lJNb1foLDa3HIwI3BRMkQmSO_5F64VFa75uURcq6Uz7QHgA",
            "82693e11-b9bc-448e-892f-f5289f46cd0f",
            "1419835025",
            "http://omstest.vmall.com:23568/thirdparty/wechat/vcode/gotoshare?quantity=1&batchName=MATE7",
            "c6f04b64d6351d197b71bd23fb7dd2d44c0db486",
        ),
        (
            "mock-ticket",
            "mock-nonce",
            "1601234567",
            "https://www.easywechat.com/",
            "22772d2fb393ab9f7f6a5a54168a566fbf1ab767",
        ),
        (
            "kgt8ON7yVITDhtdwci0qefK1QvDlwsAPwMnZOO_J0MxaUpuHtIU_IltC7zs3kfNOYTHEqeIEvEXZHbS3xXNx3g",
            "B7EE6F5F9AA5CD17CA1AEA43CE848496",
            "1474350784",
            "https://www.baidu.com",
            "3b1b4171bcfa0f0661be9c5474002d3eb25a3368",
        ),
        (
            "HoagFKDcsGMVCIY2vOjf9nGrZ3eaM0qXs5ROFN_3k_HrGc0VocemA6wMXkvrL-Ei4IitXxwKF62CJWR8mWXZ3Q",
            "e7b435f73835402da44f16640ddc8696",
            "1621348162",
            "https://mp.weixin.qq.com/debug/cgi-bin/sandbox?t=jsapisign",
            "b214ea1f8ae019c207f8c6ffb843c8474cbab28c",
        ),
        (
            "bxLdikRXVbTPdHSM05e5u10-4B-Ysf1YpOqQMlMFW9dsCuZRaQelkjQyNnHijl7ghW8vXN74L0n6fN_QssXQUw",
            "aeGfuIONeiwd7Siy",
            "1436788572",
            "http://test.shgszr.com/php/api.php",
            "107adb90af08cb0b939909316c9339d6a6856609",
        ),
        (
            "HoagFKDcsGMVCIY2vOjf9gzFzIGHk_1SSKIZRyi2GkLTtk88tjWN7KvR6ZFJSeEsZ4kGdIR1L_29OwsKWIiUmg",
            "nXvITeqGjFOVBPiA",
            "1529744324",
            "http://game.iqiyi.com/activity/index?id=1592",
            "c773726b1ff3dbb8bbc4df180c493d5be8faca79",
        ),
        (
            "kgt8ON7yVITDhtdwci0qeTK8G7bP53jKOLfrWJ2uVoabZiW37n3a3UMhp3s_NwVnox5GzYfBm3IBBqHwz2PLGg",
            "yMWixTVYouZFRa8B",
            "1510066328",
            "test",
            "1dae074a425d1e8736b86ab151a4267dd668d5db",
        ),
    ] {
        assert_eq!(sign(ticket, nonce, time, url), signature, "{url}");
    }
}

/// URLs of pages, and the part of each that is signed.
const AWKWARD: [(&str, &str); 27] = [
    (
        "http://mp.weixin.qq.com?params=value",
        "http://mp.weixin.qq.com?params=value",
    ),
    ("http://mp.weixin.qq.com", "http://mp.weixin.qq.com"),
    ("http://mp.weixin.qq.com/", "http://mp.weixin.qq.com/"),
    ("https://a.cn/#/route?x=1", "https://a.cn/"),
    ("https://a.cn/p?x=1#top", "https://a.cn/p?x=1"),
    ("https://a.cn/p#a#b", "https://a.cn/p"),
    ("https://a.cn/p?", "https://a.cn/p?"),
    ("https://a.cn/p?#", "https://a.cn/p?"),
    ("https://a.cn/p?a=1&a=2&&b", "https://a.cn/p?a=1&a=2&&b"),
    (
        "https://a.cn/p?from=singlemessage&isappinstalled=0",
        "https://a.cn/p?from=singlemessage&isappinstalled=0",
    ),
    (
        "https://a.cn/p?url=https%3A%2F%2Fb.cn%2F%3Fc%3Dd%26e",
        "https://a.cn/p?url=https%3A%2F%2Fb.cn%2F%3Fc%3Dd%26e",
    ),
    ("https://a.cn/p?q=1+1", "https://a.cn/p?q=1+1"),
    ("https://a.cn/p?q=1%2B1", "https://a.cn/p?q=1%2B1"),
    ("https://a.cn/p?q=1%201", "https://a.cn/p?q=1%201"),
    ("https://a.cn/p?q=%25", "https://a.cn/p?q=%25"),
    ("https://a.cn/p?q=100%", "https://a.cn/p?q=100%"),
    ("https://a.cn/p?q=%e4%b8%ad", "https://a.cn/p?q=%e4%b8%ad"),
    ("https://a.cn/p?q=%D6%D0", "https://a.cn/p?q=%D6%D0"),
    ("https://a.cn/中文/页?问=答", "https://a.cn/中文/页?问=答"),
    ("https://a.cn/😀", "https://a.cn/😀"),
    ("HTTPS://A.cn/%E4%B8%AD=文+ +", "HTTPS://A.cn/%E4%B8%AD=文+ +"),
    ("https://A.CN/%7Euser/../x//y/./", "https://A.CN/%7Euser/../x//y/./"),
    (
        "https://a.cn:8443/p;v=1,2?x=@:!$'()*",
        "https://a.cn:8443/p;v=1,2?x=@:!$'()*",
    ),
    ("https://a.cn/p?x=[1]{2}|3^4`5\\6", "https://a.cn/p?x=[1]{2}|3^4`5\\6"),
    ("http://[::1]:8080/p", "http://[::1]:8080/p"),
    ("http://192.168.1.20:5173/dev", "http://192.168.1.20:5173/dev"),
    (
        "https://a.cn/p?code=CODE&state=STATE%23wechat_redirect",
        "https://a.cn/p?code=CODE&state=STATE%23wechat_redirect",
    ),
];

#[tokio::test]
async fn awkward_urls_are_signed_as_browsers_write_them() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    let ticket = gateway
        .wechat
        .sandbox
        .current_ticket(&gateway.wechat.account().app_id)
        .unwrap();
    for (page, signed) in AWKWARD {
        let answer = gateway.sign(page).await;
        assert_eq!(answer.code(), (200, 0), "{page}: {answer:?}");
        let data = |name: &str| answer.body["data"][name].as_str().unwrap();
        let expected = sign(ticket.expose(), data("nonceStr"), data("timestamp"), signed);
        assert_eq!(data("signature"), expected, "{page}");
        assert!(gateway.wechat_accepts(&answer, page), "WeChat refuses {page}");
    }
}

#[tokio::test]
async fn response_has_the_fields_of_wx_config() {
    let gateway = Gateway::start().await;
    let page = "https://h5.example.com/photo?id=7";
    let (first, second) = (gateway.sign(page).await, gateway.sign(page).await);
    first.assert_envelope();
    let data = first.body["data"].as_object().unwrap();
    let mut names: Vec<_> = data.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["appId", "nonceStr", "signature", "timestamp"]);
    assert_eq!(data["appId"], gateway.wechat.account().app_id.as_str());
    let nonce = data["nonceStr"].as_str().unwrap();
    assert!(
        nonce.len() == 16 && nonce.bytes().all(|b| b.is_ascii_alphanumeric()),
        "{nonce}"
    );
    assert_ne!(data["nonceStr"], second.body["data"]["nonceStr"]);
    let signature = data["signature"].as_str().unwrap();
    assert!(
        signature.len() == 40 && signature.bytes().all(|b| b"0123456789abcdef".contains(&b)),
        "{signature}"
    );
    let time: u64 = data["timestamp"].as_str().expect("a string").parse().unwrap();
    assert!(time.abs_diff(gateway.wechat.sandbox.unix_time()) < 60);
}

#[tokio::test]
async fn unencoded_url_is_signed_if_nothing_was_lost() {
    let gateway = Gateway::start().await;
    for (query, page) in [
        ("url=https://a.cn/p", "https://a.cn/p"),
        ("url=https://a.cn/p?x=1", "https://a.cn/p?x=1"),
        ("url=https://a.cn/p&_=123", "https://a.cn/p"),
        (
            "_=123&url=https%3A%2F%2Fa.cn%2Fp%3Fx%3D1%26y%3D2&t=9",
            "https://a.cn/p?x=1&y=2",
        ),
    ] {
        let answer = gateway.get(&format!("/wechat/jsSDK?{query}")).await;
        assert_eq!(answer.code(), (200, 0), "{query}: {answer:?}");
        assert!(gateway.wechat_accepts(&answer, page), "{query}");
    }
    let answer = gateway
        .get("/wechat/jsSDK?url=https://a.cn/p?x=1&from=singlemessage")
        .await;
    assert_eq!(answer.code(), (400, 1002));
    let message = answer.body["message"].as_str().unwrap();
    assert!(
        message.contains("\"from\"") && message.contains("encodeURIComponent"),
        "{message}"
    );
}

#[tokio::test]
async fn pages_outside_the_accounts_domains_are_refused() {
    let gateway = Gateway::builder()
        .file("[[accounts]]\njs_domains = [\"example.com\", \"shop.cn/mp\"]\n")
        .start()
        .await;
    for (page, code) in [
        ("https://example.com/", (200, 0)),
        ("https://h5.example.com/a", (200, 0)),
        ("https://shop.cn/mp/list?x", (200, 0)),
        ("https://shop.cn/other", (403, 1003)),
        ("https://evil.cn/", (403, 1003)),
        ("https://example.com.evil.cn/", (403, 1003)),
        ("https://example.com@evil.cn/", (403, 1003)),
    ] {
        assert_eq!(gateway.sign(page).await.code(), code, "{page}");
    }
    for (page, named) in [
        ("https://shop.cn/mpx?a=1", "shop.cn/mpx is not"),
        ("https://h5.shop.cn/", "h5.shop.cn/ is not"),
        ("https://evil.cn/mpx", "evil.cn is not"),
    ] {
        let refused = gateway.sign(page).await;
        let message = refused.body["message"].as_str().unwrap();
        assert!(message.starts_with(named), "{page}: {message}");
    }
}

#[tokio::test]
async fn each_account_signs_with_its_own_ticket() {
    let accounts = vec![
        crate::support::account("wx1111111111111111", "secret-one"),
        crate::support::account("wx2222222222222222", "secret-two"),
    ];
    let wechat = SandboxHost::start(SandboxConfig::with_accounts(accounts)).await;
    let file = "[[accounts]]\n[[accounts]]\napp_id = \"wx2222222222222222\"\napp_secret = \"secret-two\"\n";
    let gateway = Gateway::builder().wechat(&wechat).file(file).start().await;
    let page = "https://a.cn/p";
    for (query, app_id) in [
        ("", "wx1111111111111111"),
        ("&appId=wx2222222222222222", "wx2222222222222222"),
    ] {
        let answer = gateway
            .get(&format!("/wechat/jsSDK?url={}{query}", encode_uri_component(page)))
            .await;
        assert_eq!(answer.body["data"]["appId"], app_id);
        assert!(gateway.wechat_accepts(&answer, page));
    }
    let unknown = gateway.get("/wechat/jsSDK?url=https://a.cn&appId=wx9").await;
    assert_eq!(unknown.code(), (404, 1004));
    assert!(!unknown.body["message"].as_str().unwrap().contains("unencoded"));
    for query in [
        "url=https://a.cn/p?x=1&appId=wx9",
        "url=https://a.cn/p?appId=wx1111111111111111&appId=wx9",
    ] {
        let unknown = gateway.get(&format!("/wechat/jsSDK?{query}")).await;
        assert_eq!(unknown.code(), (404, 1004));
        let message = unknown.body["message"].as_str().unwrap();
        assert!(
            message.contains("unencoded") && message.contains("encodeURIComponent"),
            "{message}"
        );
    }
}

proptest::proptest! {
    /// Any URL that is encoded once is decoded unchanged.
    #[test]
    fn encoding_once_loses_nothing(tail in "[ -~\u{a0}-\u{ffff}]{0,60}") {
        let page = format!("https://a.cn/{tail}");
        let query = format!("url={}&_=1", encode_uri_component(&page));
        let params = wxgate::jssdk::QueryParams::parse(&query).unwrap();
        proptest::prop_assert_eq!(params.url.as_ref(), page.as_str());
        let signed = PageUrl::parse(&params.url).unwrap();
        proptest::prop_assert_eq!(signed.as_str(), page.split('#').next().unwrap());
    }

    /// No query makes the parsers panic.
    #[test]
    fn arbitrary_queries_do_not_panic(query in ".{0,200}") {
        if let Ok(params) = wxgate::jssdk::QueryParams::parse(&query) {
            let _ = PageUrl::parse(&params.url);
        }
    }
}
