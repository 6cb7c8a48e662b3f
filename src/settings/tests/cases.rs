//! What is reported about settings, valid or not: the cases of `cases.txt`, and those that need files.

use super::{ACCOUNT, SettingsFile, env_problems, load, load_text};

/// The settings of each case, with what is reported about them.
fn cases() -> Vec<(String, Vec<&'static str>)> {
    let mut cases: Vec<(String, Vec<_>)> = Vec::new();
    let lines = include_str!("cases.txt").lines();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with(' ') {
            cases.last_mut().unwrap().1.push(line.trim());
            continue;
        }
        if cases.last().is_none_or(|(_, said)| !said.is_empty()) {
            cases.push((String::new(), Vec::new()));
        }
        let (settings, _) = cases.last_mut().unwrap();
        settings.push_str(line);
        settings.push('\n');
    }
    cases
}

/// Whether `reported` matches `expected`, in which `…` stands for any text.
fn fits(reported: &str, expected: &str) -> bool {
    let Some((before, after)) = expected.split_once('…') else {
        return reported == expected;
    };
    let rest = reported.strip_prefix(before);
    rest.is_some_and(|rest| (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|rest| fits(rest, after))))
}

#[test]
fn settings_load_or_are_refused_with_their_reasons() {
    let mut wrong = Vec::new();
    for (text, expected) in cases() {
        let account = if text.starts_with("accounts") { "" } else { ACCOUNT };
        let reported = match load_text(&format!("{account}{text}")) {
            Ok(_) if expected == ["loads"] => continue,
            Ok(settings) if settings.warnings().is_empty() => vec!["no warning".to_owned()],
            Ok(settings) => {
                let warnings = settings.warnings();
                warnings.iter().map(|line| format!("warning: {line}")).collect()
            }
            Err(problems) => {
                let without_place = |line: &String| line.split_once(": ").unwrap().1.to_owned();
                problems.iter().map(without_place).collect()
            }
        };
        let mut pairs = reported.iter().zip(&expected);
        if reported.len() != expected.len() || !pairs.all(|(line, expected)| fits(line, expected)) {
            wrong.push((text, reported));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn account_is_required() {
    let text = "accounts: no account is set: add [[accounts]] with app_id and app_secret, or set WXGATE_APP_ID and \
                WXGATE_APP_SECRET";
    assert_eq!(load(None, &[]).unwrap_err(), [text]);
    assert_eq!(load_text("").unwrap_err(), [format!("wxgate.toml: {text}")]);
}

#[test]
fn consequences_of_a_refused_variable_are_not_reported() {
    let found = env_problems(&[
        ("WXGATE__SERVER__LISTEN", "x"),
        ("WXGATE__INTERNAL__LISTEN", "127.0.0.1:8080"),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn burst_is_as_much_as_one_second_allows_unless_it_is_set() {
    let text = format!("{ACCOUNT}rate_limit = {{ jssdk_per_second = 3, upload_per_second = 1, upload_burst = 9 }}");
    let limits = load_text(&text).unwrap().rate_limit;
    let bursts = [limits.jssdk(), limits.upload()].map(|quota| quota.unwrap().burst_size().get());
    assert_eq!(bursts, [3, 9]);
}

/// The problems with a file with this content that is set as `key`, and with the line `more`; the file is called `file`.
fn problems_with(content: &str, key: &str, more: &str) -> Vec<String> {
    let file = SettingsFile::new("").with("file", content);
    let text = format!("{ACCOUNT}{key} = {:?}\n{more}", file.path_of("file"));
    file.with("wxgate.toml", &text).load(&[]).unwrap_err()
}

#[test]
fn unusable_file_of_certificates_or_of_a_key_is_refused() {
    let pem = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    let no_certificate = "\"file\" holds no certificate in PEM (\"-----BEGIN CERTIFICATE-----\")";
    for (content, problem) in [
        ("", no_certificate),
        ("hello", no_certificate),
        (&pem("PRIVATE KEY"), no_certificate),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n", "\"file\" is not well-formed PEM"),
        (&pem("CERTIFICATE"), "certificate 1 in \"file\" is malformed"),
    ] {
        let found = problems_with(content, "http_client.ca_file", "");
        assert_eq!(found, [format!("wxgate.toml:2: http_client.ca_file: {problem}")]);
        // The key has its own line.
        let key = "internal.tls_key_file = \"/nonexistent\"";
        let found = problems_with(content, "internal.tls_certificate_file", key);
        assert_eq!(
            found[0],
            format!("wxgate.toml:2: internal.tls_certificate_file: {problem}")
        );
        assert!(
            found[1].starts_with("wxgate.toml:3: internal.tls_key_file: can't read \"/nonexistent\""),
            "{found:?}"
        );
    }
    let certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/certificate.pem");
    let certificate = format!("internal.tls_certificate_file = {certificate:?}");
    for (content, problem) in [
        ("hello", "\"file\" holds no private key in PEM"),
        (&pem("ENCRYPTED PRIVATE KEY"), "the key in \"file\" is encrypted"),
    ] {
        let found = problems_with(content, "internal.tls_key_file", &certificate);
        let start = format!("wxgate.toml:2: internal.tls_key_file: {problem}");
        assert!(found.len() == 1 && found[0].starts_with(&start), "{found:?}");
    }
    for (key, other) in [("certificate", "key"), ("key", "certificate")] {
        let found = problems_with("", &format!("internal.tls_{key}_file"), "");
        let text = format!("internal.tls_{other}_file: missing: internal.tls_{key}_file is set, and TLS needs both");
        assert_eq!(found, [format!("wxgate.toml:2: {text}")]);
    }
}
