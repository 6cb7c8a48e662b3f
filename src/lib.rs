//! wxgate: the gateway between a company's H5 pages and WeChat.

pub mod account;
pub mod api;
pub mod app;
pub mod cli;
pub mod credentials;
pub mod directory;
pub mod image_store;
pub mod internal;
pub mod jssdk;
pub mod media;
pub mod metrics;
pub mod picture;
pub mod sandbox;
pub mod secret;
pub mod server;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod wechat;
pub mod wire;
