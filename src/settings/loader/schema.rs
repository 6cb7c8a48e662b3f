//! Which keys exist and what they take, derived from [`Settings`] itself: the keys by serialising the defaults, the
//! values by deserialising them. So there is no list of fields to keep in sync.

use serde::Deserialize;
use toml::{Table, Value};

use super::layer::KeyPath;
use crate::secret;
use crate::settings::{Account, Client, Settings};

/// A table with case-insensitive keys.
const HEADERS: &str = "image_store.http.headers";

/// What a key takes.
#[derive(Clone, Copy)]
pub(super) enum Shape<'s> {
    /// A table with keys defined by wxgate.
    Section(&'s Table),
    /// A table with keys chosen by the operator.
    Map,
    /// A list of tables.
    Records(&'s Table),
    /// A list of single values.
    List,
    /// A single value.
    Single,
}

impl<'s> Shape<'s> {
    pub(super) fn of(sample: &'s Value) -> Self {
        match sample {
            Value::Table(table) if table.is_empty() => Self::Map,
            Value::Table(table) => Self::Section(table),
            Value::Array(list) => match list.first() {
                Some(Value::Table(table)) => Self::Records(table),
                _ => Self::List,
            },
            _ => Self::Single,
        }
    }
}

/// A place in the settings that takes a value.
#[derive(Clone)]
pub(super) struct Target<'s> {
    pub(super) path: KeyPath,
    pub(super) shape: Shape<'s>,
    /// Whether the key was `x_file`: the value is the path of a file that contains the secret `x`.
    pub(super) in_file: bool,
}

impl Target<'_> {
    /// The target for `key` within this one.
    pub(super) fn key(&self, key: &str) -> Option<Self> {
        let lower = key.to_lowercase();
        let key = if self.path == KeyPath::from(HEADERS) {
            &lower
        } else {
            key
        };
        let target = |key: &str, in_file| {
            let shape = match self.shape {
                Shape::Section(table) => Shape::of(table.get(key)?),
                Shape::Map => Shape::Single,
                Shape::Records(_) | Shape::List | Shape::Single => return None,
            };
            let path = self.path.key(key);
            Some(Self { path, shape, in_file })
        };
        let secret = key.strip_suffix("_file").and_then(|secret| target(secret, true));
        secret
            .filter(|secret| is_secret(&secret.path))
            .or_else(|| target(key, false))
    }

    /// The target for entry `index` of this list.
    pub(super) fn index(&self, index: usize) -> Option<Self> {
        let shape = match self.shape {
            Shape::Records(table) => Shape::Section(table),
            Shape::List => Shape::Single,
            Shape::Section(_) | Shape::Map | Shape::Single => return None,
        };
        Some(Self {
            path: self.path.index(index),
            shape,
            in_file: false,
        })
    }

    /// The keys probably meant by `key`, which is unknown here: a similar one, else those that end with it, else the same
    /// one in other sections.
    pub(super) fn suggest(&self, schema: &Schema, key: &str) -> Vec<KeyPath> {
        // The time it takes grows with the key's length.
        const MAX_KEY: usize = 64;
        let section = match self.shape {
            Shape::Section(section) if key.len() <= MAX_KEY => section,
            _ => return Vec::new(),
        };
        let secrets = section.keys().filter(|key| is_secret(&self.path.key(key)));
        let files = secrets.map(|key| format!("{key}_file"));
        let given = key.to_lowercase().replace('-', "_");
        let near = (section.keys().cloned().chain(files))
            .map(|known| (strsim::damerau_levenshtein(&known, &given), known))
            .filter(|(distance, known)| *distance <= (known.len() / 3).max(1))
            .min();
        if let Some((_, known)) = near {
            return vec![self.path.key(&known)];
        }
        let ending = format!("_{given}");
        let longer = section.keys().filter(|known| known.ends_with(&ending));
        let longer: Vec<_> = longer.map(|known| self.path.key(known)).collect();
        if longer.is_empty() {
            everywhere(&given, &schema.sample, &KeyPath::default())
        } else {
            longer
        }
    }
}

/// The keys of [`Settings`].
pub(super) struct Schema {
    /// Serialised settings, with one entry in each list of tables.
    sample: Table,
}

impl Schema {
    pub(super) fn new() -> Self {
        let mut settings = Settings::default();
        settings.accounts.push(Account::default());
        settings.internal.clients.push(Client::default());
        let sample = Table::try_from(settings).unwrap_or_default();
        Self { sample }
    }

    pub(super) fn root(&self) -> Target<'_> {
        Target {
            path: KeyPath::default(),
            shape: Shape::Section(&self.sample),
            in_file: false,
        }
    }
}

/// The paths of every `key` in and below `section`.
fn everywhere(key: &str, section: &Table, path: &KeyPath) -> Vec<KeyPath> {
    let mut found: Vec<_> = section.get(key).map(|_| path.key(key)).into_iter().collect();
    for (name, value) in section {
        let path = path.key(name);
        match Shape::of(value) {
            Shape::Section(inner) => found.extend(everywhere(key, inner, &path)),
            Shape::Records(entry) => found.extend(everywhere(key, entry, &path.index(0))),
            Shape::Map | Shape::List | Shape::Single => {}
        }
    }
    found
}

/// Whether settings with only `value`, at `path`, are valid; the error is serde's and may quote the value.
pub(super) fn check(path: &KeyPath, value: &Value) -> Result<(), toml::de::Error> {
    Settings::deserialize(path.document(value)).map(|_| ())
}

/// Whether the key at `path` takes a secret, or a list of them: only secrets reject other types with this message.
pub(super) fn is_secret(path: &KeyPath) -> bool {
    let wrong = Value::Boolean(true);
    [wrong.clone(), Value::Array(vec![wrong])]
        .into_iter()
        .any(|value| check(path, &value).is_err_and(|error| error.message() == secret::EXPECTED))
}

/// What the single value at `path` should be, without quoting `value`.
pub(super) fn expectation(path: &KeyPath, value: &Value) -> String {
    // Most types are written as text, and describe best what they expect when they are given text.
    let (text, text_fits) = match value {
        Value::String(text) => (text.clone(), "another string"),
        Value::Table(_) | Value::Array(_) => (String::new(), "a single value"),
        // toml represents an invalid date as an empty one, and panics if that is serialised.
        Value::Datetime(_) => ("a date".to_owned(), "a string, in quotes"),
        other => (other.to_string(), "a string, in quotes"),
    };
    let message = match check(path, &Value::String(text)) {
        Ok(()) => return format!("expected {text_fits}"),
        Err(error) => error.message().to_owned(),
    };
    // Ours begin with "expected"; serde's have it at the end, after the value.
    let expected = match message.rsplit_once(", expected ") {
        Some((_, expected)) => expected.replace('`', "\""),
        None => message.strip_prefix("expected ").unwrap_or("another value").to_owned(),
    };
    let expected = match expected.as_str() {
        "u32" => "a whole number from 0 to 4294967295",
        "usize" => "a whole number, 0 or more",
        "a boolean" => "true or false",
        other => other,
    };
    format!("expected {expected}")
}
