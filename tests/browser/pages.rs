//! The gateway's own pages, on a phone and on a desktop, in light and dark mode.

use std::path::Path;

use serde_json::Value;
use wxgate::sandbox::{Api, Fault};

use super::chromium::Chromium;
use crate::support::Gateway;
use crate::support::packages::npm;

const PHONE: (u32, u32) = (390, 844);
const DESKTOP: (u32, u32) = (1280, 800);

/// A page in a state worth looking at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    /// The demo page of `serve --sandbox`, after a photo was stored.
    Demo,
    /// The same, after a photo that WeChat no longer has.
    DemoFailure,
    /// The OpenAPI page, with one route expanded.
    Docs,
    /// The console: an account that works, with a past problem in its journal.
    Console,
}

const PAGES: [Page; 4] = [Page::Demo, Page::DemoFailure, Page::Docs, Page::Console];

async fn gateway() -> Gateway {
    let gateway = Gateway::builder()
        .demo_page()
        .set("internal.operator_key", "an-operator-key-of-a-test")
        .start()
        .await;
    gateway.until_ready().await;
    // Another system replaces the token; the next photo meets the rejection.
    gateway.wechat.kill_token();
    assert_eq!(gateway.upload_new_photo().await.code(), (200, 0));
    gateway
}

impl Page {
    async fn open(self, chromium: &Chromium, gateway: &Gateway, chinese: bool) {
        let language = if chinese { "zh" } else { "en" };
        match self {
            Self::Demo => {
                open_demo(chromium, gateway, language).await;
                chromium
                    .until("document.querySelector('#frame[data-state=stored]')")
                    .await;
            }
            Self::DemoFailure => {
                let lost = gateway.wechat.sandbox.inject(Fault::errcode(40007).on(Api::MediaGet));
                open_demo(chromium, gateway, language).await;
                chromium
                    .until("document.querySelector('.step[data-state=failed]')")
                    .await;
                gateway.wechat.sandbox.remove_fault(lost);
            }
            Self::Docs => {
                chromium.open(&gateway.url("/docs/")).await;
                chromium.until("document.querySelector('.opblock-post')").await;
                chromium
                    .eval::<()>("document.querySelector('.opblock-post .opblock-summary-control').click()")
                    .await;
                chromium
                    .until("document.querySelector('.opblock-body .responses-table')")
                    .await;
            }
            Self::Console => {
                let url = format!("http://{}/console?lang={language}", gateway.internal);
                chromium.open(&url).await;
                chromium.until("document.readyState === 'complete'").await;
            }
        }
    }
}

/// Opens the demo page and has its sample photo taken.
async fn open_demo(chromium: &Chromium, gateway: &Gateway, language: &str) {
    open_demo_at(chromium, &gateway.url("/"), language).await;
}

async fn open_demo_at(chromium: &Chromium, url: &str, language: &str) {
    chromium.open(url).await;
    let speaks = format!("localStorage.setItem('language', '{language}'); location.reload()");
    chromium.eval::<()>(&speaks).await;
    chromium
        .until("document.readyState === 'complete' && document.querySelectorAll('.step[data-state=done]').length === 2")
        .await;
    // The same landscape each time.
    chromium
        .eval::<()>("Math.random = () => 0.58; document.getElementById('sample').click()")
        .await;
}

