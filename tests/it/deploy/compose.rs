//! `compose.yaml` and what belongs to it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use wxgate::settings::{AuthMode, Backend, ImageStoreBackend};

use super::{AFTER_GRACE, files_named, image, settings, texts, yaml};
use crate::docs::markdown::{project, read};

const APP_SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Has the script write the secrets into `folder`.
fn make_secrets(folder: &Path) {
    let mut script = Command::new(project("deploy/compose/make-secrets"))
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A script that asks for nothing may have ended already.
    let _ = writeln!(script.stdin.take().unwrap(), "{APP_SECRET}");
    assert!(script.wait().unwrap().success());
}

/// The service's variables, those from `.env` as an operator might set them.
fn environment(service: &Value) -> Vec<(String, String)> {
    let mut env = image::environment();
    for (name, value) in service["environment"].as_object().unwrap() {
        let value = value.as_str().unwrap();
        let value = match value.strip_prefix("${").map(|rest| rest.split(':').next().unwrap()) {
            None => value,
            Some("WXGATE_APP_ID") => "wx0123456789abcdef",
            Some("WXGATE_JS_DOMAINS") => "example.com,example.org",
            Some("WXGATE_PICTURES_URL") => "https://pictures.example.com/photos",
            Some(unknown) => panic!("{unknown} is none of ours"),
        };
        if name != "WXGATE_CONFIG" {
            env.push((name.clone(), value.to_owned()));
        }
    }
    env
}

#[test]
fn the_settings_load_with_the_secrets_that_the_script_writes() {
    let (compose, text) = (yaml("compose.yaml"), read("deploy/compose/wxgate.toml"));
    let service = &compose["services"]["wxgate"];
    let folder = tempfile::tempdir().unwrap();
    make_secrets(folder.path());

    let mounted = texts(&service["secrets"]);
    for name in files_named(&text, "/run/secrets") {
        assert!(mounted.contains(&name), "{name} is not mounted");
    }
    for (name, secret) in compose["secrets"].as_object().unwrap() {
        assert_eq!(secret["file"], format!("secrets/{name}"));
        assert!(folder.path().join(name).exists(), "{name} is not written");
    }
    let text = text.replace("/run/secrets", folder.path().to_str().unwrap());
    let settings = settings(&text, &environment(service));
    assert_eq!(settings.accounts[0].app_secret.expose(), APP_SECRET);
    assert_eq!(settings.credentials.backend, Backend::Redis);
    assert_eq!(settings.image_store.backend, ImageStoreBackend::S3);
    assert_eq!(settings.auth.mode, AuthMode::ApiKey);
    // Redis is on a network of the gateway's own; nothing else is worth a warning.
    let warnings = settings.warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("Redis"), "{warnings:?}");
    let grace = settings.server.shutdown_grace.as_secs();
    assert_eq!(service["stop_grace_period"], "30s");
    assert!(grace + AFTER_GRACE < 30);

    // The store knows the very key that the gateway sends.
    let store: Value = serde_json::from_str(&std::fs::read_to_string(folder.path().join("s3.json")).unwrap()).unwrap();
    let (user, keys) = (&store["identities"][0], &store["identities"][0]["credentials"][0]);
    assert_eq!(keys["accessKey"], settings.image_store.s3.access_key_id.expose());
    assert_eq!(keys["secretKey"], settings.image_store.s3.secret_access_key.expose());
    let bucket = &settings.image_store.s3.bucket;
    assert!(texts(&user["actions"]).contains(&format!("Write:{bucket}").as_str()));
    assert_eq!(texts(&store["identities"][1]["actions"]), [format!("Read:{bucket}")]);
}

#[test]
fn secrets_are_random_and_written_once() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let all = |folder: &Path| {
        [
            "redis_password",
            "s3_secret_access_key",
            "upload_api_keys",
            "operator_key",
        ]
        .map(|name| std::fs::read_to_string(folder.join(name)).unwrap())
    };
    for folder in &folders {
        make_secrets(folder.path());
        let before = all(folder.path());
        make_secrets(folder.path());
        assert_eq!(before, all(folder.path()));
        assert!(before.iter().all(|secret| secret.trim().len() == 48), "{before:?}");
    }
    let [one, other] = folders.map(|folder| all(folder.path()));
    for secret in &one {
        assert_eq!(one.iter().filter(|again| *again == secret).count(), 1);
        assert!(!other.contains(secret));
    }
}

#[test]
fn nothing_starts_by_a_default_and_nothing_inner_is_published() {
    let compose = yaml("compose.yaml");
    for (name, service) in compose["services"].as_object().unwrap() {
        let image = service["image"].as_str().unwrap();
        let version = image
            .rsplit_once(':')
            .unwrap_or_else(|| panic!("{image} has no version"))
            .1;
        assert_ne!(version, "latest", "{image}");
        for port in service["ports"].as_array().into_iter().flatten() {
            let port = port.as_str().unwrap();
            assert!(port.starts_with("127.0.0.1:"), "{name} publishes {port} to the world");
            assert!(
                !port.ends_with(":9090") && !port.ends_with(":6379"),
                "{name} publishes {port}"
            );
        }
        // The image of the gateway has its own; what only runs once needs none.
        let checked = name == "wxgate" || service["restart"].is_null() || service["healthcheck"].is_object();
        assert!(checked, "{name} has no health check");
        for (_, value) in service["environment"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap();
            assert!(!value.contains(":-"), "{value} has a default");
        }
    }
    let wxgate = &compose["services"]["wxgate"];
    assert_eq!(wxgate["read_only"], true);
    assert_eq!(texts(&wxgate["cap_drop"]), ["ALL"]);
    assert!(texts(&compose["services"]["redis"]["networks"]) == ["internal"]);
    assert_eq!(compose["networks"]["internal"]["internal"], true);

    // Each variable is asked for, and explained.
    let (text, example) = (read("compose.yaml"), read("deploy/compose/env.example"));
    for variable in text.split("${").skip(1) {
        let (name, why) = variable
            .split_once(":?")
            .unwrap_or_else(|| panic!("{variable} is not asked for"));
        assert!(!why.starts_with('}'));
        assert!(example.lines().any(|line| line == format!("{name}=")), "{name}");
    }
    let ignored = read(".gitignore");
    assert!(ignored.lines().any(|line| line == "/secrets") && ignored.lines().any(|line| line == "/.env"));
}
