//! Loading: built-in defaults, then the file, then the environment, then what a command insists on.
//!
//! Every problem is told at once, with its place and without any secret; the `config` crate stops at
//! the first one and knows no lines. So each source is taken apart into single values, and each value
//! is tried alone: on settings that hold nothing else, serde can only complain about that value. The
//! ones that pass are put together, later sources over earlier ones, and read for real; then the
//! fields are checked against each other.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;

use super::layer::{KeyPath, Layer};
use super::problem::{Place, Problem, Problems};
use super::reader::Reader;
use super::schema::Schema;
use super::validate::Finding;
use super::{Settings, environment, file, validate};

/// Where settings come from. Not to be printed: the environment holds secrets.
#[derive(Clone, Default)]
pub struct Sources {
    /// The settings file, if there is one.
    pub file: Option<PathBuf>,
    /// Environment variables; those that are not wxgate's are passed over.
    pub env: Vec<(String, String)>,
    /// What goes before both, under the names of variables: a command's own wants.
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

/// A mistake of ours that no finding tells.
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
    /// What could be read as TOML, secrets masked. Nothing of a file that is not well-formed is in it: where a
    /// quote is missing, a value may be something else's, a secret's too.
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

    /// Loads and checks settings, and answers what could be read even if something is wrong.
    #[must_use]
    pub fn load_partial(sources: &Sources) -> Partial {
        let schema = Schema::new();
        let (file, whole) = match &sources.file {
            Some(path) => file::read(&schema, path),
            None => (Reader::new(&schema), true),
        };
        let mut layer = file.layer;
        let (mut failed, mut problems) = (BTreeSet::from_iter(file.failed), file.problems);
        for variables in [&sources.env, &sources.overrides] {
            let mut variables = variables.clone();
            variables.sort();
            let above = environment::read(&schema, &variables);
            failed.extend(above.failed);
            problems.extend(above.problems);
            problems.extend(layer.lay_over(above.layer, &mut failed));
        }

        let mut settings = Self::deserialize(layer.document()).unwrap_or_else(|_| {
            // Each value has been read alone before, so this is a mistake of ours; its message could
            // quote a secret.
            problems.push(Problem::new(None, "", MISFIT));
            Self::default()
        });
        if whole {
            let (resolved, findings) = validate::check(&settings);
            problems.extend(cross_problems(findings, sources, &layer, &failed));
            match resolved {
                Some(resolved) => settings.resolved = resolved,
                // What cannot be resolved must not pass with the defaults of `resolved`.
                None if problems.is_empty() => problems.push(Problem::new(None, "", MISFIT)),
                None => {}
            }
        }
        let without_file = || Sources {
            file: None,
            ..sources.clone()
        };
        Partial {
            settings,
            problems: (!problems.is_empty()).then(|| Problems::new(problems)),
            printable: (!whole).then(|| Self::load_partial(&without_file()).settings),
        }
    }

    /// The settings as TOML, in the order of the documentation, secrets masked.
    ///
    /// # Panics
    ///
    /// Where `image_store.local.directory` is not UTF-8, which it always is in loaded settings.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "every other field is text, a number, a boolean, or lists and tables of them"
    )]
    pub fn to_masked_toml(&self) -> String {
        toml::to_string(self).expect("settings can be written as TOML")
    }
}

/// What is wrong between fields, except where one of them has been found wrong already: what stands
/// in for it is a default that nobody chose.
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
    findings
        .into_iter()
        .filter(|finding| finding.paths.iter().all(chosen))
        .map(|finding| {
            // Where the key itself is missing, what makes it necessary was written somewhere.
            let place = finding.paths.iter().find_map(|path| layer.place_of(path)).cloned();
            Problem::new(place.or_else(|| file.clone()), finding.subject(), finding.text)
        })
        .collect()
}
