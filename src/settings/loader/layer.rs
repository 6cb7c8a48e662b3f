//! Settings as single values, each with the place where it was written: those of one source, and those of several together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use toml::{Table, Value};

use crate::settings::problem::{Place, Problem};

/// One step from a table or list to one of its entries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Key(String),
    Index(usize),
}

/// The path of a value, such as `accounts[0].app_id`. What is below a path sorts right after it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct KeyPath(Vec<Segment>);

impl KeyPath {
    pub(super) fn key(&self, key: &str) -> Self {
        self.segment(Segment::Key(key.to_owned()))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        self.segment(Segment::Index(index))
    }

    fn segment(&self, segment: Segment) -> Self {
        Self(self.0.iter().cloned().chain([segment]).collect())
    }

    fn starts_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// Whether one of the two is below the other, or they are equal.
    pub(super) fn is_related(&self, other: &Self) -> bool {
        self.starts_with(other) || other.starts_with(self)
    }

    /// A document with only `value`, at this path.
    pub(super) fn document(&self, value: &Value) -> Value {
        assemble(&[(self.0.as_slice(), value)])
    }
}

/// Parses a path as displayed.
impl From<&str> for KeyPath {
    fn from(text: &str) -> Self {
        text.split('.').fold(Self::default(), |path, segment| {
            let entry = segment.strip_suffix(']').and_then(|segment| segment.split_once('['));
            match entry.and_then(|(list, index)| Some((list, index.parse().ok()?))) {
                Some((list, index)) => path.key(list).index(index),
                None => path.key(segment),
            }
        })
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) => {
                    f.write_str(if i == 0 { "" } else { "." })?;
                    // A quoted key may contain anything, but a problem is one line.
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

/// A value and where it was written. A list, or an entry of a list, that was written as a whole has an empty list or
/// table at its path; its entries follow as separate leaves.
#[derive(Clone, PartialEq)]
pub(super) struct Leaf {
    pub(super) value: Value,
    pub(super) place: Place,
    /// The secret file that this came from. A list from a secret file is replaced as a whole by a later layer.
    pub(super) file: Option<String>,
}

/// The values of one source, or of several together. Secrets are unmasked here, so neither this nor a leaf can be printed.
#[derive(Clone, Default, PartialEq)]
pub(in crate::settings) struct Layer(pub(super) BTreeMap<KeyPath, Leaf>);

impl Layer {
    /// Merges `later` over this layer. `failed` holds the paths of refused values: they are missing here, which does not
    /// count as a gap in a list.
    pub(super) fn merge(&mut self, later: Self, failed: &mut BTreeSet<KeyPath>) -> Vec<Problem> {
        let from_files = self.secret_files().map(|(path, ..)| path.clone());
        let replaced: Vec<_> = from_files.filter(|path| later.has(path)).collect();
        for path in replaced {
            self.remove(&path);
        }
        let mut problems = Vec::new();
        for (path, leaf) in later.0 {
            if let Some(before) = self.gap_before(&path, failed) {
                let text =
                    format!("there is no {before} before it: entries of a list are numbered from 0, without gaps");
                problems.push(Problem::new(Some(leaf.place), path.to_string(), text));
                failed.insert(path);
                continue;
            }
            self.remove(&path);
            self.0.insert(path, leaf);
        }
        problems
    }

    /// Removes what is at or below `path`.
    fn remove(&mut self, path: &KeyPath) {
        let old: Vec<_> = self.under(path).map(|(old, _)| old.clone()).collect();
        for path in old {
            self.0.remove(&path);
        }
    }

    /// The missing entry before one on the way to `path`.
    fn gap_before(&self, path: &KeyPath, failed: &BTreeSet<KeyPath>) -> Option<KeyPath> {
        let prefixes = (1..=path.0.len()).map(|len| &path.0[..len]);
        prefixes
            .filter_map(|prefix| match prefix.split_last()? {
                (Segment::Index(index), list) if *index > 0 => Some(KeyPath(list.to_vec()).index(index - 1)),
                _ => None,
            })
            .find(|before| {
                let was_refused = failed.iter().any(|path| path.starts_with(before));
                !self.has(before) && !was_refused
            })
    }

    /// Whether something is at or below `path`.
    pub(super) fn has(&self, path: &KeyPath) -> bool {
        self.under(path).next().is_some()
    }

    /// What is at or below `path`, in order.
    fn under<'a>(&'a self, path: &'a KeyPath) -> impl Iterator<Item = (&'a KeyPath, &'a Leaf)> {
        self.0.range(path.clone()..).take_while(|(at, _)| at.starts_with(path))
    }

    /// Where the value at `path` was written, or else the nearest one.
    pub(super) fn place_of<'a>(&'a self, path: &'a KeyPath) -> Option<&'a Place> {
        let inside = self.under(path).next().map(|(_, leaf)| leaf);
        let mut ancestors = (0..path.0.len()).rev().map(|len| KeyPath(path.0[..len].to_vec()));
        let above = || ancestors.find_map(|path| self.0.get(&path));
        inside.or_else(above).map(|leaf| &leaf.place)
    }

    /// Whether this layer has exactly what `other` has at and below `path`.
    pub(super) fn includes(&self, path: &KeyPath, other: &Self) -> bool {
        self.under(path).eq(other.under(path))
    }

    /// What was read from secret files, with the files' names.
    pub(super) fn secret_files(&self) -> impl Iterator<Item = (&KeyPath, &str, &Leaf)> {
        self.0
            .iter()
            .filter_map(|(path, leaf)| Some((path, leaf.file.as_deref()?, leaf)))
    }

    /// The whole layer as one document.
    pub(super) fn document(&self) -> Value {
        let leaves: Vec<_> = self
            .0
            .iter()
            .map(|(path, leaf)| (path.0.as_slice(), &leaf.value))
            .collect();
        assemble(&leaves)
    }
}

/// Assembles what is below one path; the leaves' paths are relative to it, and sorted.
fn assemble(leaves: &[(&[Segment], &Value)]) -> Value {
    let own = leaves.first().filter(|(path, _)| path.is_empty());
    let inner = &leaves[usize::from(own.is_some())..];
    let mut whole = match (own, inner.first()) {
        (Some((_, value)), _) => (*value).clone(),
        (None, Some(([Segment::Index(_), ..], _))) => Value::Array(Vec::new()),
        _ => Value::Table(Table::new()),
    };
    for group in inner.chunk_by(|(a, _), (b, _)| a.first() == b.first()) {
        let below: Vec<_> = group.iter().map(|(path, value)| (&path[1..], *value)).collect();
        match (&mut whole, group[0].0.first()) {
            (Value::Table(table), Some(Segment::Key(key))) => {
                table.insert(key.clone(), assemble(&below));
            }
            // If an entry was refused, the later ones move up.
            (Value::Array(list), Some(Segment::Index(_))) => list.push(assemble(&below)),
            _ => {}
        }
    }
    whole
}
