//! Properties of every parser of external input, which hold for any bytes.
//!
//! `fuzz_targets/` has a fuzz target for each function here. `cargo test` in the gateway's own workspace includes this
//! file and runs every function on its seeds, changed at random (`tests/it/fuzz_targets.rs`).

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use serde_json::Value;
use wxgate::http::{Code, RequestId, client_address as address_of, parse_upload};
use wxgate::jssdk::{JsDomain, PageUrl, QueryParams};
use wxgate::picture::{Content, PictureKind};
use wxgate::secret::MASK;
use wxgate::settings::{Settings, Sources};
use wxgate::wechat::{ApiPath, CallError};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The query string of the signing route, and the URL in it.
pub fn page_url(data: &[u8]) {
    let Ok(query) = std::str::from_utf8(data) else { return };
    let Ok(params) = QueryParams::parse(query) else { return };
    let Ok(page) = PageUrl::parse(&params.url) else { return };
    let signed = page.as_str();
    assert!(params.url.starts_with(signed) && !signed.contains('#'));
    assert!(!signed.bytes().any(|b| b.is_ascii_control()) && signed.len() <= PageUrl::MAX_LEN);
    assert!(!page.host().is_empty() && !page.host().contains(['/', '?', '@', '\\']));
    assert_eq!(PageUrl::parse(signed), Ok(page));
}

/// An entry of `js_domains`, and a page on the next line.
pub fn js_domain(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (entry, url) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(domain) = JsDomain::try_from(entry.to_owned()) else {
        return;
    };
    let written = String::from(domain.clone());
    assert_eq!(JsDomain::try_from(written.clone()), Ok(domain.clone()));
    if let Ok(page) = PageUrl::parse(url) {
        let host = written.split('/').next().unwrap_or_default();
        let page_host = page.host().to_ascii_lowercase();
        let is_below = page_host == host || page_host.ends_with(&format!(".{host}"));
        assert!(is_below || !domain.covers(&page));
    }
}

/// Lines of `X-Forwarded-For`, behind a proxy in 10.0.0.0/8.
pub fn client_address(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|b| *b == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(X_FORWARDED_FOR, value);
        }
    }
    let (proxy, stranger) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([192, 0, 2, 1]));
    let trusted = [IpNet::new_assert([10, 0, 0, 0].into(), 8)];
    assert_eq!(
        address_of(stranger, &headers, &trusted),
        stranger,
        "only the proxy's own entry counts"
    );
    assert_eq!(address_of(proxy, &headers, &[]), proxy, "no proxy is trusted");
    // The entry that the proxy adds counts, whatever precedes it.
    headers.append(X_FORWARDED_FOR, HeaderValue::from_static("192.0.2.7"));
    assert_eq!(address_of(proxy, &headers, &trusted), IpAddr::from([192, 0, 2, 7]));
}

/// The path of a call that is passed through to WeChat.
pub fn api_path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(path) = ApiPath::parse(text) else { return };
    let sent = path.as_str();
    assert_eq!(ApiPath::parse(sent).as_ref(), Some(&path), "it has one spelling");
    // No server may interpret it as another path.
    assert!(!sent.contains(['%', '\\', ';', '?', '#']) && !sent.contains("//") && !sent.ends_with('/'));
    assert!(!sent.split('/').any(|segment| matches!(segment, "." | "..")));
    let names = |text: &str| {
        text.split('/')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(sent), names(text));
    let is_token = names(&text.to_lowercase()) == ["cgi-bin", "token"];
    assert_eq!(path.is("/cgi-bin/token"), is_token);
}

/// The request id that a caller sends.
pub fn request_id(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    let id = RequestId::of(&HeaderMap::from_iter([(X_REQUEST_ID, value)]));
    let is_fit = |text: &[u8]| {
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
        (1..=64).contains(&text.len()) && text.iter().all(allowed)
    };
    let text = id.as_str().as_bytes();
    assert!(is_fit(text) && (text == data || text.len() == 32));
    assert!(text == data || !is_fit(data), "the caller's own is kept");
}

/// The body of the upload route.
pub fn upload_body(data: &[u8]) {
    match parse_upload(data) {
        Ok((media_id, app_id)) => {
            let id = media_id.as_str();
            assert!((1..=512).contains(&id.len()));
            assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)));
            let sent: Value = serde_json::from_slice(data).unwrap();
            assert_eq!(sent["mediaId"], id);
            let sent = sent["appId"].as_str().filter(|app_id| !app_id.is_empty());
            assert_eq!(app_id.as_deref(), sent);
        }
        Err(error) => assert_eq!(error.code, Code::ParamInvalid),
    }
}

/// An answer of WeChat's, in JSON or nearly.
pub fn wechat_answer(data: &[u8]) {
    if let Some(CallError::Refused { code, message }) = CallError::refusal_in(data) {
        assert!(code.0 != 0 && message.chars().count() <= 256 && !message.contains(char::is_control));
    }
}

/// The first bytes of a file.
pub fn picture(data: &[u8]) {
    let head = PictureKind::sniff(&data[..data.len().min(PictureKind::HEAD)]);
    assert!(head.is_none() || head == PictureKind::sniff(data));
    let is_text = data.trim_ascii_start().first().is_some_and(|b| b"{[<\"".contains(b));
    assert!(!is_text || head.is_none());
    assert!(!Content::of(data).to_string().is_empty());
}

/// Environment variables, one a line, without their prefix `WXGATE__`.
pub fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let env = text.lines().filter_map(|line| line.split_once('='));
    let env = env.filter(|(name, _)| !names_a_file(name));
    let env = env.map(|(name, value)| (format!("WXGATE__{name}"), value.to_owned()));
    load(&Sources {
        env: env.collect(),
        ..Sources::default()
    });
}

/// A settings file.
pub fn settings_file(data: &[u8]) {
    if names_a_file(&String::from_utf8_lossy(data)) {
        return;
    }
    // Tests run in threads of one process, fuzzers in processes.
    let name = format!("wxgate-{}-{:?}.toml", std::process::id(), std::thread::current().id());
    let file = std::env::temp_dir().join(name);
    if std::fs::write(&file, data).is_ok() {
        load(&Sources {
            file: Some(file.clone()),
            ..Sources::default()
        });
        let _ = std::fs::remove_file(file);
    }
}

/// A secret may be read from a file by name, and the fuzzer must not choose the file. TOML may write any letter of a
/// key as an escape.
fn names_a_file(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["_file", r"\u", r"\x"].iter().any(|part| text.contains(part))
}

fn load(sources: &Sources) {
    match Settings::load(sources) {
        Ok(settings) => {
            let printed = settings.to_masked_toml().parse::<toml::Table>();
            let accounts = printed.as_ref().map(|printed| printed["accounts"].as_array());
            let accounts = accounts.unwrap_or_default().map_or(&[][..], Vec::as_slice);
            assert!(!accounts.is_empty(), "settings without an account, or not TOML");
            for account in accounts {
                assert_eq!(account["app_secret"].as_str(), Some(MASK), "the secret is not masked");
            }
        }
        Err(problems) => assert_eq!(problems.to_string().lines().count(), problems.iter().count()),
    }
}
