//! The page that the READMEs show, opened.

use tokio::process::Command;

use super::markdown::{Readme, project};
use crate::support::{Gateway, free_address};

#[tokio::test]
async fn the_page_works_and_tells_what_goes_wrong() {
    for readme in Readme::both() {
        let gateway = Gateway::start().await;
        let output = Command::new("node")
            .arg(project("tests/it/docs/page.js"))
            .args([project(readme.name), project("tests/fixtures/photos/portrait.jpg")])
            .args([
                gateway.url(""),
                gateway.wechat.url(),
                format!("http://{}", free_address()),
            ])
            .output()
            .await
            .expect("node can't be started: run scripts/test, which installs what the tests need");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", readme.name);
    }
}
