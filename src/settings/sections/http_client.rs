//! `[http_client]`: every outgoing HTTP connection, to WeChat and to the company's own services.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::settings::values;

/// `[http_client]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpClient {
    /// The forward proxy: the environment's, none, or this one, with user and password if required.
    pub proxy: values::HttpProxy,
    /// Hosts, domains and networks reached directly; with the environment's proxy, `NO_PROXY` counts as well.
    pub no_proxy: Vec<values::DirectHost>,
    /// Certificate authorities trusted in addition to the system's, a PEM bundle; for Redis too. Empty means none.
    pub ca_file: PathBuf,
}
