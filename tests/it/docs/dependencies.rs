//! The crates that are shipped are what `deny.toml` allows: licences, sources, versions. cargo-deny checks the
//! same and more; this needs neither it nor the network.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use super::markdown::{project, read};

/// A package that is part of the binary, or runs to build it.
struct Package {
    name: String,
    version: String,
    licence: String,
    /// Its source, as cargo prints it; empty for crates.io.
    source: String,
}

/// Every such package, from `cargo tree`: `cargo metadata` does not know which features are on.
fn shipped() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal,build"])
        .args(["--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"])
        .current_dir(project(""))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: BTreeSet<&str> = text.lines().filter(|line| !line.starts_with("wxgate ")).collect();
    let package = |line: &str| {
        let (package, licence) = line.split_once('|').unwrap();
        let mut words = package.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let (name, version, rest) = (word(), word(), word());
        Package {
            name,
            version: version.trim_start_matches('v').to_owned(),
            licence: licence.to_owned(),
            source: rest.replace("(proc-macro)", ""),
        }
    };
    lines.into_iter().map(package).collect()
}

/// Whether an SPDX expression is met by the licences that are allowed.
fn is_met(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let expression = expression.trim();
    // AND binds closer than OR. `/` is how OR was written before SPDX.
    for (word, any) in [(" OR ", true), ("/", true), (" AND ", false)] {
        let parts = split_outside_parentheses(expression, word);
        if parts.len() > 1 {
            let mut met = parts.iter().map(|part| is_met(part, allowed));
            return if any { met.any(|met| met) } else { met.all(|met| met) };
        }
    }
    match expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) => is_met(inner, allowed),
        None => allowed.contains(expression),
    }
}

fn split_outside_parentheses<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    for (at, _) in text.match_indices(word) {
        let before = &text[..at];
        if before.matches('(').count() == before.matches(')').count() {
            parts.push(&text[start..at]);
            start = at + word.len();
        }
    }
    parts.push(&text[start..]);
    parts
}

#[test]
fn shipped_dependencies_have_licences_that_deny_toml_allows() {
    let deny: toml::Table = read("deny.toml").parse().unwrap();
    let allowed: BTreeSet<&str> = deny["licenses"]["allow"]
        .as_array()
        .unwrap()
        .iter()
        .map(|licence| licence.as_str().unwrap())
        .collect();
    let named = |list: &str| -> Vec<String> {
        let entries = deny["bans"][list].as_array().unwrap().iter();
        let entries = entries.inspect(|entry| assert!(entry["reason"].is_str(), "{entry} has no reason"));
        entries
            .map(|entry| entry["crate"].as_str().unwrap().to_owned())
            .collect()
    };
    let (skipped, denied) = (named("skip"), named("deny"));

    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let packages = shipped();
    assert!(packages.len() > 100, "{}", packages.len());
    for package in packages {
        let name = package.name;
        assert_eq!(package.source, "", "{name} is not from crates.io");
        assert!(is_met(&package.licence, &allowed), "{name}: {}", package.licence);
        assert!(!denied.contains(&name), "{name} is denied");
        versions.entry(name).or_default().push(package.version);
    }

    versions.retain(|_, versions| versions.len() > 1);
    let is_skipped = |name: &str, version: &str| {
        let entries = skipped.iter().filter_map(|entry| entry.split_once('@'));
        let mut entries = entries.filter(|(skipped, _)| *skipped == name);
        entries.any(|(_, skipped)| version.strip_prefix(skipped).is_some_and(|rest| rest.starts_with('.')))
    };
    for (name, versions) in &versions {
        let kept: Vec<_> = versions.iter().filter(|version| !is_skipped(name, version)).collect();
        assert!(kept.len() <= 1, "{name} comes in more than one version: {versions:?}");
    }
    for entry in &skipped {
        let name = entry.split_once('@').unwrap().0;
        assert!(versions.contains_key(name), "deny.toml need no longer skip {entry}");
    }
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    let allowed = BTreeSet::from(["MIT", "ISC"]);
    for met in ["MIT", "GPL-3.0 OR MIT", "MIT/Apache-2.0", "ISC AND (Apache-2.0 OR MIT)"] {
        assert!(is_met(met, &allowed), "{met}");
    }
    for unmet in ["", "GPL-3.0", "MIT AND GPL-3.0", "(ISC AND GPL-3.0) OR Zlib"] {
        assert!(!is_met(unmet, &allowed), "{unmet}");
    }
}
