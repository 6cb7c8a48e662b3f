//! The way to a setting.

use std::fmt;

use toml::{Table, Value};

/// One step from a table or a list to something in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// The way to a value, such as `accounts[0].app_id`. What is under a path sorts right after it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct KeyPath(pub(super) Vec<Step>);

impl KeyPath {
    pub(super) fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_owned()))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    fn step(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }

    pub(super) fn starts_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// Whether one of the two is under the other, or they are the same.
    pub(super) fn is_related(&self, other: &Self) -> bool {
        self.starts_with(other) || other.starts_with(self)
    }

    /// The paths above this one, nearest first.
    pub(super) fn ancestors(&self) -> impl Iterator<Item = Self> {
        (0..self.0.len()).rev().map(|len| Self(self.0[..len].to_vec()))
    }

    /// A document that holds `value` at this path and nothing else.
    pub(super) fn document(&self, value: Value) -> Value {
        self.0.iter().rev().fold(value, |inner, step| match step {
            Step::Key(key) => Value::Table(Table::from_iter([(key.clone(), inner)])),
            Step::Index(_) => Value::Array(vec![inner]),
        })
    }
}

/// Reads a path as it is displayed.
impl From<&str> for KeyPath {
    fn from(text: &str) -> Self {
        text.split('.').fold(Self::default(), |path, step| {
            let entry = step.strip_suffix(']').and_then(|step| step.split_once('['));
            match entry.and_then(|(list, index)| Some((list, index.parse().ok()?))) {
                Some((list, index)) => path.key(list).index(index),
                None => path.key(step),
            }
        })
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    f.write_str(if i == 0 { "" } else { "." })?;
                    // A key in quotes may hold anything, but a problem is one line.
                    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
                    if !key.is_empty() && key.bytes().all(bare) {
                        f.write_str(key)?;
                    } else {
                        write!(f, "{key:?}")?;
                    }
                }
            }
        }
        Ok(())
    }
}
