//! What the page shows its user; it chooses the text by `code` and `error` alone.

use std::time::Duration;

use wxgate::sandbox::{Api, Fault, SandboxConfig};

use super::phone::Phone;
use super::{Notice, builder, gateway};
use crate::support::{Caller, Gateway, SandboxHost, TINY_PHOTO};

/// The notice that is shown when the page is only opened.
async fn notice_at_once(phone: Phone, gateway: &Caller) -> Notice {
    let mut notice = Notice::default();
    phone
        .opens(gateway, "/p?a=1", async |chromium| {
            notice = chromium.until_notice().await;
        })
        .await;
    notice
}

#[tokio::test]
async fn page_of_another_domain_is_refused_with_1003() {
    let gateway = builder()
        .file("[[accounts]]\njs_domains = [\"example.org\"]\n")
        .start()
        .await;
    let notice = notice_at_once(Phone::android(), &gateway).await;
    assert_eq!(notice.failure(), ("DOMAIN_NOT_ALLOWED", 1003));
    assert_eq!(notice.text, "这个页面不能使用拍照功能");
}

/// The gateway's list is wrong, WeChat's own is right.
#[tokio::test]
async fn domain_refused_by_wechat_is_reported() {
    let mut config = SandboxConfig::default();
    config.accounts[0].js_domains = vec!["example.org".to_owned().try_into().unwrap()];
    let wechat = SandboxHost::start(config).await;
    let gateway = builder().wechat(&wechat).start().await;
    let notice = notice_at_once(Phone::iphone(), &gateway).await;
    assert_eq!(notice.failure(), ("CONFIG_REFUSED", -4));
    assert_eq!(notice.text, "微信没有授权这个页面，请关闭后重新打开");
}

#[tokio::test]
async fn expired_photo_is_reported() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let expired = wechat.takes_photo(TINY_PHOTO);
    wechat.sandbox.advance(Duration::from_hours(73));
    let gateway = builder().wechat(&wechat).start().await;
    Phone::android()
        .server_id(&expired)
        .opens(&gateway, "/p", async |chromium| {
            chromium.until_usable().await;
            chromium.tap().await;
            let notice = chromium.until_notice().await;
            assert_eq!(notice.failure(), ("MEDIA_NOT_FOUND", 2005));
            assert_eq!(notice.text, "照片已过期，请重新选择");
            // Trying again asks for another photo.
            chromium.tap().await;
            chromium
                .until("WeixinJSBridge.calls.filter((name) => name === 'chooseImage').length === 2")
                .await;
        })
        .await;
    // The client did not retry a failure that is final.
    assert!(wechat.sandbox.calls(Api::MediaGet) <= 2);
}

#[tokio::test]
async fn upload_needs_its_api_key() {
    let keyed = builder()
        .set("auth.mode", "api_key")
        .set("auth.api_keys", "a-key-of-many-characters");
    let gateway = keyed.start().await;
    gateway.until_ready().await;
    Phone::android()
        .opens(&gateway, "/p", async |chromium| {
            chromium.until_usable().await;
            chromium.tap().await;
            assert_eq!(chromium.until_notice().await.failure(), ("UNAUTHORIZED", 1005));

            let url: String = chromium
                .eval(
                    "return import('/wxgate.js').then(({ Wxgate }) => new Wxgate({
                        gateway: 'http://wxgate.example.com',
                        headers: () => ({ Authorization: 'Bearer a-key-of-many-characters' }),
                    }).pickAndUpload())",
                )
                .await;
            assert!(url.starts_with("http://wxgate.example.com/images/"), "{url}");
        })
        .await;
}

#[tokio::test]
async fn unreachable_gateway_is_reported() {
    let gateway = gateway().await;
    let caller = (*gateway).clone();
    gateway.shut_down().await;
    let notice = notice_at_once(Phone::android(), &caller).await;
    assert_eq!(notice.failure(), ("NO_CONNECTION", -2));
    assert_eq!(notice.text, "网络不通，请检查网络后重试");
}

/// The browser does not let the page see the answer.
#[tokio::test]
async fn origin_that_is_not_allowed_is_reported() {
    let gateway = Gateway::start().await;
    let notice = notice_at_once(Phone::android(), &gateway).await;
    assert_eq!(notice.failure(), ("NO_CONNECTION", -2));
}

#[tokio::test]
async fn missing_credential_is_reported() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    wechat.sandbox.inject(Fault::errcode(40164).on(Api::StableToken));
    let gateway = builder().wechat(&wechat).start().await;
    let notice = notice_at_once(Phone::android(), &gateway).await;
    assert_eq!(notice.failure(), ("CREDENTIAL_UNAVAILABLE", 4001));
    assert_eq!(notice.text, "系统繁忙，请稍后再试");
}

#[tokio::test]
async fn browser_other_than_wechat_is_reported() {
    let gateway = gateway().await;
    let notice = notice_at_once(Phone::plain_browser(), &gateway).await;
    assert_eq!(notice.failure(), ("NOT_IN_WECHAT", -1));
    assert_eq!(notice.text, "请在微信里打开这个页面");
}
