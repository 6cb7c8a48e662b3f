//! The signature itself (JS-SDK说明文档, appendix 1).

use rand::distr::{Alphanumeric, SampleString};
use sha1::{Digest, Sha1};

/// A new `noncestr`: 16 characters of `[A-Za-z0-9]`, from the thread's cryptographic generator.
pub fn random_nonce() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), 16)
}

/// The pieces of `string1`: the four values unencoded, in the order of their names.
fn pieces<'a>(ticket: &'a str, nonce: &'a str, timestamp: &'a str, url: &'a str) -> [&'a str; 8] {
    [
        "jsapi_ticket=",
        ticket,
        "&noncestr=",
        nonce,
        "&timestamp=",
        timestamp,
        "&url=",
        url,
    ]
}

/// The string that is signed.
pub fn string1(ticket: &str, nonce: &str, timestamp: &str, url: &str) -> String {
    pieces(ticket, nonce, timestamp, url).concat()
}

/// The signature: SHA-1 of [`string1`] in 40 lower-case hex digits.
pub fn sign(ticket: &str, nonce: &str, timestamp: &str, url: &str) -> String {
    hex_sha1(pieces(ticket, nonce, timestamp, url))
}

/// The SHA-1 of the concatenated `pieces`, in 40 lower-case hex digits.
pub(super) fn hex_sha1<'a>(pieces: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha1::new();
    for piece in pieces {
        hash.update(piece);
    }
    let mut digits = [0; 40];
    // 20 bytes fill 40 digits exactly.
    let _ = hex::encode_to_slice(hash.finalize(), &mut digits);
    String::from_utf8(digits.to_vec()).unwrap_or_default()
}
