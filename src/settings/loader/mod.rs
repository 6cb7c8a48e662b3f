//! Loading: the built-in defaults, then the file, then the environment, then what a command insists on.
//!
//! The operator gets every problem at once, each with its file and line or its variable, its key, a suggestion if the
//! key looks misspelt, and never a secret. Libraries stop at the first problem, don't know lines, or quote values, so
//! loading goes in five steps:
//!
//! 1. `schema` learns the keys from [`Settings`] itself, so that no list of fields has to be kept in step.
//! 2. `reader` parses the file and `environment` the variables. Every key is looked up in the schema and every value
//!    is tried alone: if the settings hold nothing else, serde can only complain about that value. Secret files are
//!    read here (`file`).
//! 3. Each source gives a `layer`: the accepted values by path, each with its place. Later layers replace values
//!    of earlier ones.
//! 4. The layers together are one document, which is deserialised.
//! 5. `validate` checks the fields against each other; what it finds gets the place of the key it is about. Nothing
//!    is reported about a field whose own value was refused, because only a default stands in for it.
//!
//! While the gateway runs, `reread` reads the secret files again and replaces the secrets that have changed.

mod environment;
mod file;
mod layer;
mod reader;
mod reread;
mod schema;

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;

use super::Settings;
use super::problem::{Finding, Place, Problem, Problems};
use super::validate;
use layer::{KeyPath, Layer};
use reader::Reader;
use schema::Schema;

pub(super) use reread::Origin;
pub use reread::{Reread, SecretFiles};

/// Where settings come from. Not to be printed: the environment holds secrets.
#[derive(Clone, Default)]
pub struct Sources {
    /// The settings file, if there is one.
    pub file: Option<PathBuf>,
    /// Environment variables; those that are not wxgate's are ignored.
    pub env: Vec<(String, String)>,
    /// What takes precedence over both, under the names of variables: the command line.
    pub overrides: Vec<(String, String)>,
}

impl Sources {
    /// The file named, and this process's environment. Bytes that are not UTF-8 become replacement
    /// characters, which loading refuses.
    #[must_use]
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

/// A bug of ours that no finding explains.
const MISFIT: &str = "the settings do not fit together";

/// As much of the settings as could be read.
pub struct Partial {
    /// What could be read, over the defaults. Nothing may run with it if there are problems, and it is not to be
    /// printed: see [`Partial::to_masked_toml`].
    pub settings: Settings,
    /// What is wrong, if anything is.
    pub problems: Option<Problems>,
    /// The same without a file that is not well-formed.
    printable: Option<Settings>,
}

impl Partial {
    /// What could be read as TOML, secrets masked. It omits a file that is not well-formed: if a quote is missing,
    /// a value may belong to another key, and may be a secret.
    #[must_use]
    pub fn to_masked_toml(&self) -> String {
        self.printable.as_ref().unwrap_or(&self.settings).to_masked_toml()
    }

    /// What is wrong with `key` itself.
    #[must_use]
    pub fn problems_of(&self, key: &str) -> Option<Problems> {
        self.problems.as_ref()?.about(key)
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

    /// Loads and checks settings, and returns what could be read even if something is wrong.
    #[must_use]
    pub fn load_partial(sources: &Sources) -> Partial {
        let mut read = Read::of(sources);
        let settings = read.settings();
        let mut settings = read.check(settings, sources);
        let without_file = || Sources {
            file: None,
            ..sources.clone()
        };
        settings.origin = Origin(read.layer);
        Partial {
            settings,
            printable: (!read.well_formed).then(|| Self::load_partial(&without_file()).settings),
            problems: (!read.problems.is_empty()).then(|| Problems::new(read.problems)),
        }
    }
}

/// All sources together.
struct Read {
    layer: Layer,
    /// The paths of values that were refused.
    failed: BTreeSet<KeyPath>,
    problems: Vec<Problem>,
    /// Whether the file could be parsed as a whole; if not, nothing follows from what is missing.
    well_formed: bool,
}

impl Read {
    fn of(sources: &Sources) -> Self {
        let schema = Schema::new();
        let (file, well_formed) = match &sources.file {
            Some(path) => Reader::of_file(&schema, path),
            None => (Reader::new(&schema), true),
        };
        let mut read = Self {
            layer: file.layer,
            failed: file.failed,
            problems: file.problems,
            well_formed,
        };
        for variables in [&sources.env, &sources.overrides] {
            let mut variables = variables.clone();
            variables.sort();
            let above = environment::read(&schema, &variables);
            read.failed.extend(above.failed);
            read.problems.extend(above.problems);
            read.problems.extend(read.layer.lay_over(above.layer, &mut read.failed));
        }
        read
    }

    fn settings(&mut self) -> Settings {
        Settings::deserialize(self.layer.document()).unwrap_or_else(|_| {
            // Each value has been read alone before, so this is a bug of ours; its message could
            // quote a secret.
            self.problems.push(Problem::new(None, "", MISFIT));
            Settings::default()
        })
    }

    /// Checks the fields against each other, and resolves the sections that come in several kinds.
    fn check(&mut self, mut settings: Settings, sources: &Sources) -> Settings {
        if !self.well_formed {
            return settings;
        }
        let (resolved, findings) = validate::check(&settings);
        self.problems
            .extend(cross_problems(findings, sources, &self.layer, &self.failed));
        match resolved {
            Some(resolved) => settings.resolved = resolved,
            // What cannot be resolved must not pass with the defaults of `resolved`.
            None if self.problems.is_empty() => self.problems.push(Problem::new(None, "", MISFIT)),
            None => {}
        }
        settings
    }
}

/// The findings with their places, except those about a value that was refused: only a default stands in for it.
fn cross_problems(
    findings: Vec<Finding>,
    sources: &Sources,
    layer: &Layer,
    failed: &BTreeSet<KeyPath>,
) -> Vec<Problem> {
    let chosen = |path: &KeyPath| !failed.iter().any(|failed| failed.is_related(path));
    let file = sources.file.as_ref().map(|path| Place::File {
        path: path.clone(),
        line: None,
    });
    let problem = |finding: Finding| {
        let paths: Vec<_> = finding.keys.iter().map(|key| KeyPath::from(key.as_str())).collect();
        // If the key itself is missing, what makes it necessary was written somewhere.
        let place = paths.iter().find_map(|path| layer.place_of(path)).cloned();
        let problem = || Problem::new(place.or_else(|| file.clone()), paths[0].to_string(), finding.text);
        paths.iter().all(chosen).then(problem)
    };
    findings.into_iter().filter_map(problem).collect()
}
