//! The Dockerfile, read without a container engine; `docs::house` checks what it copies.

use std::process::Command;

use crate::docs::markdown::read;

/// The image's instructions, lines put together, comments left out.
pub(super) fn instructions() -> Vec<(String, String)> {
    let text = read("Dockerfile");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let instructions = joined.lines().filter_map(|line| line.split_once(' '));
    instructions
        .map(|(name, rest)| (name.to_owned(), rest.trim().to_owned()))
        .collect()
}

pub(super) fn last(name: &str) -> String {
    let found = instructions().into_iter().rev().find(|(found, _)| found == name);
    found.unwrap_or_else(|| panic!("no {name}")).1
}

/// What the image sets in the environment.
pub(super) fn environment() -> Vec<(String, String)> {
    let text = last("ENV");
    let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn image_runs_its_binary_with_existing_commands() {
    let copied = instructions().into_iter().filter(|(name, _)| name == "RUN");
    assert!(copied.into_iter().any(|(_, run)| run.contains("/image/usr/local/bin/")));
    let entry: Vec<String> = serde_json::from_str(&last("ENTRYPOINT")).unwrap();
    assert_eq!(entry, ["/usr/local/bin/wxgate"]);
    // There is no shell in the image, so both are lists.
    let health = last("HEALTHCHECK");
    let health: Vec<String> = serde_json::from_str(health.split_once("CMD ").unwrap().1).unwrap();
    let serve: Vec<String> = serde_json::from_str(&last("CMD")).unwrap();
    assert_eq!(health[0], entry[0]);
    for arguments in [&health[1..], &serve] {
        let help = Command::new(env!("CARGO_BIN_EXE_wxgate"))
            .args(arguments)
            .arg("--help")
            .output()
            .unwrap();
        assert!(help.status.success(), "{arguments:?}");
    }
}

#[test]
fn image_runs_unprivileged_and_listens_on_the_exposed_ports() {
    let (user, _) = last("USER")
        .split_once(':')
        .map(|(user, group)| (user.to_owned(), group.to_owned()))
        .unwrap();
    assert!(
        user.parse::<u32>().unwrap() > 0,
        "a number, so that Kubernetes can check that it is not root"
    );
    let account = [("WXGATE_APP_ID", "wx0123456789abcdef"), ("WXGATE_APP_SECRET", "x")];
    let account = account.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let env: Vec<_> = environment().into_iter().chain(account).collect();
    let settings = super::settings("", &env);
    let listens = [settings.server.listen, settings.internal.listen.unwrap()];
    for address in listens {
        assert!(address.ip().is_unspecified(), "{address}");
    }
    assert_eq!(
        last("EXPOSE"),
        listens.map(|address| address.port().to_string()).join(" ")
    );
    let images = settings.image_store.local.directory;
    assert!(images.starts_with(last("VOLUME")), "{images:?}");
}

#[test]
fn image_builds_behind_mirrors_and_carries_labels() {
    let (all, version) = (instructions(), env!("CARGO_PKG_VERSION"));
    let base = all.iter().find(|(name, _)| name == "ARG").unwrap();
    let from = all.iter().find(|(name, _)| name == "FROM").unwrap();
    assert!(base.1.starts_with("RUST_IMAGE=rust:"), "{base:?}");
    assert_eq!(from.1, "${RUST_IMAGE} AS build");
    for (_, run) in all.iter().filter(|(_, run)| run.contains("cargo build")) {
        assert!(run.starts_with("--mount=type=secret,id=cargo-config,"), "{run}");
    }
    assert!(last("SHELL").contains("pipefail"));
    assert!(last("LABEL").contains(&format!("org.opencontainers.image.version=\"{version}\"")));
    // compose.yaml names this version.
    let service = super::yaml("compose.yaml")["services"]["wxgate"]["image"].clone();
    assert_eq!(service, format!("wxgate:{version}"));
}

/// The image contains only what `ldd` names, so nothing may be loaded at run time beyond that.
#[test]
fn image_contains_every_linked_library() {
    let output = Command::new("ldd").arg(env!("CARGO_BIN_EXE_wxgate")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let libraries: Vec<_> = text.split_whitespace().filter(|word| word.starts_with('/')).collect();
    assert!(libraries.iter().any(|path| path.contains("libc.so")), "{text}");
    assert!(!text.contains("libssl") && !text.contains("not found"), "{text}");
}
