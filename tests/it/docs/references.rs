//! What documents name exists: tests, files, headings, invariants.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::markdown::{all_documents, anchors, code_spans, project, prose, read};

/// A Rust file of the project.
struct Source {
    /// Its path, as `tests::it::docs::house`.
    module: String,
    text: String,
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let module = path.strip_prefix(project("")).unwrap().with_extension("");
            let module = module.to_str().unwrap().replace('/', "::");
            found.push(Source {
                module: module.trim_end_matches("::mod").to_owned(),
                text: std::fs::read_to_string(&path).unwrap(),
            });
        }
    }
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches", "fuzz"] {
        collect(&project(folder), &mut found);
    }
    found
}

/// Whether a span is a test's name: `module::name`, or the name alone.
fn is_test(span: &str) -> bool {
    let name = span.rsplit("::").next().unwrap_or_default();
    name.matches('_').count() >= 2
        && span
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c))
}

fn assert_test_exists(test: &str, sources: &[Source]) {
    let (module, name) = test.rsplit_once("::").unwrap_or(("", test));
    let module = format!("::{module}");
    let mut places = sources
        .iter()
        .filter(|source| module == "::" || source.module.ends_with(&module));
    let head = format!("fn {name}(");
    assert!(
        places.any(|source| source.text.contains(&head)),
        "there is no test {test}"
    );
}

#[test]
fn security_claims_name_existing_tests() {
    let (text, sources) = (read("SECURITY.md"), sources());
    let spans = code_spans(&text);
    let tests: Vec<_> = spans
        .iter()
        .filter(|span| span.matches('_').count() >= 3 && is_test(span))
        .collect();
    assert!(tests.len() >= 25, "{}", tests.len());
    for test in tests {
        assert_test_exists(test, &sources);
    }
    for file in spans.iter().filter(|span| span.starts_with("src/")) {
        assert!(project(file).exists(), "{file}");
    }
}

/// The invariants, by name, with the section of the document that states each.
fn invariants(text: &str) -> Vec<(&str, &str)> {
    let sections = text.split("\n### ").skip(1);
    sections
        .map(|section| (section.split([' ', ':']).next().unwrap(), section))
        .collect()
}

#[test]
fn invariants_name_tests_that_exist() {
    let (text, sources) = (read("docs/invariants.md"), sources());
    let invariants = invariants(&text);
    let names: Vec<&str> = invariants.iter().map(|(name, _)| *name).collect();
    let expected = [("C", 14), ("M", 8), ("E", 3)].into_iter();
    let expected: Vec<String> = expected
        .flat_map(|(letter, last)| (1..=last).map(move |number| format!("{letter}{number}")))
        .collect();
    assert_eq!(names, expected);
    for (name, section) in invariants {
        let held_by = section.split("Held by").nth(1).unwrap_or_default();
        let tests: Vec<_> = code_spans(held_by).into_iter().filter(|span| is_test(span)).collect();
        assert!(!tests.is_empty(), "{name} is held by no test");
        for test in tests {
            assert_test_exists(&test, &sources);
        }
    }
}

/// The names in parentheses that look like invariants: `(C4)`, `(C4, M2)`.
fn invariants_named_in(text: &str) -> impl Iterator<Item = &str> {
    let groups = text.split('(').skip(1).filter_map(|rest| rest.split(')').next());
    let names = groups.flat_map(|group| group.split(", "));
    names.filter(|name| {
        let number = name.strip_prefix(['C', 'M', 'E']);
        number.is_some_and(|number| !number.is_empty() && number.chars().all(|c| c.is_ascii_digit()))
    })
}

#[test]
fn references_to_invariants_are_defined() {
    let text = read("docs/invariants.md");
    let defined: BTreeSet<&str> = invariants(&text).into_iter().map(|(name, _)| name).collect();
    let mut found = 0;
    for source in sources() {
        for name in invariants_named_in(&source.text) {
            assert!(defined.contains(name), "{} names {name}", source.module);
            found += 1;
        }
    }
    for document in all_documents() {
        for name in invariants_named_in(&read(&document)) {
            assert!(defined.contains(name), "{document} names {name}");
        }
    }
    assert!(found >= 10, "{found}");
}

#[test]
fn files_named_in_documents_exist() {
    let folders = [
        "src/",
        "tests/",
        "benches/",
        "fuzz/",
        "scripts/",
        "docs/",
        "config/",
        "deploy/",
        "examples/",
    ];
    for document in all_documents() {
        // The history names files as they were then.
        if document == "CHANGELOG.md" {
            continue;
        }
        for span in code_spans(&prose(&read(&document)).join("\n")) {
            let path = span.split_whitespace().next().unwrap_or_default();
            if folders.iter().any(|folder| path.starts_with(folder)) {
                assert!(project(path).exists(), "{document} names {path}");
            }
        }
    }
}

/// `folder/../file` without the dots.
fn normalized(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        if component == Component::ParentDir {
            assert!(normal.pop(), "{} leads out of the project", path.display());
        } else {
            normal.push(component);
        }
    }
    normal
}

#[test]
fn links_lead_somewhere() {
    let documents = all_documents();
    assert!(documents.len() >= 20, "{documents:?}");
    for document in documents {
        let text = prose(&read(&document)).join("\n");
        let folder = Path::new(&document).parent().unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                PathBuf::from(&document)
            } else {
                normalized(&folder.join(path))
            };
            let target = target.to_str().unwrap();
            assert!(project(target).exists(), "{document} links to {link}");
            if !heading.is_empty() {
                let known = anchors(&read(target));
                assert!(
                    known.iter().any(|anchor| anchor == heading),
                    "{document} links to {link}: {known:?}"
                );
            }
        }
    }
}
