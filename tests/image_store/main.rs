//! One suite for all three image stores, and tests of each store's own behaviour.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod http;
mod s3;
mod suite;
mod support;
mod upload_service;
