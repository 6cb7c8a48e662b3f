//! Names and secrets in WeChat's formats, from the thread's cryptographic generator.

use rand::RngExt;

const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// An access token: a number, `_`, and 136 characters.
pub(super) fn token() -> String {
    format!("{}_{}", rand::rng().random_range(10..100), text(136))
}

/// The request id that WeChat appends to an `errmsg`: the time and 64 random bits.
pub(super) fn rid(unix: u64) -> String {
    let (a, b): (u32, u32) = rand::rng().random();
    format!("{:08x}-{a:08x}-{b:08x}", unix & 0xffff_ffff)
}

/// The older id for the same purpose: six characters and eight digits.
pub(super) fn hint() -> String {
    let number = rand::rng().random_range(0..100_000_000);
    let mark = text(6).replace(['-', '_'], "x");
    format!("[{mark}{number:08}]")
}

/// `length` characters of `[A-Za-z0-9_-]`.
pub(super) fn text(length: usize) -> String {
    let mut rng = rand::rng();
    let mut character = || char::from(URL_SAFE[rng.random_range(0..URL_SAFE.len())]);
    (0..length).map(|_| character()).collect()
}
