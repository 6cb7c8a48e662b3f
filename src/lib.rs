//! wxgate: the gateway between a company's H5 pages and WeChat.
//!
//! It signs pages for `wx.config` (`GET /wechat/jsSDK`), copies photos from WeChat into the company's image store
//! (`POST /p/active/weChatOa/upload`), and keeps each account's one `access_token` and `jsapi_ticket` for all its
//! replicas. `README.md` explains how to use it, `docs/architecture.md` walks through a request and a renewal; this page
//! is the map of its modules.
//!
//! # Layers
//!
//! From the lowest layer up. A module uses only modules listed before it; a test checks this.
//!
//! Base types, which use nothing else of this crate:
//! - [`secret`]: a string that can't be printed
//! - [`account`]: the AppID of a WeChat account
//! - [`clock`]: the clock for lifetimes, which also runs while the machine is suspended
//! - [`words`]: a text in English and Chinese
//! - `byte_order_mark`: removes it from texts
//! - [`picture`]: the kinds of picture, recognised by their bytes
//! - [`jssdk`]: page URL, nonce, signature, domain rules; pure functions
//! - `labelled`: enums whose variants have a name in metrics, logs and the journal
//! - `single_flight`: work that several callers want at the same time, done once
//! - [`allocator`]: settings of glibc's allocator, so that memory is returned after a burst of uploads
//!
//! Settings and outside services:
//! - [`settings`]: file and environment, checked and parsed into typed values
//! - [`http_client`]: the only HTTP client: proxy, certificate authorities, errors without URLs
//! - `telemetry`: the log; spans of requests and of the calls made for them, exported by OTLP
//! - [`store`]: what replicas share, in Redis or in memory
//! - [`wechat`]: WeChat's API as types: one client, a function per call, the meaning of each `errcode`
//! - [`image_store`]: where pictures are stored: a folder, an upload service, S3
//!
//! What the gateway does; none of it depends on the HTTP server:
//! - [`credentials`]: token and ticket: a cell that requests read without a lock, and its renewals
//! - [`upload`]: the pipe from WeChat to the image store
//! - `replicas`: which replicas are running, from their marks in the store
//! - `directory`: the accounts, each with its credentials, its media and its domains
//!
//! The server:
//! - [`metrics`]: the counters of the modules above in one registry
//! - [`http`]: the server, the layers around every route, the routes of both listeners, the one table of codes
//! - `rotation`: reloads secrets and certificates whose files have changed
//! - [`app`]: settings in, running gateway out, drained at the end
//!
//! Commands, and the sandbox:
//! - `check`: checks everything that the gateway depends on
//! - [`sandbox`]: a simulated WeChat; uses only the gateway's secrets, names, picture kinds, domain rules, page URLs and
//!   signature
//! - [`cli`]: the commands

pub mod account;
pub mod allocator;
pub mod app;
mod byte_order_mark;
mod check;
pub mod cli;
pub mod clock;
pub mod credentials;
mod directory;
pub mod http;
pub mod http_client;
pub mod image_store;
pub mod jssdk;
mod labelled;
pub mod metrics;
pub mod picture;
mod replicas;
mod rotation;
pub mod sandbox;
pub mod secret;
pub mod settings;
mod single_flight;
pub mod store;
mod telemetry;
pub mod upload;
pub mod wechat;
pub mod words;
