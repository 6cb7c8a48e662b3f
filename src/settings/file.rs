//! The settings file.

use std::path;

use toml::de::DeTable;

use super::layer::Path;
use super::problem::{Place, Problem};
use super::reader::{Reader, Source, read_text};
use super::schema::Schema;

/// The text of a TOML file.
struct TomlFile<'t> {
    path: &'t path::Path,
    text: &'t str,
}

impl Source for TomlFile<'_> {
    fn place(&self, offset: usize) -> Place {
        Place::File {
            path: self.path.to_owned(),
            line: Some(1 + self.text.bytes().take(offset).filter(|b| *b == b'\n').count()),
        }
    }

    fn spell(&self, path: &Path) -> String {
        path.to_string()
    }

    fn text(&self) -> &str {
        self.text
    }
}

/// Reads the file at `path`. The second answer is false where parts of it could not be read at all,
/// so that nothing may be concluded from what is missing.
pub(super) fn read<'s>(schema: &'s Schema, path: &path::Path) -> (Reader<'s>, bool) {
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
    let file = TomlFile { path, text: &text };
    let (table, errors) = DeTable::parse_recoverable(&text);
    for error in &errors {
        // The message alone: the error as a whole would quote the line, secrets and all.
        let place = file.place(error.span().unwrap_or_default().start);
        reader.problems.push(Problem::new(
            Some(place),
            "",
            format!("not valid TOML: {}", error.message()),
        ));
    }
    reader.table(&file, &schema.root(), table.get_ref());
    (reader, errors.is_empty())
}
