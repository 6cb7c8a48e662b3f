//! The example file and the code agree.

use std::collections::BTreeSet;

use toml::Value;

use super::load_text;
use crate::settings::{Account, Client, Settings};

const EXAMPLE: &str = include_str!("../../../config/wxgate.example.toml");

/// The example with its commented-out keys, `#key`, uncommented. `# text` is a comment.
fn uncommented(example: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
        _ => line.to_owned(),
    };
    example.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Adds the paths of all keys at and below `path`, where `value` is.
fn add_keys(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    found.insert(path.to_owned());
    match value {
        Value::Table(table) => {
            for (key, inner) in table {
                add_keys(inner, &format!("{path}.{key}"), found);
            }
        }
        Value::Array(list) => list.iter().for_each(|entry| add_keys(entry, path, found)),
        _ => {}
    }
}

fn keys(document: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    add_keys(&toml::from_str(document).unwrap(), "", &mut found);
    found
}

#[test]
fn example_has_the_defaults() {
    let mut settings = load_text(EXAMPLE).unwrap();
    assert_eq!(settings.accounts.len(), 1);
    assert_eq!(settings.accounts[0].token_api, Account::default().token_api);
    assert_eq!(settings.accounts[0].js_domains, Account::default().js_domains);
    settings.accounts.clear();
    assert_eq!(settings.to_masked_toml(), Settings::default().to_masked_toml());
}

#[test]
fn commented_keys_of_the_example_can_be_uncommented() {
    let settings = load_text(&uncommented(EXAMPLE)).unwrap();
    assert_eq!(settings.internal.clients[0].name, "crm");
    assert_eq!(
        settings.internal.clients[0].app_ids,
        [settings.accounts[0].app_id.clone()]
    );
    let mut warnings = settings.warnings().into_iter();
    assert_eq!(warnings.find(|line| line.contains("internal.clients")), None);
}

#[test]
fn example_has_every_key_of_the_code() {
    let mut settings = Settings::default();
    settings.accounts.push(Account::default());
    settings.internal.clients.push(Client::default());
    let (in_code, in_example) = (keys(&settings.to_masked_toml()), keys(&uncommented(EXAMPLE)));
    let missing: Vec<_> = in_code.difference(&in_example).collect();
    let unknown: Vec<_> = in_example.difference(&in_code).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "config/wxgate.example.toml lacks {missing:?}, and has {unknown:?} too many"
    );
}

#[test]
fn example_explains_every_key() {
    let section_or_key = |line: &&str| !line.is_empty() && !line.starts_with("# ") && *line != "#";
    let lines: Vec<_> = EXAMPLE.lines().collect();
    for (i, line) in lines.iter().enumerate().filter(|(_, line)| section_or_key(line)) {
        // A comment may describe several keys that follow it.
        let above = lines[..i]
            .iter()
            .rev()
            .find(|line| line.is_empty() || line.starts_with("# "));
        assert!(above.is_some_and(|line| line.starts_with("# ")), "{line}");
    }
}
