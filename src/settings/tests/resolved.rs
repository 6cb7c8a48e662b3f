//! The sections with several kinds: what they resolve to, and refused keys.

use super::{ACCOUNT, load_text, problems};
use crate::secret::Secret;
use crate::settings::Settings;
use crate::settings::resolved::ImageStore;

// Public keys, made for these tests.
const ED25519: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAKbgOysGv+WMuoOdDZreAQg0Gt4ErqvRMIkfK21hsDb8=
-----END PUBLIC KEY-----
";
const P256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEkW4+EZAQVaTGfCqmFnI8wJSyWv2P
6AU2n5TMWgEZWdoQpqVEPsHEW9KTZuZYDeeAoojcDyxf1MS7kPMhj6xvdw==
-----END PUBLIC KEY-----
";
const P384: &str = "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE4OjS7Fr9zd5H1sHnv6P17a+OIRx628V4
iBUDD9AWNSUSEPxQ1qcIfSQm6DGZnh+zspHR0A7go7a4V+uJzNiJrgg3hwR3z/+b
j5qh35jq5oNoW8WsQuY3jo9TNwbxyd5Y
-----END PUBLIC KEY-----
";
const RSA_2048: &str = include_str!("../../../tests/it/rsa_public_key.pem");
const RSA_2000: &str = "-----BEGIN PUBLIC KEY-----
MIIBGzANBgkqhkiG9w0BAQEFAAOCAQgAMIIBAwKB+wDf+UslC/F3w29T2tiISSk9
2c4vMAmb/qgFBb+JvtJIM9BchbQFw6KjWlWAWsrzfH3Y5oqU/2DTtgOy0BskzH7M
xq0w0arUbxgsf6/LfinZrNVj+mp0Bvqy9n7J1m41GISAfnMXfs06ec2UUxx+lYFX
H3RlQavJYlYDArHa1ttUrs2X3DFoZPBkLu9xAMm2U+kBk/paskOOKL+VNw+xtK9D
32JoLfpBnqwubDN5+0b1htD0qxIEUiD8raS46rFhwsgJu17AJY5yyuwmWYlwEAW8
wkEeGD2oCgiEBuVtUzXhDqdeLL0/rG9re7KZmdbWkH5T0m5v17frXgqHAgMBAAE=
-----END PUBLIC KEY-----
";

fn loaded(text: &str) -> Settings {
    load_text(&format!("{ACCOUNT}{text}")).expect(text)
}

fn jwt(algorithm: &str, key: &str) -> String {
    format!("[auth]\nmode = \"jwt\"\njwt_algorithm = \"{algorithm}\"\njwt_key = \"\"\"\n{key}\"\"\"")
}

#[test]
fn key_that_can_verify_nothing_is_refused_with_its_place() {
    let private = ED25519.replace("PUBLIC", "PRIVATE");
    let cut = ED25519.replace("MCowBQYDK2VwAyEA", "");
    for (algorithm, key, expected) in [
        ("EdDSA", cut.as_str(), "a public key in PEM for EdDSA"),
        ("EdDSA", "-----BEGIN PUBLIC KEY-----\n", "a public key in PEM for EdDSA"),
        ("EdDSA", P256, "a public key in PEM for EdDSA"),
        ("EdDSA", &private, "a public key, not a private one, in PEM for EdDSA"),
        ("ES256", RSA_2048, "a public key in PEM for ES256"),
        ("ES256", P384, "a public key on the curve P-256 in PEM for ES256"),
        ("RS256", ED25519, "a public key in PEM for RS256"),
        ("ES384", P256, "a public key on the curve P-384 in PEM for ES384"),
        ("RS256", RSA_2000, "a public key of 2048 bits or more in PEM for RS256"),
        ("PS512", RSA_2000, "a public key of 2048 bits or more in PEM for PS512"),
    ] {
        let found = problems(&jwt(algorithm, key));
        let line = format!("wxgate.toml:5: auth.jwt_key: expected {expected} (the value is not shown)");
        assert_eq!(found, [line], "{key}");
    }
}

const S3: &str = "image_store.backend = \"s3\"\n[image_store.s3]\nbucket = \"photos\"\n\
                  public_base_url = \"https://img.example.com\"\n";

#[test]
fn s3_without_keys_means_the_machines_role_and_one_key_is_a_mistake() {
    assert!(loaded(S3).image_store.s3.keys().is_none());
    let both = loaded(&format!("{S3}access_key_id = \"a\"\nsecret_access_key = \"s\""));
    assert_eq!(both.image_store.s3.keys(), Some((&Secret::new("a"), &Secret::new("s"))));
    // A missing key is reported at the key that requires it.
    let found = problems(&format!("{S3}access_key_id = \"hunter2\""));
    assert!(
        found[0].starts_with("wxgate.toml:6: image_store.s3.secret_access_key: missing: "),
        "{found:?}"
    );
}

#[test]
fn s3_bucket_goes_before_the_endpoints_host_without_path_style() {
    let named = loaded(&format!(
        "{S3}endpoint = \"https://s3.example.com\"\npath_style = false"
    ));
    let ImageStore::S3(s3) = named.resolved.image_store else {
        panic!("not S3")
    };
    assert_eq!(s3.endpoint.unwrap().as_str(), "https://photos.s3.example.com/");
}

#[test]
fn redis_login_goes_before_that_of_the_url() {
    let settings = loaded("redis = { url = \"redis://old:word@r/3\", username = \"new\" }");
    let connection = settings.redis.connection();
    let login = connection.redis_settings();
    assert_eq!(
        (login.username(), login.password(), login.db()),
        (Some("new"), Some("word"), 3)
    );
}
