//! `[telemetry]`: logs and traces.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::settings::values::{self, AsText, built_in};

section! {
    /// `[telemetry]`.
    pub struct Telemetry {
        /// The format of log lines.
        pub log_format: LogFormat = LogFormat::default(),
        /// A level, or a filter such as `wxgate=debug,info`.
        pub log_level: values::LogFilter = built_in("info".to_owned()),
        /// The endpoint for traces; empty turns them off.
        #[serde(with = "values::OptionalUrl")]
        pub otlp_endpoint: Option<Url> = None,
    }
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}
