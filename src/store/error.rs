//! Why an operation of the store failed.

/// The store could not be reached, or refused the operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What kind of failure it is.
    pub fault: StoreFault,
    /// What happened, without the value that was to be written.
    pub message: String,
    /// What an operator can do about it.
    pub cure: String,
}

/// The kinds of failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreFault {
    /// No connection, no answer in time, or the connection was closed.
    Unreachable,
    /// The login is wrong or missing.
    Login,
    /// It takes no writes.
    ReadOnly,
    /// Its memory is full.
    Full,
    /// It does not run this command for us: an ACL forbids it, or a proxy does not know it. Also "EVAL (GET, SET)", if
    /// it may be any of them.
    Refused(String),
    /// The key holds something of another type. Nothing is wrong with the store itself.
    WrongType,
    /// Anything else.
    Other,
}

impl StoreError {
    /// An error with its cure.
    pub fn new(fault: StoreFault, message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            fault,
            message: message.into(),
            cure: cure.into(),
        }
    }

    /// True if it is about the value at the key, not about the store.
    pub fn is_about_value(&self) -> bool {
        self.fault == StoreFault::WrongType
    }
}

impl StoreFault {
    /// True if one log line covers both faults.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let (Self::Refused(one), Self::Refused(other)) = (self, other) else {
            return self == other;
        };
        let mut words = one.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
        words.any(|word| other.split(|c: char| !c.is_alphabetic()).any(|same| same == word))
    }
}
