//! Known answers, and every mistake with arbitrary URLs.

use proptest::prelude::*;

use super::claim::{NONCE_EXPECTED, SIGNATURE_EXPECTED, TIMESTAMP_EXPECTED, URL_EXPECTED};
use super::*;
use crate::secret::Secret;

const TICKET: &str = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg";

fn tickets() -> CandidateTickets {
    CandidateTickets {
        current: Secret::new(TICKET),
        others: vec![Secret::new("an-older-ticket"), Secret::new("another-account-s-ticket")],
        tokens: vec![Secret::new("an-access-token")],
    }
}

const NONCE: &str = "Wm3WZYTPz0wzccnW";
const TIMESTAMP: &str = "1414587457";

fn claim(url: &str, signature: &str) -> Claim {
    Claim::new(url, NONCE, TIMESTAMP, signature).unwrap()
}

fn sign(ticket: &str, url: &str) -> String {
    crate::jssdk::sign(ticket, NONCE, TIMESTAMP, url)
}

/// The names of the mistakes that are found.
fn found(url: &str, signature: &str) -> Vec<&'static str> {
    match explain(&claim(url, signature), &tickets()) {
        Verdict::Right => vec!["right"],
        Verdict::Explained { mistakes, signed } => {
            assert_eq!(signed.signature(), signature);
            mistakes.iter().map(|mistake| mistake.name).collect()
        }
        Verdict::Unexplained => Vec::new(),
    }
}

/// Signatures computed elsewhere, mostly for mistakes with `http://mp.weixin.qq.com?params=value`.
#[test]
fn signatures_computed_elsewhere_are_explained() {
    let page = "http://mp.weixin.qq.com?params=value";
    let routed = &format!("{page}#x");
    for (url, signature, names) in [
        (page, "0f9de62fce790f9a083d5c99e95740ceb90c27ed", "right"),
        (routed, "0f9de62fce790f9a083d5c99e95740ceb90c27ed", "right"),
        (routed, "49e882ed1d77a029e6dc50a36da02d15d228293e", "fragment_kept"),
        (page, "55e6e3f15deaa00deefed8e7bc620c6a0a5329a6", "other_scheme"),
        (
            page,
            "fc555b5603f3cd82d454a79af8ad7fabb2609276",
            "encoded_once_too_often",
        ),
        (page, "e38013746041040aa9a92d26dd0cf63b4491ed55", "field_names"),
        (page, "9dd3603815006fd2cf563ea9fb31fea18563a1ad", "timestamp_unit"),
        (page, "f50191877b62b116ef830363a3a613ed652a2d5d", "slash"),
        (page, "f4d90daf4b3bca3078ab155816175ba34c443a7b", "query_missing"),
        (page, "0F9DE62FCE790F9A083D5C99E95740CEB90C27ED", "upper_case_signature"),
        (
            "http://mp.weixin.qq.com/",
            "f4d90daf4b3bca3078ab155816175ba34c443a7b",
            "slash",
        ),
        (
            "http://mp.weixin.qq.com/?q=%E4%B8%AD%E6%96%87",
            "d3e33f2f472002e556912cfc9d06d7b5eec9dda0",
            "decoded",
        ),
        (
            "http://mp.weixin.qq.com/?q=中文",
            "db418d52651b67264ae9633a95eb05c216fdeb87",
            "encoded_once_too_often",
        ),
    ] {
        assert_eq!(found(url, signature), [names], "{url}");
    }
    assert_eq!(found(page, &"0".repeat(40)), [""; 0]);
    let odd = Claim::new(page, "a-nonce-中x", TIMESTAMP, &"0".repeat(40)).unwrap();
    assert!(matches!(explain(&odd, &tickets()), Verdict::Unexplained));
}

#[test]
fn changed_hosts_paths_and_spaces_are_explained() {
    for (page, url, name) in [
        ("https://xn--fsqu00a.cn/p", "https://例子.cn/p", "host_in_unicode"),
        (
            "https://例子.cn:8443/p",
            "https://xn--fsqu00a.cn:8443/p",
            "host_in_unicode",
        ),
        ("https://a.cn/p?q=a%20b%20c", "https://a.cn/p?q=a+b+c", "plus_for_space"),
        ("https://a.cn/p?q=a+b", "https://a.cn/p?q=a%20b", "plus_for_space"),
        ("https://a.cn/p+q?q=a+b", "https://a.cn/p+q?q=a%2Bb", "plus_for_space"),
        ("https://h5.a.cn/p?x", "https://m.a.cn/p?x", "other_host"),
        ("https://h5.a.cn:8443/p", "https://localhost:8443/p", "other_host"),
        ("https://a.cn/app/p/q?x", "https://a.cn/p/q?x", "other_path"),
        ("https://a.cn/app/p/q?x", "https://a.cn/app/?x", "other_path"),
    ] {
        assert_eq!(found(page, &sign(TICKET, url)), [name], "{page} {url}");
    }
}

