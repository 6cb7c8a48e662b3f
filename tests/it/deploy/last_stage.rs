//! The image's last stage, assembled with the Dockerfile's own commands as far as possible without a container engine.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use super::image::{environment, instructions, last};

/// The instructions of the last stage.
fn last_stage() -> Vec<(String, String)> {
    let all = instructions();
    let from = all.iter().rposition(|(name, _)| name == "FROM").unwrap();
    assert_eq!(all[from].1, "scratch");
    all[from + 1..].to_vec()
}

/// Runs the command that lays out the image, on the binary that is tested; its folders are below `root`.
fn lay_out(root: &Path) {
    let runs = instructions().into_iter().filter(|(name, _)| name == "RUN");
    let script = { runs }
        .map(|(_, run)| run)
        .find(|run| run.contains("/image/"))
        .unwrap();
    let at = |folder: &str| root.join(folder).display().to_string();
    let script = script
        .replace("target/release/wxgate", env!("CARGO_BIN_EXE_wxgate"))
        .replace(" /image", &format!(" {}", at("image")))
        .replace(" /volume", &format!(" {}", at("volume")));
    let shell: Vec<String> = serde_json::from_str(&last("SHELL")).unwrap();
    let ran = Command::new(&shell[0]).args(&shell[1..]).arg(&script).status().unwrap();
    assert!(ran.success(), "{script}");
}

/// What the last stage copies: from, to, and the owner if it names one.
fn copies() -> Vec<(String, String, Option<String>)> {
    let stage = last_stage().into_iter().filter(|(name, _)| name == "COPY");
    stage
        .map(|(_, arguments)| {
            let words: Vec<_> = arguments.split_whitespace().collect();
            assert!(words.contains(&"--from=build"), "{arguments}");
            let owner = words.iter().find_map(|word| word.strip_prefix("--chown="));
            let [from, to] = words[words.len() - 2..] else { panic!() };
            (from.to_owned(), to.to_owned(), owner.map(str::to_owned))
        })
        .collect()
}

/// Puts the stage together; the owners are given only if the test runs as root.
fn assemble(root: &Path, is_root: bool) -> std::path::PathBuf {
    lay_out(root);
    let stage = root.join("stage");
    std::fs::create_dir(&stage).unwrap();
    for (from, to, owner) in copies() {
        let (from, to) = (
            root.join(from.trim_start_matches('/')),
            stage.join(to.trim_start_matches('/')),
        );
        // --chown does not change a folder that exists already.
        assert!(owner.is_none() || !to.exists(), "{} has an owner already", to.display());
        std::fs::create_dir_all(&to).unwrap();
        let copied = Command::new("cp").arg("-r").arg(from.join(".")).arg(&to).status();
        assert!(copied.unwrap().success());
        if let Some(owner) = owner.filter(|_| is_root) {
            let owned = Command::new("chown").arg("-R").arg(owner).arg(&to).status();
            assert!(owned.unwrap().success());
        }
    }
    stage
}

#[test]
fn last_stage_has_what_the_binary_needs_with_the_right_owner() {
    let root = tempfile::tempdir().unwrap();
    let is_root = std::fs::metadata(root.path()).unwrap().uid() == 0;
    let stage = assemble(root.path(), is_root);
    let user = last("USER");
    assert!(copies().contains(&("/volume/data".to_owned(), last("VOLUME"), Some(user.clone()))));

    // Every library at the path by which the loader looks for it, and nothing else that can be run.
    let binary = stage.join("usr/local/bin/wxgate");
    let ldd = Command::new("ldd").arg(&binary).output().unwrap();
    let text = String::from_utf8(ldd.stdout).unwrap();
    let libraries: Vec<_> = text.split_whitespace().filter(|word| word.starts_with('/')).collect();
    assert!(libraries.len() >= 3, "{text}");
    for library in libraries {
        assert!(stage.join(library.trim_start_matches('/')).is_file(), "{library}");
    }
    let roots = std::fs::read_to_string(stage.join("etc/ssl/certs/ca-certificates.crt")).unwrap();
    assert!(roots.contains("BEGIN CERTIFICATE"));
    for absent in ["bin/sh", "usr/bin", "src", "root"] {
        assert!(!stage.join(absent).exists(), "{absent}");
    }

    if is_root {
        let (id, _) = user.split_once(':').unwrap();
        for folder in ["data", "data/images"] {
            let owner = std::fs::metadata(stage.join(folder)).unwrap().uid();
            assert_eq!(owner.to_string(), id, "{folder}");
        }
        runs_as_its_user(&stage, &user);
    }
}

/// Runs the binary with the stage as its root directory, in the image's environment.
fn runs_as_its_user(stage: &Path, user: &str) {
    let run = |arguments: &[&str]| {
        let entry: Vec<String> = serde_json::from_str(&last("ENTRYPOINT")).unwrap();
        let mut command = Command::new("chroot");
        command.arg(format!("--userspec={user}")).arg(stage).args(entry);
        let output = command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin")
            .envs(environment());
        output.output().unwrap()
    };
    let version = run(&["--version"]);
    assert!(version.status.success(), "{}", String::from_utf8_lossy(&version.stderr));
    // Without settings there is no account.
    let config = run(&["config"]);
    let (out, err) = (
        String::from_utf8_lossy(&config.stdout),
        String::from_utf8_lossy(&config.stderr),
    );
    assert_eq!(config.status.code(), Some(2), "{err}");
    assert!(
        out.contains("listen = \"0.0.0.0:8080\"") && err.contains("accounts"),
        "{out}{err}"
    );
}
