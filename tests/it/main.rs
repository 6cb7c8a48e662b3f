//! wxgate as its users meet it: over sockets, against the sandbox WeChat and a real redis-server.
//! One binary, a file per story.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

mod cli;
mod cluster;
mod codes;
mod cold_start;
mod company_day;
mod docs;
mod lock_holders;
mod memory;
mod proxy;
mod redis_outages;
mod rejection;
mod renewal;
mod sdks;
mod shared_token;
mod signing;
mod wechat_down;
