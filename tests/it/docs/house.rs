//! The map of the modules is true, and the files around them fit.

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
fn modules_use_only_modules_before_them_in_the_map() {
    let library = read("src/lib.rs");
    let map = library.lines().filter_map(|line| line.strip_prefix("//! - "));
    let map: Vec<&str> = map.map(|line| name(line.trim_start_matches(['[', '`']))).collect();
    let mut modules: Vec<&str> = library
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "))
        .map(name)
        .collect();
    let mut sorted = map.clone();
    sorted.sort_unstable();
    modules.sort_unstable();
    assert_eq!(sorted, modules, "the map in src/lib.rs lists every module once");

    for (place, module) in map.iter().enumerate() {
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
                    below.is_some_and(|at| at <= place),
                    "{module} uses {used}, which the map shows after it"
                );
            }
        }
    }
}

/// Only what serves HTTP knows the framework that serves it; all else gets by with `http` and `http-body`.
#[test]
fn axum_is_named_only_where_http_is_served() {
    const ALLOWED: [&str; 4] = ["app", "cli", "http", "sandbox"];
    let source = project("src");
    let mut folders = vec![source.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if ALLOWED.iter().any(|allowed| path == source.join(allowed)) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let code = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                assert!(!code.contains("axum::"), "{} names axum", path.display());
            }
        }
    }
}

/// The credentials' parts, in the order of their map; a part uses only those before it.
#[test]
fn parts_of_the_credentials_use_only_parts_above_them_in_their_map() {
    let module = read("src/credentials/mod.rs");
    let documentation = module.lines().filter(|line| line.starts_with("//! - "));
    let documentation: String = documentation.collect();
    let spans = documentation.split('`').skip(1).step_by(2);
    let path = |part: &str| {
        let file = project(&format!("src/credentials/{part}.rs"));
        let folder = project(&format!("src/credentials/{part}"));
        if file.exists() { file } else { folder }
    };
    let map = spans
        .map(|span| span.trim_end_matches('/'))
        .filter(|part| path(part).exists());
    let map: Vec<&str> = map.collect();
    let declared = module.lines().filter_map(|line| line.strip_prefix("mod ")).map(name);
    let mut declared: Vec<&str> = declared.filter(|part| *part != "simulation").collect();
    let mut sorted = map.clone();
    sorted.sort_unstable();
    declared.sort_unstable();
    assert_eq!(
        sorted, declared,
        "the map in src/credentials/mod.rs lists every part once"
    );

    for (at, part) in map.iter().enumerate() {
        for source in sources(&path(part)) {
            let uses = source.split("super::").chain(source.split("crate::credentials::"));
            let uses = uses.map(name).filter(|used| map.contains(used));
            for used in uses {
                let below = map.iter().position(|part| *part == used);
                assert!(below <= Some(at), "{part} uses {used}, which the map shows after it");
            }
        }
    }
}

/// Copies a file or a folder of files.
fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        std::fs::copy(from, to).unwrap();
        return;
    }
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

/// The image is not built here. This checks what would break first: a file that .dockerignore excludes, or a manifest
/// that names a file which is not copied.
#[test]
fn docker_build_context_has_every_source() {
    let (dockerfile, ignored) = (read("Dockerfile"), read(".dockerignore"));
    let copied = dockerfile.lines().filter_map(|line| line.strip_prefix("COPY "));
    let copied = copied.filter(|line| !line.starts_with("--from"));
    let copied: Vec<&str> = copied
        .flat_map(|line| line.rsplit_once(' ').unwrap().0.split(' '))
        .collect();
    assert!(copied.contains(&"src"), "src is not in {copied:?}");
    let context = tempfile::tempdir().unwrap();
    for file in copied {
        let allowed = ignored.lines().any(|line| line == format!("!{file}"));
        assert!(allowed, "{file} is not in .dockerignore");
        copy(&project(file), &context.path().join(file));
    }
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--no-deps"])
        .args(["--format-version", "1"])
        .current_dir(context.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// The toolchain here, in the image and on a contributor's machine.
#[test]
fn toolchain_is_the_same_everywhere() {
    let pinned: toml::Table = read("rust-toolchain.toml").parse().unwrap();
    let pinned = pinned["toolchain"]["channel"].as_str().unwrap().to_owned();
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let promised = manifest["package"]["rust-version"].as_str().unwrap();
    assert!(
        pinned.starts_with(promised),
        "{promised} is promised, {pinned} is built"
    );
    let image = read("Dockerfile");
    let image = image
        .lines()
        .find_map(|line| line.strip_prefix("ARG RUST_IMAGE=rust:"))
        .unwrap();
    assert!(
        image.starts_with(promised),
        "{promised} is promised, the image is built by {image}"
    );
}
