//! The environment: `WXGATE__SERVER__LISTEN` is `server.listen`, `WXGATE__ACCOUNTS__0__APP_ID` is
//! `accounts[0].app_id`.

use toml::Value;
use toml::de::DeValue;

use super::reader::{PREFIX, Reader, Source, plain};
use super::schema::{self, Schema, Shape, Target};
use crate::settings::problem::Problem;

/// Reads wxgate's variables. Kubernetes adds `WXGATE_PORT` and the like for a service of that name, so the names of
/// settings have two underscores, except for the three of the first account.
pub(super) fn read<'s>(schema: &'s Schema, variables: &[(String, String)]) -> Reader<'s> {
    let mut reader = Reader::new(schema);
    let mut variables = variables.to_vec();
    variables.sort();
    for (name, text) in &variables {
        let keys = match name.as_str() {
            "WXGATE_APP_ID" => "ACCOUNTS__0__APP_ID",
            "WXGATE_APP_SECRET" => "ACCOUNTS__0__APP_SECRET",
            "WXGATE_APP_SECRET_FILE" => "ACCOUNTS__0__APP_SECRET_FILE",
            other => {
                let Some(keys) = other.strip_prefix(PREFIX) else {
                    let place = Source::Variable(name, text).place(0);
                    let problem = meant(schema, name).map(|problem| Problem::new(Some(place), "", problem));
                    reader.problems.extend(problem);
                    continue;
                };
                keys
            }
        };
        let variable = Source::Variable(name, text);
        if let Some(target) = find(&mut reader, &variable, keys) {
            read_variable(&mut reader, &variable, text, &target);
        }
    }
    reader
}

/// What is wrong with `WXGATE_SERVER__LISTEN`, which would have no effect.
fn meant(schema: &Schema, name: &str) -> Option<String> {
    let keys = name.strip_prefix("WXGATE_")?;
    let (section, _) = keys.split_once("__")?;
    schema.root().key(&section.to_lowercase())?;
    let keys = keys.escape_debug();
    Some(format!(
        "names of settings begin with {PREFIX}; did you mean {PREFIX}{keys}?"
    ))
}

fn find<'s>(reader: &mut Reader<'s>, variable: &Source<'_>, keys: &str) -> Option<Target<'s>> {
    let mut target = reader.schema.root();
    for key in keys.split("__") {
        let lower = key.to_lowercase();
        let next = match target.shape {
            Shape::Records(_) | Shape::List => key.parse().ok().and_then(|index| target.index(index)),
            // The names of form fields are case-sensitive.
            Shape::Map => match key.strip_suffix("_FILE") {
                Some(name) => target.key(&format!("{name}_file")),
                None => target.key(key),
            },
            Shape::Section(_) | Shape::Single => target.key(&lower),
        };
        let Some(next) = next else {
            reader.unknown(variable, &target, &lower, variable.place(0));
            return None;
        };
        target = next;
    }
    Some(target)
}

/// Reads a variable as its key requires: as text if that is valid (so that the secret 00123 stays 00123), else as a TOML
/// value; lists are separated by commas.
fn read_variable(reader: &mut Reader<'_>, variable: &Source<'_>, text: &str, target: &Target<'_>) {
    let place = variable.place(0);
    if text.contains(char::REPLACEMENT_CHARACTER) {
        let problem = Problem::new(Some(place), target.path.to_string(), "expected UTF-8");
        return reader.fail(&target.path, problem);
    }
    if target.in_file {
        // Compose passes an unset variable as an empty one; no file has that name.
        if text.is_empty() {
            return;
        }
        return reader.secret_file(target, place, Some(text));
    }
    match target.shape {
        Shape::Single => reader.single(target, place, single(target, text), &format!("{text:?}")),
        Shape::List if !text.trim_start().starts_with('[') => {
            reader.add(target, Value::Array(Vec::new()), place.clone(), None);
            let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
            for (i, entry) in entries.enumerate() {
                let Some(target) = target.index(i) else { continue };
                let value = Value::String(entry.to_owned());
                reader.single(&target, place.clone(), value, &format!("{entry:?}"));
            }
        }
        Shape::Section(_) | Shape::Map | Shape::Records(_) | Shape::List => match DeValue::parse(text) {
            Ok(value) => reader.value(variable, target, &value),
            Err(_) => reader.wrong_shape(target, place),
        },
    }
}

fn single(target: &Target<'_>, text: &str) -> Value {
    let as_text = Value::String(text.to_owned());
    if schema::check(&target.path, &as_text).is_ok() {
        return as_text;
    }
    let plain = DeValue::parse(text).ok().map(|value| plain(value.get_ref()));
    let value = plain.filter(|value| value.is_bool() || value.is_integer());
    // If neither is valid, the error for the text is the clearer one.
    let valid = value.filter(|value| schema::check(&target.path, value).is_ok());
    valid.unwrap_or(as_text)
}
