//! A photo's whole path: the page is signed, WeChat accepts it, the photo is chosen, uploaded, stored and shown.

use wxgate::sandbox::{Api, Fault};

use super::pages::faults;
use super::phone::{PHOTO, Phone};
use super::{builder, gateway};
use crate::support::{HELD, TINY_PHOTO, photo, until};

async fn takes_a_photo(phone: Phone) {
    let gateway = gateway().await;
    phone
        .opens(&gateway, "/p?a=1", async |chromium| {
            chromium.until_usable().await;
            chromium.tap().await;
            chromium.until_the_picture_is_shown().await;
            assert_eq!(faults(chromium).await, Vec::<String>::new());
            let shown: String = chromium.eval("return document.getElementById('picture').src").await;
            let path = shown.strip_prefix("http://wxgate.example.com").unwrap();
            let stored = gateway
                .request("GET", path)
                .send()
                .await
                .unwrap()
                .bytes()
                .await
                .unwrap();
            assert!(stored == photo(PHOTO), "the stored picture differs");
        })
        .await;
    assert_eq!(gateway.wechat.sandbox.calls(Api::MediaGet), 1);
}

#[tokio::test]
async fn photo_from_android_is_stored_and_shown() {
    takes_a_photo(Phone::android()).await;
}

#[tokio::test]
async fn photo_from_an_iphone_is_stored_and_shown() {
    takes_a_photo(Phone::iphone()).await;
}

#[tokio::test]
async fn cancelled_choice_shows_no_message() {
    let gateway = gateway().await;
    Phone::android()
        .cancels()
        .opens(&gateway, "/p", async |chromium| {
            chromium.until_usable().await;
            chromium.tap().await;
            chromium.until_usable().await;
            assert_eq!(chromium.notice().await, super::Notice::default());
            assert_eq!(chromium.asked_phone("chooseImage").await, 1);
            assert_eq!(chromium.asked_phone("uploadImage").await, 0);
        })
        .await;
}

/// The gateway has one place for uploads, and another user's photo holds it.
#[tokio::test]
async fn client_retries_a_short_overload_and_reports_a_long_one() {
    // The other photo holds its place for the whole test.
    let gateway = builder()
        .set("wechat.timeout", "5m")
        .set("credentials.lock_ttl", "6m")
        .set("server.request_timeout", "10m")
        .set("media.max_concurrent", 1)
        .start()
        .await;
    gateway.until_ready().await;
    let sandbox = &gateway.wechat.sandbox;
    let refused = || gateway.metric("wxgate_uploads_total{outcome=\"overloaded\"}");
    Phone::android()
        .opens(&gateway, "/p", async |chromium| {
            chromium.until_usable().await;
            let hold = sandbox.inject(HELD.on(Api::MediaGet));
            let (caller, other) = ((*gateway).clone(), gateway.wechat.takes_photo(TINY_PHOTO));
            let other = tokio::spawn(async move { caller.upload(&other).await });
            until("the other upload is under way", async || {
                sandbox.calls(Api::MediaGet) == 1
            })
            .await;
            chromium.tap().await;
            let notice = chromium.until_notice().await;
            assert_eq!(notice.failure(), ("OVERLOADED", 4002));
            assert!(refused().await >= 3.0, "it was tried only {} times", refused().await);

            // The photo is at WeChat already, so the user need not choose it again.
            let before = refused().await;
            chromium.tap().await;
            until("it is refused once more", async || refused().await > before).await;
            sandbox.remove_fault(hold);
            chromium.until_the_picture_is_shown().await;
            assert_eq!(chromium.asked_phone("chooseImage").await, 1);
            assert_eq!(chromium.asked_phone("uploadImage").await, 1);
            assert_eq!(other.await.unwrap().code(), (200, 0));
        })
        .await;
}

/// WeChat is busy for both of the gateway's calls, but no longer when the client retries.
#[tokio::test]
async fn client_retries_a_photo_that_failed_in_passing() {
    let gateway = gateway().await;
    let sandbox = &gateway.wechat.sandbox;
    sandbox.inject(Fault::errcode(-1).on(Api::MediaGet).times(2));
    Phone::android()
        .opens(&gateway, "/p", async |chromium| {
            chromium.until_usable().await;
            chromium.tap().await;
            chromium.until_the_picture_is_shown().await;
            assert_eq!(chromium.asked_phone("uploadImage").await, 1);
        })
        .await;
    assert_eq!(sandbox.calls(Api::MediaGet), 3);
}
