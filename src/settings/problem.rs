//! Problems with the settings, as the operator reads them.

use std::fmt::{self, Display};
use std::path::PathBuf;

/// Where a setting was written. Problems are listed in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    File { path: PathBuf, line: Option<usize> },
    Variable(String),
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// One problem: its place, the key, and what is expected. It never contains a value that may be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub(super) place: Option<Place>,
    /// The key, with its value as written if it may be shown.
    subject: String,
    text: String,
}

impl Problem {
    pub(super) fn new(place: Option<Place>, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            place,
            subject: subject.into(),
            text: text.into(),
        }
    }

    /// Whether it is about `key` itself.
    pub(super) fn is_about(&self, key: &str) -> bool {
        // A subject is a key, or a key and its value.
        let value = self.subject.strip_prefix(key);
        value.is_some_and(|value| value.is_empty() || value.starts_with(' '))
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.subject.is_empty() {
            write!(f, "{}: ", self.subject)?;
        }
        f.write_str(&self.text)
    }
}

/// All problems with the settings, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Orders `problems` by place.
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| (a.place.is_none(), &a.place).cmp(&(b.place.is_none(), &b.place)));
        Self(problems)
    }

    /// The problems about `key` itself, if there are any.
    pub(super) fn about(&self, key: &str) -> Option<Self> {
        self.filtered(|problem| problem.is_about(key))
    }

    /// The problem that the settings file can't be read, if that is one of them.
    pub(super) fn about_whole_file(&self) -> Option<Self> {
        self.filtered(|problem| {
            problem.subject.is_empty() && matches!(problem.place, Some(Place::File { line: None, .. }))
        })
    }

    fn filtered(&self, fits: impl Fn(&Problem) -> bool) -> Option<Self> {
        let found: Vec<_> = self.0.iter().filter(|problem| fits(problem)).cloned().collect();
        (!found.is_empty()).then_some(Self(found))
    }

    /// The problems; those of the file come first, in file order.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Problems {}

impl From<UnusableSetting> for Problems {
    fn from(setting: UnusableSetting) -> Self {
        Self(vec![Problem::new(None, setting.key, setting.problem)])
    }
}

/// A problem whose place is not known yet.
pub(super) struct UnplacedProblem {
    /// The keys it is about; the first is the one to name.
    pub(super) keys: Vec<String>,
    pub(super) text: String,
}

/// The problems found so far.
#[derive(Default)]
pub(super) struct UnplacedProblems(pub(super) Vec<UnplacedProblem>);

impl UnplacedProblems {
    /// Records `text` about `keys` unless `fits`.
    pub(super) fn add_unless(&mut self, fits: bool, keys: &[&str], text: impl Into<String>) {
        if !fits {
            self.0.push(UnplacedProblem {
                keys: keys.iter().map(|key| (*key).to_owned()).collect(),
                text: text.into(),
            });
        }
    }
}

/// A well-formed setting that can't be used, which only turns out when it is.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct UnusableSetting {
    pub(super) key: &'static str,
    pub(super) problem: String,
}

impl UnusableSetting {
    /// `problem` says what is wrong with the setting `key`; it contains no value that may be secret.
    pub(crate) fn new(key: &'static str, problem: impl Display) -> Self {
        let problem = problem.to_string();
        Self { key, problem }
    }
}
