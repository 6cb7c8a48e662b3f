//! The settings file.

use std::path::Path;

use toml::de::DeTable;

use super::path::KeyPath;
use super::reader::{Reader, Source};
use super::schema::Schema;
use super::secret_file::read_text;
use crate::settings::problem::{Place, Problem};

/// The text of a TOML file.
struct TomlFile<'t> {
    path: &'t Path,
    text: &'t str,
    /// Where each line ends.
    line_ends: Vec<usize>,
}

impl<'t> TomlFile<'t> {
    fn new(path: &'t Path, text: &'t str) -> Self {
        let line_ends = text.match_indices('\n').map(|(end, _)| end).collect();
        Self { path, text, line_ends }
    }
}

impl Source for TomlFile<'_> {
    fn place(&self, offset: usize) -> Place {
        Place::File {
            path: self.path.to_owned(),
            line: Some(1 + self.line_ends.partition_point(|end| *end < offset)),
        }
    }

    fn spell(&self, path: &KeyPath) -> String {
        path.to_string()
    }

    fn text(&self) -> &str {
        self.text
    }
}

/// Reads the file at `path`. The second value is false if it is not well-formed, so that nothing
/// follows from what is missing.
pub(super) fn read<'s>(schema: &'s Schema, path: &Path) -> (Reader<'s>, bool) {
    let mut reader = Reader::new(schema);
    let text = match read_text(path) {
        Ok(text) => text,
        Err(error) => {
            let place = Place::File {
                path: path.to_owned(),
                line: None,
            };
            reader.problems.push(Problem::new(
                Some(place),
                "",
                format!("can't read the settings file: {error}"),
            ));
            return (reader, false);
        }
    };
    let file = TomlFile::new(path, &text);
    let (table, errors) = DeTable::parse_recoverable(&text);
    let mut broken: Vec<_> = errors
        .iter()
        // The message alone: the error as a whole would quote the line, secrets and all.
        .map(|error| (file.place(error.span().unwrap_or_default().start), error.message()))
        .collect();
    // Further errors on the same line mostly follow from the first.
    broken.dedup_by(|(place, _), (earlier, _)| place == earlier);
    for (place, message) in broken {
        let text = format!("not valid TOML: {message}");
        reader.problems.push(Problem::new(Some(place), "", text));
    }
    reader.shows_values = errors.is_empty();
    reader.table(&file, &schema.root(), table.get_ref());
    (reader, errors.is_empty())
}
