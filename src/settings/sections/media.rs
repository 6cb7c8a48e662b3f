//! `[media]`: what may be uploaded.

use std::time::Duration;

use crate::picture::PictureKind;
use crate::settings::values::{self, AsText};

section! {
    /// `[media]`.
    pub struct Media {
        /// The largest picture, in bytes. WeChat's photos have 10 MiB at most; more than 1 GiB would exceed the memory or
        /// the time of an upload.
        #[serde(with = "values::SizeWithin::<1, { bytesize::GIB }>")]
        pub max_bytes: u64 = 20 * bytesize::MIB,
        /// The kinds of picture that are stored.
        pub allowed_types: Vec<PictureKind> = PictureKind::ALL.to_vec(),
        /// How long a mediaId that was uploaded gets the same URL again: up to a year; zero turns this off.
        #[serde(with = "values::DurationWithin::<0, { 365 * 24 }>")]
        pub remember_for: Duration = Duration::from_hours(72),
        /// Concurrent uploads.
        pub max_concurrent: usize = 64,
    }
}
