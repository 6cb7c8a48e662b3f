//! The upload, with scripted fakes of WeChat and of the image store.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::float_cmp, reason = "counters hold whole numbers")]

mod checks;
mod failures;
mod fakes;
mod once;
