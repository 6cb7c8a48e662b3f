//! What a fuzzer calls: each parser that meets bytes from outside, and what must hold of it whatever
//! they are. `fuzz/` has a target for each; the tests here run them on their seeds, changed at random,
//! so that no change to a parser waits for a fuzzer.

use ::http::{HeaderMap, HeaderValue};

use crate::http::public::parse_upload;
use crate::http::{self, RequestId};
use crate::jssdk::{JsDomain, PageUrl, QueryParams};
use crate::picture::Kind;
use crate::secret::MASK;
use crate::settings::{Settings, Sources};
use crate::wechat::CallError;

/// A fuzzer's target by its name, with the seeds that show it the way.
pub type Target = (&'static str, fn(&[u8]), &'static [&'static [u8]]);

/// A file among the seeds.
macro_rules! seed {
    ($path:literal) => {
        include_bytes!(concat!("../fuzz/seeds/", $path)).as_slice()
    };
}

/// Every target.
pub const TARGETS: [Target; 9] = [
    (
        "page_url",
        page_url,
        &[
            seed!("page_url/encoded"),
            seed!("page_url/spilled"),
            seed!("page_url/ipv6"),
        ],
    ),
    ("js_domain", js_domain, &[seed!("js_domain/path")]),
    (
        "client_address",
        client_address,
        &[seed!("client_address/spellings"), seed!("client_address/nobody")],
    ),
    ("request_id", request_id, &[seed!("request_id/all")]),
    (
        "upload_body",
        upload_body,
        &[seed!("upload_body/good"), seed!("upload_body/null")],
    ),
    (
        "wechat_answer",
        wechat_answer,
        &[seed!("wechat_answer/refusal"), seed!("wechat_answer/token")],
    ),
    (
        "picture",
        picture,
        &[seed!("picture/gif"), seed!("picture/heic"), seed!("picture/webp")],
    ),
    (
        "settings",
        settings,
        &[seed!("settings/account"), seed!("settings/lists")],
    ),
    (
        "settings_file",
        settings_file,
        &[seed!("settings_file/account"), seed!("settings_file/broken")],
    ),
];

/// `jssdk`: the query string of the signing route, and the URL in it.
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

/// `jssdk`: an entry of `js_domains`, and on the next line a page.
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
        let below = page.host().to_ascii_lowercase();
        let below = below == host || below.ends_with(&format!(".{host}"));
        assert!(below || !domain.covers(&page));
    }
}

/// `http`: lines of `X-Forwarded-For`, behind a proxy in 10.0.0.0/8.
pub fn client_address(data: &[u8]) {
    let mut forwarded = HeaderMap::new();
    for line in data.split(|b| *b == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            forwarded.append(X_FORWARDED_FOR, value);
        }
    }
    let (proxy, stranger) = ([10, 0, 0, 1].into(), [192, 0, 2, 1].into());
    let trusted = [ipnet::IpNet::from(ipnet::Ipv4Net::new_assert([10, 0, 0, 0].into(), 8))];
    assert_eq!(
        http::client_address(stranger, &forwarded, &trusted),
        stranger,
        "nobody else is believed"
    );
    assert_eq!(http::client_address(proxy, &forwarded, &[]), proxy);
    // What the proxy itself adds decides, whatever stands before it.
    forwarded.append(X_FORWARDED_FOR, HeaderValue::from_static("192.0.2.7"));
    assert_eq!(
        http::client_address(proxy, &forwarded, &trusted).to_string(),
        "192.0.2.7"
    );
}

const X_FORWARDED_FOR: ::http::HeaderName = ::http::HeaderName::from_static("x-forwarded-for");

/// `api`: the id that a caller sends.
pub fn request_id(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    let id = RequestId::of(&HeaderMap::from_iter([(http::X_REQUEST_ID, value)]));
    let text = id.as_str().as_bytes();
    assert!((1..=64).contains(&text.len()));
    assert!(text.iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b)));
    assert!(text == data || text.len() == 32);
}

/// `api`: the body of the upload route.
pub fn upload_body(data: &[u8]) {
    if let Ok((media_id, app_id)) = parse_upload(data) {
        let id = media_id.as_str();
        assert!((1..=512).contains(&id.len()) && !app_id.is_some_and(|app_id| app_id.is_empty()));
        assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)));
    }
}

/// `wechat`: an answer in JSON, or nearly.
pub fn wechat_answer(data: &[u8]) {
    if let Some(CallError::Refused { code, message }) = CallError::refusal_in(data) {
        assert!(code.0 != 0 && message.chars().count() <= 256 && !message.contains(char::is_control));
    }
}

/// `picture`: the first bytes of a file.
pub fn picture(data: &[u8]) {
    let head = Kind::sniff(&data[..data.len().min(Kind::HEAD)]);
    assert!(head.is_none() || head == Kind::sniff(data));
    let text = data.trim_ascii_start().first().is_some_and(|b| b"{[<\"".contains(b));
    assert!(!text || head.is_none());
}

/// `settings`: variables of the environment, a line each, after `WXGATE__`.
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

/// `settings`: a file.
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

/// A secret may be read from a file by name, and which one must not depend on a fuzzer. TOML may write
/// any letter of a key as an escape.
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
                assert_eq!(account["app_secret"].as_str(), Some(MASK), "a secret in the open");
            }
        }
        Err(problems) => assert_eq!(problems.to_string().lines().count(), problems.iter().count()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    /// A seed, with bytes changed, added and taken away.
    fn mutated(seed: &[u8], changes: &[(Index, u8, u8)]) -> Vec<u8> {
        let mut data = seed.to_vec();
        for (place, how, byte) in changes {
            let place = place.index(data.len() + 1);
            match how % 4 {
                0 => data.insert(place, *byte),
                1 if place < data.len() => data[place] = *byte,
                2 if place < data.len() => drop(data.remove(place)),
                _ => data.truncate(place.max(1)),
            }
        }
        data
    }

    proptest! {
        #[test]
        fn every_target_holds_near_its_seeds(
            target in 0..TARGETS.len(),
            seed: Index,
            changes in prop::collection::vec((any::<Index>(), any::<u8>(), any::<u8>()), 0..6),
        ) {
            let (_, run, seeds) = TARGETS[target];
            run(&mutated(seeds[seed.index(seeds.len())], &changes));
        }
    }

    #[test]
    fn each_target_can_be_run_by_a_fuzzer() {
        let manifest = include_str!("../fuzz/Cargo.toml");
        for (name, ..) in TARGETS {
            assert!(
                manifest.contains(&format!("name = \"{name}\"")),
                "{name} is not in fuzz/Cargo.toml"
            );
        }
    }
}