/// What axe finds wrong with the page, a line each, and whether the page is wider than its window.
pub async fn faults(chromium: &Chromium) -> Vec<String> {
    let axe = npm("h5").await.join("node_modules/axe-core/axe.min.js");
    chromium.eval::<Value>(&std::fs::read_to_string(axe).unwrap()).await;
    chromium
        .eval(
            "const { scrollWidth, clientWidth } = document.documentElement;
            const wide = scrollWidth > clientWidth ? [`${scrollWidth} px in a window of ${clientWidth} px`] : [];
            // Swagger UI's own headings go from h1 to h3, and its lists of examples have no label.
            const enabled = !document.querySelector('.swagger-ui');
            const rules = { 'heading-order': { enabled }, 'select-name': { enabled } };
            return axe.run({ rules }).then(({ violations }) => wide.concat(violations.flatMap(({ id, nodes }) =>
                nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 150)} ${failureSummary}`))))",
        )
        .await
}

#[tokio::test]
async fn every_page_is_accessible() {
    let gateway = gateway().await;
    Chromium::run(&[], async |chromium| {
        let mut found = Vec::new();
        for page in PAGES {
            for (size, dark) in [(PHONE, false), (DESKTOP, true)] {
                chromium.screen(size, 1.0, dark).await;
                page.open(chromium, &gateway, !dark).await;
                let faults = [faults(chromium).await, unseen(chromium).await].concat();
                found.extend(faults.iter().map(|fault| format!("{page:?}, {size:?}: {fault}")));
            }
        }
        assert!(found.is_empty(), "{}", found.join("\n"));
    })
    .await;
}

#[tokio::test]
async fn demo_page_stays_below_its_base_path() {
    let gateway = Gateway::builder().demo_page().set("server.base_path", "/h5/wxgate");
    let gateway = gateway.start().await;
    gateway.until_ready().await;
    Chromium::run(&[], async |chromium| {
        let url = gateway.url("/h5/wxgate/");
        open_demo_at(chromium, &url, "en").await;
        chromium
            .until("document.querySelector('#frame[data-state=stored]')")
            .await;
        let loaded: Vec<String> = chromium
            .eval("return performance.getEntriesByType('resource').map(({ name }) => name).filter((name) => name.startsWith('http'))")
            .await;
        assert!(loaded.len() >= 7, "{loaded:?}");
        assert!(loaded.iter().all(|loaded| loaded.starts_with(&url)), "{loaded:?}");
    })
    .await;
}

#[tokio::test]
async fn demo_page_compares_the_signed_url_with_its_own() {
    let gateway = gateway().await;
    Chromium::run(&[], async |chromium| {
        open_demo(chromium, &gateway, "en").await;
        let compared = "document.querySelector('.compared:not([hidden])').innerText";
        let same: String = chromium.eval(&format!("return {compared}")).await;
        assert!(same.contains("byte for byte"), "{same}");
        // The page's URL changes without a new signature.
        let moved = "history.pushState(null, '', '/?from=%E4%B8%AD#x'); dispatchEvent(new Event('popstate'));";
        let other: String = chromium.eval(&format!("{moved} return {compared}")).await;
        let at = gateway.url("/").len();
        assert!(other.contains(&format!("differ after {at} bytes")), "{other}");
        let marks: Vec<String> = chromium
            .eval("return [...document.querySelectorAll('.compared mark')].map((mark) => mark.textContent)")
            .await;
        assert_eq!(marks, ["", "?from=%E4%B8%AD"]);
        let escapes: Value = chromium.eval("return marked('a%E4%B8c', 'a%E4%b8c')").await;
        assert_eq!(escapes, serde_json::json!([["a%E4", "%B8", "c"], ["a%E4", "%b8", "c"]]));
        let sent: Vec<Option<String>> = chromium
            .eval("return ['/x?url=a%2Bb+c%23d&e', '/x?curl=a', '/x?url=%FF'].map(askedFor)")
            .await;
        assert_eq!(sent, [Some("a+b+c".to_owned()), None, None]);
        assert_eq!(faults(chromium).await, Vec::<String>::new());
    })
    .await;
}

/// Elements that can have the keyboard focus without showing it.
async fn unseen(chromium: &Chromium) -> Vec<String> {
    chromium
        .eval(
            "const all = document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex=\"0\"]');
            const shows = (element) => element && getComputedStyle(element).outlineStyle !== 'none';
            return [...all].filter((element) => element.checkVisibility()).filter((element) => {
                element.focus({ focusVisible: true });
                return document.activeElement === element && !shows(element) && !shows(element.nextElementSibling);
            }).map((element) => `no outline: ${element.outerHTML.slice(0, 150)}`)",
        )
        .await
}

/// Makes the pictures of `scripts/screenshots`, in the folder that it names.
#[tokio::test]
#[ignore = "scripts/screenshots runs it"]
async fn screenshots() {
    let folder = std::env::var("SCREENSHOTS").expect("SCREENSHOTS names the folder");
    let gateway = gateway().await;
    let both = &[("", false), (".zh-CN", true)][..];
    let pages = [
        (Page::Demo, "demo", both),
        (Page::Console, "console", both),
        (Page::Docs, "api", &both[..1]),
    ];
    Chromium::run(&[], async |chromium| {
        for (page, name, languages) in pages {
            for (screen, size, dark) in [("desktop", DESKTOP, false), ("phone", PHONE, true)] {
                for &(language, chinese) in languages {
                    chromium.screen(size, 1.0, dark).await;
                    page.open(chromium, &gateway, chinese).await;
                    let file = Path::new(&folder).join(format!("{name}-{screen}{language}.png"));
                    std::fs::write(file, chromium.screenshot().await).unwrap();
                }
            }
        }
    })
    .await;
}
