//! Pages in a real browser: `examples/h5` with WeChat's own script, from an origin of their own, and the gateway's
//! pages. A binary of its own: browsers keep a machine busy, and the tests of `it` measure time.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(
    clippy::disallowed_methods,
    reason = "the tests' clients are not part of the gateway"
)]

#[path = "../it/docs/markdown.rs"]
#[allow(dead_code, reason = "the documents' tables are tested in `it`")]
mod markdown;
#[path = "../it/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the tests of `it`")]
mod support;

mod chromium;
mod client;
mod failures;
mod pages;
mod phone;
mod photos;
mod readme;
mod routes;

use crate::support::{Gateway, GatewayBuilder};
use chromium::Chromium;

/// A gateway that lets the phone's page call it.
fn builder() -> GatewayBuilder {
    Gateway::builder().set("server.cors_allowed_origins", phone::PAGE_ORIGIN)
}

/// A warm one, so that no test waits for its first token.
async fn gateway() -> Gateway {
    let gateway = builder().start().await;
    gateway.until_ready().await;
    gateway
}

impl Chromium {
    /// Waits until the page of `examples/h5` can be used, or shows why it can't.
    async fn until_usable(&self) {
        self.until("!document.getElementById('pick').disabled").await;
    }

    /// The user taps the button.
    async fn tap(&self) {
        self.eval::<()>("document.getElementById('pick').click()").await;
    }

    /// Waits until a picture is shown; fails if a notice is shown instead.
    async fn until_the_picture_is_shown(&self) {
        self.until(
            "document.getElementById('notice').textContent || document.getElementById('picture').naturalWidth > 0",
        )
        .await;
        assert_eq!(self.notice().await, Notice::default());
    }

    /// Waits until a failure is shown.
    async fn until_notice(&self) -> Notice {
        self.until("document.getElementById('notice').textContent").await;
        self.notice().await
    }

    async fn notice(&self) -> Notice {
        let script = "const { textContent, dataset } = document.getElementById('notice');
            return textContent ? [textContent, dataset.error || '', Number(dataset.code || 0)] : ['', '', 0]";
        let (text, error, code) = self.eval(script).await;
        Notice { text, error, code }
    }

    /// How often the page has called this function of the phone.
    async fn asked_phone(&self, api: &str) -> usize {
        let script = format!("return WeixinJSBridge.calls.filter((name) => name === '{api}').length");
        self.eval(&script).await
    }
}

/// The notice about a failure, and the error and code that it is about.
#[derive(Debug, Default, PartialEq, Eq)]
struct Notice {
    text: String,
    error: String,
    code: i64,
}

impl Notice {
    fn failure(&self) -> (&str, i64) {
        (&self.error, self.code)
    }
}
