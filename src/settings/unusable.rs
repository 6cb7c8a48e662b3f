//! A setting that turns out to be unusable only when it is used.

use std::fmt::Display;

/// A setting that is well-formed but can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct UnusableSetting {
    key: &'static str,
    problem: String,
}

impl UnusableSetting {
    /// `problem` is what is wrong with the setting `key`; it holds no value that may be secret.
    pub(crate) fn new(key: &'static str, problem: impl Display) -> Self {
        let problem = problem.to_string();
        Self { key, problem }
    }
}
