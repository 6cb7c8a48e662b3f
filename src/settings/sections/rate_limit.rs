//! `[rate_limit]`: requests per second and client address; 0 turns a limit off.

use std::num::NonZeroU32;

use governor::Quota;
use serde::{Deserialize, Serialize};

/// `[rate_limit]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimit {
    /// Signatures per second.
    pub jssdk_per_second: u32,
    /// The allowed burst of signatures.
    pub jssdk_burst: u32,
    /// Uploads per second.
    pub upload_per_second: u32,
    /// The allowed burst of uploads.
    pub upload_burst: u32,
}

impl RateLimit {
    /// The limit on signatures, if there is one.
    pub fn jssdk(&self) -> Option<Quota> {
        quota(self.jssdk_per_second, self.jssdk_burst)
    }

    /// The limit on uploads, if there is one.
    pub fn upload(&self) -> Option<Quota> {
        quota(self.upload_per_second, self.upload_burst)
    }
}

/// A burst of 0 means as many as one second allows.
fn quota(per_second: u32, burst: u32) -> Option<Quota> {
    let quota = Quota::per_second(NonZeroU32::new(per_second)?);
    Some(NonZeroU32::new(burst).map_or(quota, |burst| quota.allow_burst(burst)))
}
