//! The page that the READMEs show.

use super::phone::Phone;
use super::{Told, gateway};
use crate::docs::markdown::Readme;

#[tokio::test]
async fn the_page_stores_a_photo_and_tells_what_goes_wrong() {
    for readme in Readme::both() {
        let html = readme.blocks_in("html").concat();
        let gateway = gateway().await;
        Phone::android()
            .page(&html)
            .opens(&gateway, "/p?from=singlemessage#/a", async |chromium| {
                chromium.tap().await;
                chromium.until_the_picture_is_shown().await;
            })
            .await;

        let says = |name: &str| {
            let line = html
                .lines()
                .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": '"));
            line.unwrap().trim_end_matches("',").to_owned()
        };
        let told = async |phone: Phone| {
            let mut told = Told::default();
            phone
                .page(&html)
                .opens(&gateway, "/p", async |chromium| {
                    chromium.tap().await;
                    told = chromium.until_told().await;
                })
                .await;
            told.text
        };
        assert_eq!(told(Phone::plain_browser()).await, says("NOT_IN_WECHAT"));
        let lost = Phone::android().server_id("no-such-media");
        assert_eq!(told(lost).await, says("MEDIA_NOT_FOUND"));
    }
}
