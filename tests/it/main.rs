//! wxgate tested from outside: over sockets, against the sandbox WeChat and a real redis-server. One binary.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(
    clippy::disallowed_methods,
    reason = "the tests' clients are not part of the gateway"
)]

mod support;

mod abuse;
mod advice;
mod auth;
mod base_path;
mod buckets;
mod certificates;
mod check;
mod cli;
mod client_address;
mod cluster;
mod codes;
mod cold_start;
mod console;
mod cors;
mod deploy;
mod docs;
mod drain;
mod explain;
mod foreign_values;
mod fuzz_targets;
mod hosts;
mod http2;
mod http_client;
mod internal_tls;
mod journal;
mod lock_holders;
mod logs;
mod memory;
mod metric_labels;
mod open_files;
mod openapi;
mod operator;
mod photo_refusals;
mod photo_retries;
mod photos;
mod picture_folder;
mod proxy;
mod readiness;
mod redis_health;
mod redis_modes;
mod redis_outages;
mod redis_values;
mod rejection;
mod renewal;
mod replacement;
mod rotation;
mod s3_role;
mod sdks;
mod secrets;
mod shared_account;
mod shared_routes;
mod shared_store;
mod shared_token;
mod shorter_lifetimes;
mod signing;
mod suspension;
mod tickets;
mod token_marks;
mod traces;
mod upload_services;
mod wechat_down;
