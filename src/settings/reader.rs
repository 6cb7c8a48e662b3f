//! Turns what a source says into single values, each checked alone.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::layer::{KeyPath, Layer, Leaf};
use super::problem::{Place, Problem};
use super::schema::{self, Schema, Shape, Target};

/// More than any settings or secret needs, less than what a wrong path (a log, a device) may hold.
const LARGEST_FILE: u64 = 1024 * 1024;

/// A text with values in it.
pub(super) trait Source {
    /// The place of what begins at `offset`.
    fn place(&self, offset: usize) -> Place;

    /// How a key is spelt in such a source.
    fn spell(&self, path: &KeyPath) -> String;

    /// The whole text.
    fn text(&self) -> &str;
}

/// Reads one source; collects its values and what is wrong with them.
pub(super) struct Reader<'s> {
    pub(super) schema: &'s Schema,
    pub(super) layer: Layer,
    pub(super) problems: Vec<Problem>,
    /// The paths of values that were found wrong and dropped.
    pub(super) failed: BTreeSet<KeyPath>,
    /// Whether problems may show values: not where the source is so broken that a value may not be
    /// what the operator meant it to be, but the rest of a line, or of the file, with secrets in it.
    pub(super) shows_values: bool,
}

impl<'s> Reader<'s> {
    pub(super) fn new(schema: &'s Schema) -> Self {
        Self {
            schema,
            layer: Layer::default(),
            problems: Vec::new(),
            failed: BTreeSet::new(),
            shows_values: true,
        }
    }

    /// Reads the keys of a table.
    pub(super) fn table(&mut self, source: &dyn Source, table: &Target<'_>, content: &DeTable<'_>) {
        for (key, value) in content {
            match table.key(key.get_ref()) {
                Some(target) => self.value(source, &target, value),
                None => self.unknown(source, table, key.get_ref(), source.place(key.span().start)),
            }
        }
    }

    /// Reads a value of any shape.
    pub(super) fn value(&mut self, source: &dyn Source, target: &Target<'_>, value: &Spanned<DeValue<'_>>) {
        let place = source.place(value.span().start);
        match (target.shape, value.get_ref()) {
            (Shape::Single | Shape::List, value) if target.in_file => self.secret_file(target, place, &plain(value)),
            (Shape::Section(_) | Shape::Map, DeValue::Table(content)) => self.table(source, target, content),
            (Shape::Records(_) | Shape::List, DeValue::Array(content)) => {
                self.begin_list(target, place);
                for (i, value) in content.iter().enumerate() {
                    self.entry(source, target, i, value);
                }
            }
            (Shape::Single, single) => {
                let written = source.text().get(value.span()).unwrap_or_default();
                self.single(target, place, plain(single), written);
            }
            _ => self.wrong_shape(target, place),
        }
    }

    fn entry(&mut self, source: &dyn Source, list: &Target<'_>, index: usize, value: &Spanned<DeValue<'_>>) {
        let Some(target) = list.index(index) else { return };
        if matches!(target.shape, Shape::Section(_)) {
            // So that the entry exists even where nothing in it is right.
            let place = source.place(value.span().start);
            let value = Value::Table(Table::new());
            self.add(&target, Leaf { value, place });
        }
        self.value(source, &target, value);
    }

    /// Begins a list that replaces what earlier layers have at its path.
    pub(super) fn begin_list(&mut self, target: &Target<'_>, place: Place) {
        let value = Value::Array(Vec::new());
        self.add(target, Leaf { value, place });
    }

    /// Reads a single value; `written` is how the operator wrote it.
    pub(super) fn single(&mut self, target: &Target<'_>, place: Place, value: Value, written: &str) {
        let value = match value {
            Value::String(text) if schema::is_secret(&target.path) => Value::String(trimmed(&text).to_owned()),
            other => other,
        };
        let compound = value.is_table() || value.is_array();
        if !compound && schema::check(&target.path, value.clone()).is_ok() {
            return self.add(target, Leaf { value, place });
        }
        let shown = !compound && self.shows_values && may_be_shown(&target.path, written);
        let subject = if shown {
            format!("{} = {written}", target.path)
        } else {
            target.path.to_string()
        };
        let expected = schema::expectation(&target.path, &value);
        self.fail(&target.path, Problem::new(Some(place), subject, expected));
    }

