//! Splits a source into single values and checks each alone.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::layer::{KeyPath, Layer, Leaf};
use super::schema::{self, Schema, Shape, Target};
use crate::account::APP_SECRET_LEN;
use crate::settings::file;
use crate::settings::problem::{Place, Problem};

/// The prefix of the variables for settings.
pub(super) const PREFIX: &str = "WXGATE__";

/// A text that contains values.
pub(super) enum Source<'t> {
    /// A TOML file, and the offset of each line end.
    File(&'t Path, &'t str, Vec<usize>),
    /// An environment variable: name and value.
    Variable(&'t str, &'t str),
}

impl Source<'_> {
    /// The place of what begins at `offset`.
    pub(super) fn place(&self, offset: usize) -> Place {
        match self {
            Self::File(path, _, line_ends) => Place::File {
                path: (*path).to_owned(),
                line: Some(1 + line_ends.partition_point(|end| *end < offset)),
            },
            Self::Variable(name, _) => Place::Variable(name.escape_debug().to_string()),
        }
    }

    /// How a key is spelt in this kind of source.
    fn spell(&self, path: &KeyPath) -> String {
        match self {
            Self::File(..) => path.to_string(),
            Self::Variable(..) => {
                let keys = path.to_string().replace(['.', '['], "__").replace(']', "");
                format!("{}{}", PREFIX, keys.to_uppercase())
            }
        }
    }
}

/// Reads one source: collects its values and problems.
pub(super) struct Reader<'s> {
    pub(super) schema: &'s Schema,
    pub(super) layer: Layer,
    pub(super) problems: Vec<Problem>,
    /// The paths of refused values.
    pub(super) failed: BTreeSet<KeyPath>,
    /// False if the source as a whole can't be parsed, so that nothing follows from a missing key. Problems then show no
    /// values: one may be the rest of a line, or of the file, with secrets in it.
    pub(super) well_formed: bool,
}

impl<'s> Reader<'s> {
    pub(super) fn new(schema: &'s Schema) -> Self {
        Self {
            schema,
            layer: Layer::default(),
            problems: Vec::new(),
            failed: BTreeSet::new(),
            well_formed: true,
        }
    }

    /// Reads the settings file at `path`.
    pub(super) fn of_file(schema: &'s Schema, path: &Path) -> Self {
        let mut reader = Self::new(schema);
        let bytes = match file::read(path, file::MAX_TEXT_MIB) {
            Ok(bytes) => bytes,
            Err(error) => {
                reader.unreadable(whole_file(path), &error);
                return reader;
            }
        };
        // What is not UTF-8 may be a comment: the address for `wxgate health` is read nevertheless.
        let text = String::from_utf8_lossy(&bytes);
        let line_ends = text.match_indices('\n').map(|(end, _)| end).collect();
        let source = Source::File(path, &text, line_ends);
        let (table, errors) = DeTable::parse_recoverable(&text);
        let broken = errors.iter().map(|error| {
            let place = source.place(error.span().unwrap_or_default().start);
            // Only the message: the error as a whole would quote the line, including secrets.
            Problem::new(Some(place), "", format!("not valid TOML: {}", error.message()))
        });
        reader.problems.extend(broken);
        // Further errors on the same line mostly follow from the first one.
        reader.problems.dedup_by(|later, earlier| later.place == earlier.place);
        reader.well_formed = errors.is_empty();
        reader.table(&source, &schema.root(), table.get_ref());
        if let Err(error) = std::str::from_utf8(&bytes) {
            let mut place = source.place(error.valid_up_to());
            if !reader.well_formed {
                // Any other problem may follow from this one.
                reader.problems.clear();
                place = whole_file(path);
            }
            reader.unreadable(place, &file::NOT_UTF8);
        }
        reader
    }

    fn unreadable(&mut self, place: Place, why: &dyn Display) {
        let text = format!("can't read the settings file: {why}");
        self.problems.push(Problem::new(Some(place), "", text));
        self.well_formed = false;
    }

