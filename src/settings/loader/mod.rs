//! Loading: the built-in defaults, then the file, then the environment, then overrides from the command line.
//!
//! The operator gets all problems at once, each with its file and line or its variable, its key, and a suggestion if the
//! key looks misspelt, but never a secret. Libraries stop at the first problem, don't know lines, or quote values, so
//! loading has five steps:
//!
//! 1. `schema` derives the keys from [`Settings`] itself, so that no list of fields has to be kept in sync.
//! 2. `reader` parses the file and `environment` the variables. Every key is looked up in the schema and every value is tried
//!    alone: with nothing else in the settings, serde can only complain about that value. Secret files are read here (`file`).
//! 3. Each source yields a `layer`: the accepted values by path, each with its place. Later layers override earlier ones.
//! 4. The merged layers form one document, which is deserialised.
//! 5. `validate` checks the fields against each other; its findings get the place of the key they are about. Nothing is
//!    reported about a field whose own value was refused, because its value is only a default.
//!
//! While the gateway runs, `reread` reads the secret files again and replaces the secrets that have changed.

mod environment;
mod layer;
mod reader;
mod reread;
mod schema;

use std::path::PathBuf;

use serde::Deserialize;

use super::Settings;
use super::problem::{Problem, Problems, UnplacedProblem};
use super::validate;
use layer::KeyPath;
pub(super) use layer::Layer;
use reader::{Reader, whole_file};
use schema::Schema;

pub use reread::{Reread, SecretFiles};

/// The sources of settings. Must not be printed: the environment contains secrets.
#[derive(Clone, Default)]
pub struct Sources {
    /// The settings file, if there is one.
    pub file: Option<PathBuf>,
    /// Environment variables; those not meant for wxgate are ignored.
    pub env: Vec<(String, String)>,
    /// Overrides both, under the names of variables: from the command line.
    pub overrides: Vec<(String, String)>,
}

impl Sources {
    /// The named file, and this process's environment. Bytes that are not UTF-8 become replacement characters, which
    /// loading refuses.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let env = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
        Self {
            file,
            env: env.filter(|(name, _)| name.starts_with("WXGATE_")).collect(),
            overrides: Vec::new(),
        }
    }
}

/// A bug of ours that no reported problem explains.
const MISFIT: &str = "the settings do not fit together";

/// As much of the settings as could be read.
pub struct Partial {
    /// What could be read, over the defaults. Must not be used if there are problems, and must not be printed: see
    /// [`Partial::to_masked_toml`].
    pub settings: Settings,
    /// What is wrong, if anything.
    pub problems: Option<Problems>,
    /// The settings without a file that is not well-formed.
    printable: Option<Settings>,
}

impl Partial {
    /// What could be read as TOML, secrets masked. It omits a file that is not well-formed: if a quote is missing, a
    /// value may belong to another key, and may be a secret.
    pub fn to_masked_toml(&self) -> String {
        self.printable.as_ref().unwrap_or(&self.settings).to_masked_toml()
    }

    /// The problems of `key` itself, or, if it is set nowhere, of an unreadable file that may contain it.
    pub fn problems_of(&self, key: &str) -> Option<Problems> {
        let problems = self.problems.as_ref()?;
        let is_given = self.settings.origin.place_of(&KeyPath::from(key)).is_some();
        let in_file = || problems.about_whole_file().filter(|_| !is_given);
        problems.about(key).or_else(in_file)
    }
}

impl Settings {
    /// Loads and checks settings.
    pub fn load(sources: &Sources) -> Result<Self, Problems> {
        let partial = Self::load_partial(sources);
        match partial.problems {
            Some(problems) => Err(problems),
            None => Ok(partial.settings),
        }
    }

    /// Loads and checks settings, and returns what could be read even if there are problems.
    pub fn load_partial(sources: &Sources) -> Partial {
        let schema = Schema::new();
        let mut read = match &sources.file {
            Some(path) => Reader::of_file(&schema, path),
            None => Reader::new(&schema),
        };
        for variables in [&sources.env, &sources.overrides] {
            read.merge(environment::read(&schema, variables));
        }
        let mut settings = Self::deserialize(read.layer.document()).unwrap_or_else(|_| {
            // Each value has already been read alone, so this is a bug of ours; its message could quote a secret.
            read.problems.push(Problem::new(None, "", MISFIT));
            Self::default()
        });
        let well_formed = read.well_formed;
        if well_formed {
            check(&mut settings, &mut read, sources);
        }
        settings.origin = read.layer;
        let without_file = || Sources {
            file: None,
            ..sources.clone()
        };
        Partial {
            settings,
            printable: (!well_formed).then(|| Self::load_partial(&without_file()).settings),
            problems: (!read.problems.is_empty()).then(|| Problems::new(read.problems)),
        }
    }
}

/// Checks the fields against each other, and resolves the sections that come in several kinds.
fn check(settings: &mut Settings, read: &mut Reader<'_>, sources: &Sources) {
    let (resolved, problems) = validate::check(settings);
    let problems: Vec<_> = problems
        .into_iter()
        .filter_map(|problem| placed(problem, read, sources))
        .collect();
    read.problems.extend(problems);
    match resolved {
        Some(resolved) => settings.resolved = resolved,
        // What can't be resolved must not pass with the defaults of `resolved`.
        None if read.problems.is_empty() => read.problems.push(Problem::new(None, "", MISFIT)),
        None => {}
    }
}

/// `problem` with its place, unless it is about a refused value, whose place a default has taken.
fn placed(problem: UnplacedProblem, read: &Reader<'_>, sources: &Sources) -> Option<Problem> {
    let paths: Vec<_> = problem.keys.iter().map(|key| KeyPath::from(key.as_str())).collect();
    let is_refused = |path: &KeyPath| read.failed.iter().any(|failed| failed.is_related(path));
    if paths.iter().any(is_refused) {
        return None;
    }
    // If the key itself is missing, the key that requires it was written somewhere.
    let place = paths.iter().find_map(|path| read.layer.place_of(path)).cloned();
    let file = || sources.file.as_deref().map(whole_file);
    Some(Problem::new(place.or_else(file), paths[0].to_string(), problem.text))
}