#[test]
fn two_mistakes_are_found_together() {
    let page = "https://a.cn/p?x=1&from=singlemessage&isappinstalled=0#/r";
    assert_eq!(
        found(page, &sign(TICKET, "http://a.cn/p?x=1")),
        ["other_scheme", "share_parameters_missing"]
    );
    assert_eq!(
        found(
            page,
            &sign(
                "an-older-ticket",
                "https://a.cn/p/?x=1&from=singlemessage&isappinstalled=0"
            )
        ),
        ["slash", "other_ticket"]
    );
    assert_eq!(
        found(page, &sign("an-access-token", page)),
        ["fragment_kept", "access_token"]
    );
}

#[test]
fn invalid_claim_is_refused_with_its_reason() {
    let signature = "0f9de62fce790f9a083d5c99e95740ceb90c27ed";
    let good = ["https://a.cn/", "abc", "1", signature];
    for (at, bad, problem) in [
        (0, "", URL_EXPECTED),
        (0, "a.cn/p", URL_EXPECTED),
        (0, "https%3A%2F%2Fa.cn", URL_EXPECTED),
        (1, " ", NONCE_EXPECTED),
        (2, "", TIMESTAMP_EXPECTED),
        (2, "now", TIMESTAMP_EXPECTED),
        (3, "", SIGNATURE_EXPECTED),
        (3, &signature[1..], SIGNATURE_EXPECTED),
        (3, &format!("{signature}00"), SIGNATURE_EXPECTED),
        (3, &"x".repeat(40), SIGNATURE_EXPECTED),
    ] {
        let mut values = good;
        values[at] = bad;
        let [url, nonce, timestamp, signature] = values;
        assert_eq!(Claim::new(url, nonce, timestamp, signature), Err(problem), "{bad}");
    }
    let padded = Claim::new(" https://a.cn/\n", " abc", "1 ", signature).unwrap();
    assert_eq!(padded.page(), "https://a.cn/");
}

#[test]
fn explanations_are_in_both_languages_and_without_tickets() {
    let chinese = |text: &str| text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
    let mut names = std::collections::BTreeSet::new();
    for mistake in MISTAKES {
        assert!(names.insert(mistake.name), "{}", mistake.name);
    }
    let about_mistakes = MISTAKES.iter().flat_map(|mistake| [mistake.what, mistake.cure]);
    for words in about_mistakes.chain(OTHER_CAUSES).chain(REMAINING_CAUSES) {
        assert!(
            !words.en.is_empty() && chinese(words.zh) && !words.zh.contains("  "),
            "{words:?}"
        );
    }
    let right = claim("https://a.cn/", &"0".repeat(40)).right(&Secret::new(TICKET));
    assert_eq!(
        right.without_ticket(),
        "jsapi_ticket=…&noncestr=Wm3WZYTPz0wzccnW&timestamp=1414587457&url=https://a.cn/"
    );
    assert!(!format!("{right:?}").contains(TICKET));
}

/// Page URLs, common and unusual.
fn any_url() -> impl Strategy<Value = String> {
    let scheme = prop_oneof![Just("https://"), Just("http://"), Just("HTTPS://")];
    let host = "(www\\.)?[a-zA-Z0-9]{1,8}\\.(cn|com)";
    let port = prop_oneof![3 => Just(String::new()), 1 => (1u16..).prop_map(|port| format!(":{port}"))];
    let path = "(/[a-zA-Z0-9中_.~%+-]{0,6}){0,3}(/(index\\.html)?)?";
    let query = "(\\?([a-z]{1,4}(=[a-zA-Z0-9中文%+:/?-]{0,6})?&?){0,4}(from=singlemessage&isappinstalled=0)?(&code=1&state=2)?)?";
    let fragment = "(#[a-z/?=&]{0,6})?";
    (scheme, host, port, path, query, fragment)
        .prop_map(|(scheme, host, port, path, query, fragment)| format!("{scheme}{host}{port}{path}{query}{fragment}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_mistake_with_any_url_is_explained(url in any_url()) {
        let right = claim(&url, &"0".repeat(40));
        let base = right.right(&tickets().current);
        for mistake in MISTAKES {
            for signed in mistake.variants(&base, &right, &tickets()) {
                let signature = signed.signature();
                match explain(&claim(&url, &signature), &tickets()) {
                    Verdict::Right => prop_assert_eq!(&signed, &base, "{}", mistake.name),
                    Verdict::Explained { mistakes, signed } => {
                        prop_assert_eq!(mistakes.len(), 1, "{}", mistake.name);
                        prop_assert_eq!(signed.signature(), signature);
                    }
                    Verdict::Unexplained => prop_assert!(false, "{} with {}", mistake.name, url),
                }
            }
        }
    }
}