    /// Reads the file that holds a secret.
    pub(super) fn secret_file(&mut self, target: &Target<'_>, place: Place, file: &Value) {
        let subject = format!("{}_file", target.path);
        let outcome = match file.as_str() {
            Some(file) => secret_from(file),
            None => Err("expected the path of a file, in quotes".to_owned()),
        };
        let wrong = match outcome {
            Ok(content) => {
                let leaf = Leaf::from_file(content.clone(), place.clone());
                if schema::check(&target.path, leaf.value.clone()).is_ok() {
                    return self.add(target, leaf);
                }
                let expected = schema::expectation(&target.path, &Value::String(content));
                format!("in the file: {expected}")
            }
            Err(wrong) => wrong,
        };
        self.fail(&target.path, Problem::new(Some(place), subject, wrong));
    }

    /// Notes that there is something else than the table or list that stands at `target`.
    pub(super) fn wrong_shape(&mut self, target: &Target<'_>, place: Place) {
        let path = &target.path;
        let expected = match target.shape {
            Shape::Section(_) | Shape::Map => "expected a table, `[section]` or `{ key = value }`".to_owned(),
            Shape::Records(_) => format!("expected a list of tables, `[[{path}]]`"),
            Shape::List | Shape::Single => "expected a list such as `[\"…\", \"…\"]`".to_owned(),
        };
        // The value is not shown: `redis = "…"` may well hold the password.
        self.fail(path, Problem::new(Some(place), path.to_string(), expected));
    }

    /// Notes a key that does not exist. Its value is not shown: it may be a secret's, misspelt.
    pub(super) fn unknown(&mut self, source: &dyn Source, table: &Target<'_>, key: &str, place: Place) {
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

    fn add(&mut self, target: &Target<'_>, leaf: Leaf) {
        let place = leaf.place.clone();
        if let Err(earlier) = self.layer.add(target.path.clone(), leaf) {
            let text = format!("given twice, here and at {earlier}");
            self.fail(&target.path, Problem::new(Some(place), target.path.to_string(), text));
        }
    }
}

/// The value without its place; what a list or a table holds does not matter where it is used.
fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            // No setting takes numbers that large; a float is refused by all that take whole ones.
            Err(_) => Value::Float(f64::INFINITY),
        },
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(truth) => Value::Boolean(*truth),
        DeValue::Datetime(time) => Value::Datetime(*time),
        DeValue::Array(_) => Value::Array(Vec::new()),
        DeValue::Table(_) => Value::Table(Table::new()),
    }
}

/// Whether a value may stand in a message: not where secrets are expected, not where it looks like a
/// URL that carries one, and not where it is long or has lines, which no value of ours is or has: it
/// may have swallowed a secret that stands behind it.
fn may_be_shown(path: &KeyPath, written: &str) -> bool {
    const LONGEST: usize = 100;
    let url_with_more = written.contains(['@', '?']);
    let swollen = written.len() > LONGEST || written.contains(char::is_control);
    !url_with_more && !swollen && !schema::is_secret(path)
}

/// The secret in a file, without what editors put around it.
fn secret_from(file: &str) -> Result<String, String> {
    let content = read_text(Path::new(file)).map_err(|error| {
        if looks_like_path(file) {
            return format!("can't read {file:?}: {error}");
        }
        format!("expected the path of a file that holds the secret (not shown, it may be the secret itself): {error}")
    })?;
    let secret = trimmed(&content);
    if secret.is_empty() {
        return Err(format!("{file:?} is empty"));
    }
    Ok(secret.to_owned())
}

/// `secret` without what editors and copying put around it: white space and byte order marks.
fn trimmed(secret: &str) -> &str {
    secret.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
}

/// Whether this is certainly a path, and not a secret written where its path belongs: it says where
/// it starts, ends like a file's name, or leads into a folder that exists.
fn looks_like_path(file: &str) -> bool {
    let path = Path::new(file);
    let rooted = path.is_absolute() || file.starts_with("./") || file.starts_with("../");
    let short_word = |text: &str| text.len() <= 6 && text.bytes().all(|b| b.is_ascii_alphabetic());
    let named = path.extension().and_then(OsStr::to_str).is_some_and(short_word);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    rooted || named || folder.is_some_and(Path::is_dir)
}

/// Reads a text file, up to [`LARGEST_FILE`].
pub(super) fn read_text(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(file)?.take(LARGEST_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}
