//! Memory limits: each deployment allows more than was measured.

use serde_json::Value;
use wxgate::sandbox::SandboxConfig;

use super::{image, settings, yaml};
use crate::docs::markdown::read;
use crate::memory::{ALLOWED_KIB, ALLOWED_WITH_S3_KIB};

/// Idle, as `deploy/README.md` says, in MiB.
const IDLE: u64 = 16;

/// A size as Kubernetes, Compose, Docker or systemd write it, in MiB.
fn mebibytes(size: &str) -> u64 {
    let number = size.trim_end_matches(|c: char| !c.is_ascii_digit());
    match size[number.len()..].to_ascii_lowercase().as_str() {
        "m" | "mi" => number.parse().unwrap(),
        "g" | "gi" => number.parse::<u64>().unwrap() * 1024,
        unit => panic!("{unit} in {size}"),
    }
}

fn limit(value: &Value) -> u64 {
    mebibytes(value.as_str().unwrap())
}

/// What follows `mark` in a file, up to a space.
fn after(file: &str, mark: &str) -> u64 {
    let text = read(file);
    let (_, rest) = text.split_once(mark).unwrap_or_else(|| panic!("no {mark} in {file}"));
    mebibytes(rest.split_whitespace().next().unwrap())
}

#[test]
fn memory_limits_are_above_what_was_measured() {
    let account = [("WXGATE_APP_ID", "wx0123456789abcdef"), ("WXGATE_APP_SECRET", "x")];
    let account = account.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let env: Vec<_> = image::environment().into_iter().chain(account).collect();
    let buffer = settings("", &env).internal.proxy_buffer >> 20;
    let (folder, s3) = (ALLOWED_KIB / 1024, ALLOWED_WITH_S3_KIB / 1024);

    let deployment = yaml("deploy/kubernetes/base/deployment.yaml");
    let pod = deployment["spec"]["template"]["spec"]["containers"][0]["resources"].clone();
    let wxgate = yaml("compose.yaml")["services"]["wxgate"].clone();
    for allowed in [limit(&pod["limits"]["memory"]), limit(&wxgate["mem_limit"])] {
        assert!(allowed > IDLE + s3 + buffer, "{allowed}");
    }
    for requested in [limit(&pod["requests"]["memory"]), limit(&wxgate["mem_reservation"])] {
        assert!(requested > IDLE, "{requested}");
    }
    for allowed in [
        after("deploy/systemd/wxgate.service", "\nMemoryMax="),
        after("deploy/README.md", "--memory "),
    ] {
        assert!(allowed > IDLE + folder + buffer, "{allowed}");
    }
    for readme in ["deploy/README.md", "deploy/README.zh-CN.md"] {
        let text = read(readme);
        let (_, table) = text.split_once("| | MiB |").unwrap();
        let rows: Vec<&str> = table.lines().skip(2).take_while(|row| row.starts_with('|')).collect();
        for (row, figure) in rows.iter().zip([IDLE, folder, s3, buffer]) {
            assert!(row.contains(&format!("{figure}")), "{readme}: {row}");
        }
        assert_eq!(rows.len(), 4, "{readme}");
    }
}

#[test]
fn sandbox_container_holds_the_pictures_that_the_sandbox_keeps() {
    let sandbox = yaml("deploy/compose/sandbox.yaml")["services"]["sandbox"].clone();
    let pictures = SandboxConfig::default().media_capacity as u64 >> 20;
    let allowed = limit(&sandbox["mem_limit"]);
    assert!(allowed >= pictures + 128, "{allowed} for {pictures}");
}
