//! wxgate: the gateway between a company's H5 pages and WeChat.

pub mod account;
pub mod credentials;
pub mod image_store;
pub mod jssdk;
pub mod media;
pub mod picture;
pub mod sandbox;
pub mod secret;
pub mod settings;
pub mod store;
pub mod wechat;
