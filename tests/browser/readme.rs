//! The page that the READMEs show.

use wxgate::sandbox::{Api, Fault};

use super::gateway;
use super::phone::Phone;
use crate::markdown::Document;

#[tokio::test]
async fn readme_page_stores_a_photo_and_reports_failures() {
    for readme in Document::both("README") {
        let html = readme.blocks_in("html").concat();
        let says = |name: &str| {
            let line = html
                .lines()
                .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": '"));
            line.unwrap().trim_end_matches("',").to_owned()
        };
        let mut gateway = Some(gateway().await);
        let caller = (**gateway.as_ref().unwrap()).clone();
        Phone::android()
            .page(&html)
            .opens(&caller, "/p?from=singlemessage#/a", async |chromium| {
                chromium.until_usable().await;
                chromium.tap().await;
                chromium.until_the_picture_is_shown().await;

                caller.wechat.sandbox.inject(Fault::errcode(40007).on(Api::MediaGet));
                chromium.until_usable().await;
                chromium.tap().await;
                assert_eq!(chromium.until_notice().await.text, says("MEDIA_NOT_FOUND"));

                gateway.take().unwrap().shut_down().await;
                chromium.until_usable().await;
                chromium.tap().await;
                let unreachable = says("NO_CONNECTION");
                chromium
                    .until(&format!(
                        "document.getElementById('notice').textContent === '{unreachable}'"
                    ))
                    .await;
            })
            .await;
    }
}
