//! One suite over all three image stores, and what each has of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod http;
mod s3;
mod suite;
mod support;
mod upload_service;
