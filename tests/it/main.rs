//! wxgate as its users meet it: over sockets, against the sandbox WeChat and a real redis-server.
//! One binary, a file per story.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

mod cli;
mod cluster;
mod codes;
mod cold_start;
mod company_day;
mod console;
mod docs;
mod lock_holders;
mod memory;
mod openapi;
mod photos;
mod proxy;
mod readiness;
mod redis_modes;
mod redis_outages;
mod rejection;
mod renewal;
mod sdks;
mod shared_token;
mod signing;
mod wechat_down;
