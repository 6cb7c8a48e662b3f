//! Which URL is signed: what the WeChat app checks differs by phone and by router.

use super::Chromium;
use super::gateway;
use super::phone::Phone;

async fn takes_a_photo(chromium: &Chromium) {
    chromium.tap().await;
    chromium.until_the_picture_is_shown().await;
    chromium.until_usable().await;
}

async fn goes_to(chromium: &Chromium, route: &str) {
    chromium
        .eval::<()>(&format!(
            "document.getElementById('picture').removeAttribute('src'); {route}"
        ))
        .await;
}

/// A page with routes behind `#` is signed once.
#[tokio::test]
async fn fragment_routes_need_no_new_signature() {
    for phone in [Phone::android(), Phone::iphone()] {
        let gateway = gateway().await;
        phone
            .opens(&gateway, "/p?a=1#/a/b", async |chromium| {
                chromium.until_usable().await;
                takes_a_photo(chromium).await;
                goes_to(chromium, "location.hash = '#/c?d=e'").await;
                takes_a_photo(chromium).await;
                assert_eq!(chromium.asked_phone("preVerifyJSAPI").await, 1);
            })
            .await;
    }
}

#[tokio::test]
async fn history_routes_are_each_signed_on_android() {
    let gateway = gateway().await;
    Phone::android()
        .opens(&gateway, "/p", async |chromium| {
            chromium.until_usable().await;
            takes_a_photo(chromium).await;
            goes_to(chromium, "history.pushState(null, '', '/shop/next?b=2')").await;
            takes_a_photo(chromium).await;
            assert_eq!(chromium.asked_phone("preVerifyJSAPI").await, 2);
        })
        .await;
}

#[tokio::test]
async fn landing_url_stays_signed_on_ios() {
    let gateway = gateway().await;
    Phone::iphone()
        .opens(&gateway, "/p?entry=1", async |chromium| {
            chromium.until_usable().await;
            goes_to(chromium, "history.pushState(null, '', '/shop/next?b=2')").await;
            takes_a_photo(chromium).await;
            assert_eq!(chromium.asked_phone("preVerifyJSAPI").await, 1);
        })
        .await;
}

/// WeChat's script does not call `wx.ready` for a second `wx.config`, so a refusal is easily missed.
#[tokio::test]
async fn refusal_at_a_later_route_is_reported() {
    let gateway = gateway().await;
    Phone::android()
        .opens(&gateway, "/p", async |chromium| {
            chromium.until_usable().await;
            let account = gateway.wechat.account();
            gateway.wechat.sandbox.kill_tickets(&account.app_id).unwrap();
            goes_to(chromium, "history.pushState(null, '', '/next')").await;
            chromium.tap().await;
            assert_eq!(chromium.until_notice().await.failure(), ("CONFIG_REFUSED", -4));
            assert_eq!(chromium.asked_phone("chooseImage").await, 0);
        })
        .await;
}

/// WeChat appends parameters of its own to a page that was shared.
#[tokio::test]
async fn shared_page_is_signed_with_its_share_parameters() {
    let gateway = gateway().await;
    let path = "/p?a=1&b=%E7%85%A7%20%2F%2B&from=singlemessage&isappinstalled=0#/a";
    Phone::android()
        .opens(&gateway, path, async |chromium| {
            chromium.until_usable().await;
            takes_a_photo(chromium).await;
        })
        .await;
}
