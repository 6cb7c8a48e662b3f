//! The relay between WeChat and the image store, over a WeChat and a store that do as they are told.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::float_cmp, reason = "counters hold whole numbers")]

mod checks;
mod failures;
mod fakes;
mod once;
