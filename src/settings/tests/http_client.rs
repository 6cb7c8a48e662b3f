//! `[http_client]`: the proxy, what is reached without it, and the authorities.

use super::{ACCOUNT, SettingsFile, env_problems, problems};
use crate::settings::values::{DirectHost, HttpProxy};

#[test]
fn proxy_may_come_from_a_file() {
    let file = SettingsFile::new("").with("proxy", "http://user:hunter2@proxy:3128\n");
    let text = format!("{ACCOUNT}http_client.proxy_file = {:?}", file.path_of("proxy"));
    let settings = file.with("wxgate.toml", &text).load(&[]).unwrap();
    let HttpProxy::Through(url) = &settings.http_client.proxy else {
        panic!("{settings:?}");
    };
    assert_eq!(url.expose(), "http://user:hunter2@proxy:3128/");
}

#[test]
fn direct_hosts_may_come_from_the_environment() {
    let file = SettingsFile::new(ACCOUNT);
    let env = [("WXGATE__HTTP_CLIENT__NO_PROXY", "files.internal,10.0.0.0/8")];
    let hosts = file.load(&env).unwrap().http_client.no_proxy;
    let hosts: Vec<_> = hosts.iter().map(DirectHost::as_str).collect();
    assert_eq!(hosts, ["files.internal", "10.0.0.0/8"]);
}

#[test]
fn invalid_proxy_is_refused_without_showing_it() {
    let found = env_problems(&[("WXGATE__HTTP_CLIENT__PROXY", "ftp://user:hunter2@proxy")]);
    assert_eq!(
        found,
        [
            "environment variable WXGATE__HTTP_CLIENT__PROXY: http_client.proxy: expected \"\" (the environment's proxy), \
             \"none\", or a proxy's URL such as \"http://user:password@proxy.example.com:3128\" (http, https or socks5h; \
             no path; reserved characters of user and password percent-encoded)"
        ]
    );
    assert_eq!(
        problems("http_client.no_proxy = [\"*.a.cn\"]"),
        [
            "wxgate.toml:2: http_client.no_proxy[0] = \"*.a.cn\": expected a host, a domain (its subdomains count too), an \
             IP address or a network such as \"10.0.0.0/8\"; no scheme, no port, no `*`"
        ]
    );
}

#[test]
fn unusable_ca_file_is_refused() {
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cut_off = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    let nothing = "holds no certificate in PEM (\"-----BEGIN CERTIFICATE-----\")";
    for (content, problem) in [
        ("", format!("\"ca.pem\" {nothing}")),
        ("hello", format!("\"ca.pem\" {nothing}")),
        (key, format!("\"ca.pem\" {nothing}")),
        (cut_off, "\"ca.pem\" is not well-formed PEM".to_owned()),
        (no_certificate, "certificate 1 in \"ca.pem\" is malformed".to_owned()),
    ] {
        let file = SettingsFile::new("").with("ca.pem", content);
        let text = format!("{ACCOUNT}http_client.ca_file = {:?}", file.path_of("ca.pem"));
        let found = file.with("wxgate.toml", &text).load(&[]).unwrap_err();
        assert_eq!(found, [format!("wxgate.toml:2: http_client.ca_file: {problem}")]);
    }
    assert_eq!(
        problems("http_client.ca_file = \"/nonexistent.pem\""),
        [
            "wxgate.toml:2: http_client.ca_file: can't read \"/nonexistent.pem\": No such file or directory (os error \
             2)"
        ]
    );
}
