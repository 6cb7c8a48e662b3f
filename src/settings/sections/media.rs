//! `[media]`: what may be uploaded.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::picture::Kind;
use crate::settings::values::{self, AsText};

/// `[media]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Media {
    /// The largest picture, in bytes.
    #[serde(with = "values::Size")]
    pub max_bytes: u64,
    /// The kinds of picture that are stored.
    pub allowed_types: Vec<Kind>,
    /// How long a mediaId that was uploaded gives the same URL again; zero turns it off.
    #[serde(with = "values::DurationOrZero")]
    pub remember_for: Duration,
    /// Concurrent uploads.
    pub max_concurrent: usize,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            max_bytes: 20 * bytesize::MIB,
            allowed_types: Kind::ALL.to_vec(),
            remember_for: Duration::from_hours(72),
            max_concurrent: 64,
        }
    }
}
