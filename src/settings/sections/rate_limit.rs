//! `[rate_limit]`: requests per second and client address; 0 turns a limit off.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// `[rate_limit]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimit {
    /// Signatures per second.
    pub jssdk_per_second: u32,
    /// The burst of signatures that is allowed.
    pub jssdk_burst: u32,
    /// Uploads per second.
    pub upload_per_second: u32,
    /// The burst of uploads that is allowed.
    pub upload_burst: u32,
}

/// A limit that is turned on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests per second in the long run.
    pub per_second: NonZeroU32,
    /// The burst that is allowed.
    pub burst: NonZeroU32,
}

impl RateLimit {
    /// The limit on signatures, if there is one.
    #[must_use]
    pub fn jssdk(&self) -> Option<Rate> {
        Rate::new(self.jssdk_per_second, self.jssdk_burst)
    }

    /// The limit on uploads, if there is one.
    #[must_use]
    pub fn upload(&self) -> Option<Rate> {
        Rate::new(self.upload_per_second, self.upload_burst)
    }
}

impl Rate {
    /// A burst of 0 means as many as one second allows.
    fn new(per_second: u32, burst: u32) -> Option<Self> {
        let per_second = NonZeroU32::new(per_second)?;
        let burst = NonZeroU32::new(burst).unwrap_or(per_second);
        Some(Self { per_second, burst })
    }
}
