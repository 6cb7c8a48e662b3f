//! The map of the house is the house, and what stands around it fits.

use std::path::Path;
use std::process::Command;

use super::markdown::{project, read};

/// The `.rs` files of a module, without its tests.
fn sources(path: &Path) -> Vec<String> {
    if path.is_file() {
        return vec![std::fs::read_to_string(path).unwrap()];
    }
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let rust = entries.filter(|path| path.is_dir() || path.extension().is_some_and(|extension| extension == "rs"));
    rust.filter(|path| path.file_stem().is_some_and(|name| name != "tests"))
        .flat_map(|path| sources(&path))
        .collect()
}

/// The name at the beginning of `text`.
fn name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_lowercase() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

#[test]
fn floors_use_only_floors_above_them_in_the_map() {
    let library = read("src/lib.rs");
    let map = library.lines().filter_map(|line| line.strip_prefix("//! - [`"));
    let map: Vec<&str> = map.map(name).collect();
    let mut modules: Vec<&str> = library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod "))
        .map(name)
        .collect();
    let mut sorted = map.clone();
    sorted.sort_unstable();
    modules.sort_unstable();
    assert_eq!(sorted, modules, "the map in src/lib.rs lists every module once");

    for (floor, module) in map.iter().enumerate() {
        let file = project(&format!("src/{module}.rs"));
        let path = if file.exists() {
            file
        } else {
            project(&format!("src/{module}"))
        };
        for source in sources(&path) {
            let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
            for used in code.split("crate::").skip(1).map(name) {
                let below = map.iter().position(|module| *module == used);
                assert!(
                    below.is_some_and(|at| at <= floor),
                    "{module} uses {used}, which the map shows after it"
                );
            }
        }
    }
}

/// There may be no engine here to build the image with. What it would stumble over first is a file
/// that .dockerignore keeps out, or a manifest that names one.
#[test]
fn the_image_finds_what_it_is_built_from() {
    let (dockerfile, ignored) = (read("Dockerfile"), read(".dockerignore"));
    let copied = dockerfile.lines().filter_map(|line| line.strip_prefix("COPY "));
    let copied = copied.filter(|line| !line.starts_with("--from"));
    for line in copied {
        let (from, _) = line.rsplit_once(' ').unwrap();
        for file in from.split(' ') {
            assert!(
                ignored.lines().any(|line| line == format!("!{file}")),
                "{file} is not in .dockerignore"
            );
        }
    }

    let context = tempfile::tempdir().unwrap();
    std::fs::create_dir(context.path().join("src")).unwrap();
    for file in ["src/lib.rs", "src/main.rs"] {
        std::fs::write(context.path().join(file), "").unwrap();
    }
    for file in ["Cargo.toml", "Cargo.lock"] {
        std::fs::copy(project(file), context.path().join(file)).unwrap();
    }
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--offline",
            "--locked",
            "--no-deps",
            "--format-version",
            "1",
        ])
        .current_dir(context.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn links_lead_somewhere() {
    for document in ["README.md", "README.zh-CN.md", "docs/architecture.md"] {
        let text = read(document);
        let folder = Path::new(document).parent().unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("http") && !link.starts_with('#')) {
            let path = project(folder.join(link).to_str().unwrap());
            assert!(path.exists(), "{document} links to {link}");
        }
    }
}