    /// Merges what `later` has read over what this one has read. A problem with a secret file does not count if
    /// `later` gives the secret, or another file for it.
    pub(super) fn merge(&mut self, later: Self) {
        let is_replaced = |path: &&KeyPath| later.layer.has(path) || later.failed.contains(path);
        let replaced: Vec<_> = self.failed.iter().filter(is_replaced).cloned().collect();
        for path in replaced {
            let file = secret_file_key(&path);
            if self.problems.iter().any(|problem| problem.is_about(&file)) {
                self.problems.retain(|problem| !problem.is_about(&file));
                self.failed.remove(&path);
            }
        }
        self.failed.extend(later.failed);
        self.problems.extend(later.problems);
        self.problems.extend(self.layer.merge(later.layer, &mut self.failed));
    }

    /// Reads the keys of a table.
    fn table(&mut self, source: &Source<'_>, table: &Target<'_>, content: &DeTable<'_>) {
        for (key, value) in content {
            match table.key(key.get_ref()) {
                Some(target) => self.value(source, &target, value),
                None => self.unknown(source, table, key.get_ref(), source.place(key.span().start)),
            }
        }
    }

    /// Reads a value of any shape.
    pub(super) fn value(&mut self, source: &Source<'_>, target: &Target<'_>, value: &Spanned<DeValue<'_>>) {
        let place = source.place(value.span().start);
        match (target.shape, value.get_ref()) {
            (Shape::Single | Shape::List, value) if target.in_file => self.secret_file(target, place, value.as_str()),
            (Shape::Section(_) | Shape::Map, DeValue::Table(content)) => self.table(source, target, content),
            (Shape::Records(_) | Shape::List, DeValue::Array(content)) => {
                self.add(target, Value::Array(Vec::new()), place, None);
                for (i, value) in content.iter().enumerate() {
                    let Some(entry) = target.index(i) else { continue };
                    if matches!(entry.shape, Shape::Section(_)) {
                        // So that the entry exists even if nothing in it is valid.
                        let place = source.place(value.span().start);
                        self.add(&entry, Value::Table(Table::new()), place, None);
                    }
                    self.value(source, &entry, value);
                }
            }
            (Shape::Single, single) => {
                let (Source::File(_, text, _) | Source::Variable(_, text)) = source;
                let written = text.get(value.span()).unwrap_or_default();
                self.single(target, place, plain(single), written);
            }
            _ => self.wrong_shape(target, place),
        }
    }

    /// Reads a single value; `written` is how the operator wrote it.
    pub(super) fn single(&mut self, target: &Target<'_>, place: Place, value: Value, written: &str) {
        let value = match value {
            Value::String(text) if schema::is_secret(&target.path) => Value::String(file::trimmed(&text).to_owned()),
            other => other,
        };
        let compound = value.is_table() || value.is_array();
        if !compound && schema::check(&target.path, &value).is_ok() {
            return self.add(target, value, place, None);
        }
        let shown = !compound && self.well_formed && may_be_shown(&target.path, written);
        let subject = if shown {
            format!("{} = {written}", target.path)
        } else {
            target.path.to_string()
        };
        let expected = schema::expectation(&target.path, &value);
        self.fail(&target.path, Problem::new(Some(place), subject, expected));
    }

    /// Reads a file that contains a secret, or a list of them, one per line.
    pub(super) fn secret_file(&mut self, target: &Target<'_>, place: Place, file: Option<&str>) {
        let Some(file) = file else {
            return self.bad_secret_file(target, place, "expected the path of a file, in quotes".to_owned());
        };
        match file::read_secret(file) {
            Ok(content) if matches!(target.shape, Shape::List) => {
                self.add(target, Value::Array(Vec::new()), place.clone(), Some(file));
                let lines = content.lines().map(str::trim).filter(|line| !line.is_empty());
                for (i, line) in lines.enumerate() {
                    if let Some(target) = target.index(i) {
                        self.add(&target, Value::String(line.to_owned()), place.clone(), None);
                    }
                }
            }
            Ok(content) => {
                let value = Value::String(content);
                if schema::check(&target.path, &value).is_ok() {
                    return self.add(target, value, place, Some(file));
                }
                let expected = schema::expectation(&target.path, &value);
                self.bad_secret_file(target, place, format!("in the file: {expected}"));
            }
            Err(wrong) => self.bad_secret_file(target, place, wrong),
        }
    }

