//! Reading the secret files again, while the gateway runs.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use toml::Value;

use super::layer::{KeyPath, Layer};
use super::reader::Reader;
use super::schema::{Schema, Shape, Target};
use crate::settings::problem::{Place, Problem};
use crate::settings::warnings::is_app_secret;
use crate::settings::{Settings, validate};

/// The values that the settings were made from, so that those from secret files can be replaced.
#[derive(Clone, Default)]
pub(in crate::settings) struct Origin(pub(super) Layer);

/// Omits everything: secrets are here unmasked.
impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Origin")
    }
}

/// What all secret files held at one moment. Equal to another if nothing has changed in between.
#[derive(PartialEq)]
pub struct SecretFiles(Vec<(KeyPath, Result<Layer, Problem>)>);

/// What follows from secret files that were read again.
#[derive(Default)]
pub struct Reread {
    /// The settings with the secrets that have changed, if any has.
    pub settings: Option<Settings>,
    /// The keys of those secrets.
    pub replaced: Vec<String>,
    /// The keys of secrets that have changed, but are used only after a restart.
    pub need_restart: Vec<String>,
    /// What is wrong with files; the secrets from them are the same as before.
    pub problems: Vec<Problem>,
}

impl Settings {
    /// Whether any secret was read from a file.
    #[must_use]
    pub fn has_secret_files(&self) -> bool {
        self.origin.0.secret_files().next().is_some()
    }

    /// Reads the secret files.
    #[must_use]
    pub fn read_secret_files(&self) -> SecretFiles {
        let schema = Schema::new();
        let files = self.origin.0.secret_files();
        let read = files.map(|(path, file, leaf)| {
            let shape = if leaf.value.is_array() {
                Shape::List
            } else {
                Shape::Single
            };
            (path.clone(), read(&schema, path, shape, file, &leaf.place))
        });
        SecretFiles(read.collect())
    }

    /// These settings with the secrets that `files` hold. What does not fit is left as it is.
    #[must_use]
    pub fn with_secrets_of(&self, files: &SecretFiles) -> Reread {
        let mut reread = Reread::default();
        for (path, content) in &files.0 {
            let settings = reread.settings.as_ref().unwrap_or(self);
            match content {
                Err(problem) => reread.problems.push(problem.clone()),
                Ok(value) if settings.origin.0.includes(path, value) => {}
                Ok(_) if !is_replaceable(path) => reread.need_restart.push(path.to_string()),
                Ok(value) => match settings.with_secret(path, value) {
                    Ok(settings) => {
                        reread.settings = Some(settings);
                        reread.replaced.push(path.to_string());
                    }
                    Err(problem) => reread.problems.push(problem),
                },
            }
        }
        reread
    }

    /// These settings with `value`, which holds the secret at `path`.
    fn with_secret(&self, path: &KeyPath, value: &Layer) -> Result<Self, Problem> {
        let mut origin = self.origin.clone();
        origin.0.lay_over(value.clone(), &mut BTreeSet::new());
        let misfit = |text: String| {
            let place = origin.0.place_of(path).cloned();
            Problem::new(place, format!("{path}_file"), format!("in the file: {text}"))
        };
        // The error could quote a secret.
        let mut settings =
            Self::deserialize(origin.0.document()).map_err(|_| misfit("not a valid secret".to_owned()))?;
        let (resolved, findings) = validate::check(&settings);
        let about = |keys: &[String]| keys.iter().any(|key| KeyPath::from(key.as_str()).is_related(path));
        // Other findings are about other files, which are not taken over here.
        if let Some(finding) = findings.into_iter().find(|finding| about(&finding.keys)) {
            return Err(misfit(finding.text));
        }
        if self.loses_app_secret(&settings) {
            return Err(misfit("not 32 letters and digits, as AppSecrets are".to_owned()));
        }
        settings.resolved = resolved.ok_or_else(|| misfit(super::MISFIT.to_owned()))?;
        settings.origin = origin;
        Ok(settings)
    }

    /// Whether one of our AppSecrets would become one that can't be right, such as a file that is half-written.
    fn loses_app_secret(&self, other: &Self) -> bool {
        let mut accounts = self.accounts.iter().zip(&other.accounts);
        accounts.any(|(ours, others)| is_app_secret(&ours.app_secret) && !is_app_secret(&others.app_secret))
    }
}

/// Reads one secret, or a list of them.
fn read(schema: &Schema, path: &KeyPath, shape: Shape<'_>, file: &str, place: &Place) -> Result<Layer, Problem> {
    let mut reader = Reader::new(schema);
    let target = Target {
        path: path.clone(),
        shape,
        in_file: true,
    };
    reader.secret_file(&target, place.clone(), &Value::String(file.to_owned()));
    match reader.problems.pop() {
        None => Ok(reader.layer),
        Some(problem) => Err(problem),
    }
}

/// Whether the secret at `path` can be replaced while the gateway runs.
fn is_replaceable(path: &KeyPath) -> bool {
    let key = path.to_string();
    let of_client = key.starts_with("internal.clients[") && key.ends_with("].secret");
    let alone = matches!(&*key, "internal.operator_key" | "auth.api_keys" | "auth.jwt_key");
    alone || of_client || key.ends_with("].app_secret")
}
