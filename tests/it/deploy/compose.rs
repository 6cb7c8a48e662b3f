//! `compose.yaml`, its variables and its secrets.

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
    // A script that reads nothing may have ended already.
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
            Some("WXGATE_SUBNET") => "10.183.0.0/24",
            Some("WXGATE_APP_ID") => "wx0123456789abcdef",
            Some("WXGATE_JS_DOMAINS") => "example.com,example.org",
            Some("WXGATE_PICTURES_URL") => "https://pictures.example.com/photos",
            Some(unknown) => panic!("{unknown} is not known to this test"),
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
    // Redis is plain, but on a network that only the gateway shares. Nothing else is worth a warning.
    let warnings = settings.warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("Redis"), "{warnings:?}");
    let grace = settings.server.shutdown_grace.as_secs();
    assert_eq!(service["stop_grace_period"], "30s");
    assert!(grace + AFTER_GRACE < 30);
    // Requests through the published port come from this network; no other peer is trusted.
    let subnet = &compose["networks"]["default"]["ipam"]["config"][0]["subnet"];
    assert_eq!(service["environment"]["WXGATE__SERVER__TRUSTED_PROXIES"], *subnet);

    // The store accepts exactly the key that the gateway sends.
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
fn removed_secret_is_written_anew_and_the_store_learns_the_new_key() {
    let folder = tempfile::tempdir().unwrap();
    make_secrets(folder.path());
    let content = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let before = ["s3_secret_access_key", "operator_key", "s3.json"].map(content);
    std::fs::remove_file(folder.path().join("s3_secret_access_key")).unwrap();
    make_secrets(folder.path());
    assert_ne!(content("s3_secret_access_key"), before[0]);
    assert_eq!(content("operator_key"), before[1]);
    let store = content("s3.json");
    assert!(
        store.contains(content("s3_secret_access_key").trim()) && store != before[2],
        "{store}"
    );
    make_secrets(folder.path());
    assert_eq!(content("s3.json"), store);
}

#[test]
fn compose_pins_images_and_publishes_no_internal_port() {
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
        // The gateway's image has its own; a service that runs once needs none.
        let checked = name == "wxgate" || service["restart"].is_null() || service["healthcheck"].is_object();
        assert!(checked, "{name} has no health check");
        assert!(
            service["logging"]["options"]["max-size"].is_string(),
            "{name} logs without end"
        );
    }
    let wxgate = &compose["services"]["wxgate"];
    assert_eq!(wxgate["read_only"], true);
    assert_eq!(texts(&wxgate["cap_drop"]), ["ALL"]);
    assert!(texts(&compose["services"]["redis"]["networks"]) == ["internal"]);
    assert_eq!(compose["networks"]["internal"]["internal"], true);

    // Each variable is required, except ports and subnets on this host, which have a default. All are explained.
    let (text, example) = (read("compose.yaml"), read("deploy/compose/env.example"));
    for variable in text.split("${").skip(1) {
        let (name, rest) = variable.split_once(':').unwrap();
        let rest = rest.split('}').next().unwrap();
        let line = match rest.strip_prefix('-') {
            Some(default) if name.ends_with("_PORT") || name.ends_with("_SUBNET") => format!("#{name}={default}"),
            Some(_) => panic!("{name} has a default"),
            None => format!("{name}="),
        };
        assert!(rest.len() > 1 && example.lines().any(|shown| shown == line), "{line}");
    }
    let ignored = read(".gitignore");
    assert!(ignored.lines().any(|line| line == "/secrets") && ignored.lines().any(|line| line == "/.env"));
}

#[test]
fn long_running_services_do_not_run_as_root() {
    let compose = yaml("compose.yaml");
    for (name, service) in compose["services"].as_object().unwrap() {
        assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(texts(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        // The gateway's image has a user of its own.
        let user = service["user"].as_str().unwrap_or("65532");
        let is_root = matches!(user.split(':').next(), Some("root" | "0"));
        assert_eq!(is_root, name == "owners", "{name} runs as {user}");
    }
    // The service that gives the volumes their owners runs first, exits, and has no network.
    let owners = &compose["services"]["owners"];
    assert!(owners["restart"].is_null() && owners["network_mode"] == "none");
    for (service, user, volume) in [("redis", "redis:redis", "redis"), ("store", "1000:1000", "store")] {
        let service = &compose["services"][service];
        let waits_for = &service["depends_on"]["owners"]["condition"];
        assert_eq!(waits_for, "service_completed_successfully");
        assert_eq!(
            service["user"].as_str().unwrap().split(':').next(),
            user.split(':').next()
        );
        assert_eq!(texts(&service["volumes"]), [format!("{volume}:/data")]);
        let mounted = format!("{volume}:/{volume}");
        assert!(texts(&owners["volumes"]).contains(&mounted.as_str()));
        let command = owners["command"][0].as_str().unwrap();
        assert!(command.contains(&format!("chown -R {user} /{volume}")), "{command}");
    }
}

/// Redis itself takes the command, with the secret on its standard input.
#[tokio::test]
async fn redis_starts_by_its_command() {
    let compose = yaml("compose.yaml");
    let folder = tempfile::tempdir().unwrap();
    make_secrets(folder.path());
    let secret = std::fs::read_to_string(folder.path().join("redis_password")).unwrap();
    let [shell, option, script] = texts(&compose["services"]["redis"]["command"])[..] else {
        panic!("no script for a shell");
    };
    let address = crate::support::free_address();
    let script = script
        .replace("$$", "$")
        .replace("/run/secrets", folder.path().to_str().unwrap())
        .replace(
            "--dir /data",
            &format!(
                "--dir {} --bind 127.0.0.1 --port {}",
                folder.path().display(),
                address.port()
            ),
        );
    let mut server = Command::new(shell)
        .args([option, &script])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let url = format!("redis://:{}@{address}", secret.trim());
    let client = redis::Client::open(url).unwrap();
    let answers = async || client.get_multiplexed_async_connection().await.is_ok();
    crate::support::until("Redis answers", answers).await;
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut setting = async |name: &str| {
        let answer: Vec<String> = redis::cmd("CONFIG")
            .arg(&["GET", name])
            .query_async(&mut connection)
            .await
            .unwrap();
        answer[1].clone()
    };
    let applied = [
        setting("maxmemory").await,
        setting("maxmemory-policy").await,
        setting("appendonly").await,
    ];
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(applied, [(256 << 20).to_string().as_str(), "noeviction", "yes"]);
}

#[test]
fn console_and_sandbox_files_match_the_gateway() {
    let console = yaml("deploy/compose/console.yaml");
    assert_eq!(texts(&console["services"]["wxgate"]["ports"]), ["127.0.0.1:9090:9090"]);
    let sandbox = yaml("deploy/compose/sandbox.yaml")["services"]["sandbox"].clone();
    let listen = texts(&sandbox["command"])[2];
    let port = listen.rsplit_once(':').unwrap().1;
    assert_eq!(texts(&sandbox["ports"]), [format!("127.0.0.1:{port}:{port}")]);
    let health = texts(&sandbox["healthcheck"]["test"]);
    let expected = format!("127.0.0.1:{port}");
    assert_eq!(
        health[..],
        ["CMD", "/usr/local/bin/wxgate", "health", "--address", &expected]
    );
}