    fn bad_secret_file(&mut self, target: &Target<'_>, place: Place, text: String) {
        let key = secret_file_key(&target.path);
        self.fail(&target.path, Problem::new(Some(place), key, text));
    }

    /// Reports that the value is not a table or list, as `target` requires.
    pub(super) fn wrong_shape(&mut self, target: &Target<'_>, place: Place) {
        let path = &target.path;
        let expected = match target.shape {
            Shape::Section(_) | Shape::Map => "expected a table, `[section]` or `{ key = value }`".to_owned(),
            Shape::Records(_) => format!("expected a list of tables, `[[{path}]]`"),
            Shape::List | Shape::Single => "expected a list such as `[\"…\", \"…\"]`".to_owned(),
        };
        // The value is not shown: `redis = "…"` may hold the password.
        self.fail(path, Problem::new(Some(place), path.to_string(), expected));
    }

    /// Reports an unknown key. Its value is not shown: the key may be a misspelt one for a secret.
    pub(super) fn unknown(&mut self, source: &Source<'_>, table: &Target<'_>, key: &str, place: Place) {
        let meant: Vec<_> = table
            .suggest(self.schema, key)
            .iter()
            .map(|path| source.spell(path))
            .collect();
        let text = if meant.is_empty() {
            "unknown key".to_owned()
        } else {
            format!("unknown key; did you mean {}?", meant.join(" or "))
        };
        self.problems
            .push(Problem::new(Some(place), table.path.key(key).to_string(), text));
    }

    pub(super) fn fail(&mut self, path: &KeyPath, problem: Problem) {
        self.failed.insert(path.clone());
        self.problems.push(problem);
    }

    /// Adds a value, with the secret file that it came from. An empty list starts one that replaces what earlier layers
    /// have at its path.
    pub(super) fn add(&mut self, target: &Target<'_>, value: Value, place: Place, file: Option<&str>) {
        if let Some(earlier) = self.layer.0.get(&target.path) {
            let text = format!("given twice, here and at {}", earlier.place);
            return self.fail(&target.path, Problem::new(Some(place), target.path.to_string(), text));
        }
        let file = file.map(str::to_owned);
        self.layer.0.insert(target.path.clone(), Leaf { value, place, file });
    }
}

/// The value without its place. Lists and tables become empty: their contents do not matter here.
pub(super) fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            // No setting accepts numbers that large; a float is refused wherever an integer is required.
            Err(_) => Value::Float(f64::INFINITY),
        },
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(truth) => Value::Boolean(*truth),
        DeValue::Datetime(time) => Value::Datetime(*time),
        DeValue::Array(_) => Value::Array(Vec::new()),
        DeValue::Table(_) => Value::Table(Table::new()),
    }
}

/// The key that names the file of the secret at `path`.
pub(super) fn secret_file_key(path: &KeyPath) -> String {
    format!("{path}_file")
}

pub(super) fn whole_file(path: &Path) -> Place {
    Place::File {
        path: path.to_owned(),
        line: None,
    }
}

/// Whether a message may show a value: not if secrets are expected there, if it looks like a URL that contains one, if it
/// has as many hex digits as an AppSecret, or if it is long or has several lines. Hardly any valid value does, and it may
/// include a secret that follows it.
fn may_be_shown(path: &KeyPath, written: &str) -> bool {
    const MAX_SHOWN: usize = 100;
    let url_with_more = written.contains(['@', '?']);
    let mut words = written.split(|c: char| !c.is_ascii_hexdigit());
    let app_secret = words.any(|digits| digits.len() >= APP_SECRET_LEN);
    let too_long = written.len() > MAX_SHOWN || written.contains(char::is_control);
    !url_with_more && !app_secret && !too_long && !schema::is_secret(path)
}
