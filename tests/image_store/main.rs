//! One suite over all three image stores, and what each has of its own.

mod http;
mod s3;
mod suite;
mod support;
