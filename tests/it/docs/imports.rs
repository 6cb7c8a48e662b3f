//! No files of the library import each other in a circle. A submodule may use what its parent module defines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::markdown::{project, read};

/// A module's path from the crate root, such as `["http", "serve"]`.
type Module = Vec<String>;

/// The code of every module, by the module's path; without tests.
fn modules() -> BTreeMap<Module, String> {
    fn collect(folder: &Path, module: &Module, found: &mut BTreeMap<Module, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let child: Module = module.iter().cloned().chain([name.clone()]).collect();
            if path.is_dir() {
                collect(&path, &child, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") && name != "main" {
                let is_root = name == "mod" || name == "lib";
                let code = code_of(&std::fs::read_to_string(&path).unwrap());
                found.insert(if is_root { module.clone() } else { child }, code);
            }
        }
    }
    let mut found = BTreeMap::new();
    collect(&project("src"), &Module::new(), &mut found);
    found.retain(|module, _| !module.iter().any(|name| name == "tests" || name == "simulation"));
    found
}

/// `source` without comments and unit tests.
fn code_of(source: &str) -> String {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = code.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths that `tree`, a `use` declaration without its keyword, imports.
fn imports(tree: &str) -> Vec<Vec<String>> {
    let Some((prefix, group)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap();
        return vec![path.split("::").map(|name| name.trim().to_owned()).collect()];
    };
    let group = &group[..group.rfind('}').unwrap()];
    let mut depth = 0;
    let parts = group.split(|c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let parts = parts.map(str::trim).filter(|part| !part.is_empty());
    parts
        .flat_map(|part| imports(&format!("{}{part}", prefix.trim())))
        .collect()
}

/// What `module` imports with `use`, and whether it exports it again.
fn uses(module: &Module, code: &str) -> Vec<(Vec<String>, bool)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let before = code[..at].lines().last().unwrap_or("").trim();
        let exported = before == "pub" || before.starts_with("pub(") && before.ends_with(')');
        if !exported && !code[..at].trim_end_matches(' ').ends_with('\n') {
            continue;
        }
        let tree = code[at + 4..].split(';').next().unwrap();
        for path in imports(tree) {
            let parents = path.iter().take_while(|name| *name == "super").count();
            let rest = path.iter().skip(parents.max(1)).cloned();
            let absolute: Vec<String> = match path[0].as_str() {
                "crate" => rest.collect(),
                "self" => module.iter().cloned().chain(rest).collect(),
                "super" => module[..module.len().saturating_sub(parents)]
                    .iter()
                    .cloned()
                    .chain(rest)
                    .collect(),
                _ => module.iter().chain(&path).cloned().collect(),
            };
            found.push((absolute, exported));
        }
    }
    found
}

type Uses = BTreeMap<Module, Vec<(Vec<String>, bool)>>;

/// The module that defines what `path` names, through modules that export it again.
fn definer(path: &[String], all: &Uses) -> Option<Module> {
    let module = (1..=path.len())
        .rev()
        .map(|n| path[..n].to_vec())
        .find(|module| all.contains_key(module))?;
    let Some(name) = path.get(module.len()) else {
        return Some(module);
    };
    let exports = all[&module].iter().filter(|(_, exported)| *exported);
    let again = exports.map(|(path, _)| path).find(|path| path.last() == Some(name));
    match again {
        Some(again) if again != path => definer(again, all),
        _ => Some(module),
    }
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let all: Uses = modules()
        .iter()
        .map(|(module, code)| (module.clone(), uses(module, code)))
        .collect();
    let mut edges: BTreeMap<&Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, uses) in &all {
        let used = uses.iter().filter_map(|(path, _)| definer(path, &all));
        edges.insert(module, used.filter(|used| !module.starts_with(used)).collect());
    }
    assert!(
        edges.values().map(BTreeSet::len).sum::<usize>() > all.len(),
        "imports were not found"
    );
    // A module on a circle uses another one there and is used by another one there; the rest goes, step by step.
    loop {
        let using: BTreeSet<Module> = edges.keys().map(|module| (*module).clone()).collect();
        let used: BTreeSet<Module> = edges.values().flatten().cloned().collect();
        edges.retain(|module, uses| used.contains(*module) && uses.iter().any(|used| using.contains(used)));
        for uses in edges.values_mut() {
            uses.retain(|used| using.contains(used));
        }
        if edges.len() == using.len() {
            break;
        }
    }
    assert!(edges.is_empty(), "{edges:#?}");
}

#[test]
fn imports_of_groups_and_re_exports_are_found() {
    assert_eq!(imports("super::{a, b::{C, D}, e as f}").len(), 4);
    let code = code_of(&read("src/http/mod.rs"));
    let found = uses(&vec!["http".to_owned()], &code);
    let id = ["http", "request_id", "RequestId"].map(str::to_owned).to_vec();
    assert!(found.contains(&(id, true)), "{found:#?}");
}
