//! Reading the secret files again, while the gateway runs.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::layer::{KeyPath, Layer, Leaf};
use super::reader::{Reader, secret_file_key};
use super::schema::{Schema, Shape, Target};
use crate::settings::problem::Problem;
use crate::settings::warnings::is_app_secret;
use crate::settings::{Settings, validate};

/// The contents of all secret files at one moment. Equal to another if nothing has changed in between.
#[derive(PartialEq)]
pub struct SecretFiles(Vec<(KeyPath, Result<Layer, Problem>)>);

/// The path of a secret, and its new value.
type Changed<'a> = (&'a KeyPath, &'a Layer);

/// The result of reading the secret files again.
#[derive(Default)]
pub struct Reread {
    /// The settings with the changed secrets, if any.
    pub settings: Option<Settings>,
    /// The keys of those secrets.
    pub replaced: Vec<String>,
    /// The keys of secrets that have changed, but are used only after a restart.
    pub need_restart: Vec<String>,
    /// Problems with files; the secrets from them stay as they were.
    pub problems: Vec<Problem>,
}

impl Settings {
    /// Whether any secret was read from a file.
    pub fn has_secret_files(&self) -> bool {
        self.origin.secret_files().next().is_some()
    }

    /// Reads the secret files.
    pub fn read_secret_files(&self) -> SecretFiles {
        let schema = Schema::new();
        let files = self.origin.secret_files();
        let read = files.map(|(path, file, leaf)| (path.clone(), read(&schema, path, file, leaf)));
        SecretFiles(read.collect())
    }

    /// These settings with the secrets from `files`. Invalid ones are left as they are.
    pub fn with_secrets_of(&self, files: &SecretFiles) -> Reread {
        let mut reread = Reread::default();
        let mut changed = Vec::new();
        for (path, content) in &files.0 {
            match content {
                Err(problem) => reread.problems.push(problem.clone()),
                Ok(value) if self.origin.includes(path, value) => {}
                Ok(_) if !is_replaceable(path) => reread.need_restart.push(path.to_string()),
                Ok(value) => changed.push((path, value)),
            }
        }
        self.replace(&changed, &mut reread);
        reread
    }

    /// Adds `changed` to the result. All are tried at once, since each attempt checks all settings; if they are refused,
    /// each half is tried by itself, so that one broken file does not hold back the others.
    fn replace(&self, changed: &[Changed<'_>], reread: &mut Reread) {
        let Some(((path, _), others)) = changed.split_first() else {
            return;
        };
        let settings = reread.settings.as_ref().unwrap_or(self);
        match settings.with_secrets(changed) {
            Ok(settings) => {
                reread.settings = Some(settings);
                reread.replaced.extend(changed.iter().map(|(path, _)| path.to_string()));
            }
            Err(misfit) if others.is_empty() => {
                let place = self.origin.place_of(path).cloned();
                let text = format!("in the file: {misfit}");
                reread.problems.push(Problem::new(place, secret_file_key(path), text));
            }
            Err(_) => {
                let (first, second) = changed.split_at(changed.len() / 2);
                self.replace(first, reread);
                self.replace(second, reread);
            }
        }
    }

    /// These settings with the changed secrets, or what is wrong with one of them.
    fn with_secrets(&self, changed: &[Changed<'_>]) -> Result<Self, String> {
        let mut origin = self.origin.clone();
        let values = changed.iter().flat_map(|(_, value)| value.0.clone()).collect();
        origin.merge(Layer(values), &mut BTreeSet::new());
        // The error could quote a secret.
        let mut settings = Self::deserialize(origin.document()).map_err(|_| "not a valid secret".to_owned())?;
        let (resolved, problems) = validate::check(&settings);
        let is_changed = |key: KeyPath| changed.iter().any(|(path, _)| key.is_related(path));
        let about = |keys: &[String]| keys.iter().any(|key| is_changed(KeyPath::from(key.as_str())));
        // Other problems are about other files, which are not applied here.
        if let Some(problem) = problems.into_iter().find(|problem| about(&problem.keys)) {
            return Err(problem.text);
        }
        let mut accounts = self.accounts.iter().zip(&settings.accounts);
        // An AppSecret that was plausible before may come from a half-written file.
        if accounts.any(|(before, now)| is_app_secret(&before.app_secret) && !is_app_secret(&now.app_secret)) {
            return Err("not 32 letters and digits, as AppSecrets are".to_owned());
        }
        settings.resolved = resolved.ok_or_else(|| super::MISFIT.to_owned())?;
        settings.origin = origin;
        Ok(settings)
    }
}

/// Reads one secret, or a list of them, again; `before` is what was read first.
fn read(schema: &Schema, path: &KeyPath, file: &str, before: &Leaf) -> Result<Layer, Problem> {
    let mut reader = Reader::new(schema);
    let target = Target {
        path: path.clone(),
        shape: Shape::of(&before.value),
        in_file: true,
    };
    reader.secret_file(&target, before.place.clone(), Some(file));
    reader.problems.pop().map_or(Ok(reader.layer), Err)
}

/// Whether the secret at `path` can be replaced while the gateway runs.
fn is_replaceable(path: &KeyPath) -> bool {
    let key = path.to_string();
    let of_client = key.starts_with("internal.clients[") && key.ends_with("].secret");
    let alone = matches!(&*key, "internal.operator_key" | "auth.api_keys" | "auth.jwt_key");
    alone || of_client || key.ends_with("].app_secret")
}
