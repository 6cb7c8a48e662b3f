//! The files that build and deploy the gateway agree with it: settings, ports, paths, metrics.

mod compose;
mod documents;
mod image;
mod kubernetes;
mod last_stage;
mod limits;
mod metrics;
mod monitoring;
mod nginx;
mod overlay;
mod systemd;

use std::path::Path;

use serde_json::Value;
use wxgate::settings::{Settings, Sources};

use crate::docs::markdown::read;

/// Seconds that the gateway may need to stop after `server.shutdown_grace`.
const AFTER_GRACE: u64 = 4;

/// A YAML file of the project.
fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A list's texts.
fn texts(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap_or_else(|| panic!("{list} is no list"));
    list.iter().map(|text| text.as_str().unwrap()).collect()
}

/// The settings that `text` and `env` give.
fn settings(text: &str, env: &[(String, String)]) -> Settings {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("wxgate.toml");
    std::fs::write(&file, text).unwrap();
    let sources = Sources {
        file: Some(file),
        env: env.to_vec(),
        ..Sources::default()
    };
    Settings::load(&sources).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

/// Writes a secret that passes the settings' checks into `directory`.
fn write_secret(directory: &Path, name: &str) {
    let secret = if name.contains("public_key") {
        include_str!("../rsa_public_key.pem")
    } else {
        "0123456789abcdef0123456789abcdef\n"
    };
    std::fs::write(directory.join(name), secret).unwrap();
}

/// The paths below `folder` that `text` names, as `folder`'s files.
fn files_named<'a>(text: &'a str, folder: &'a str) -> impl Iterator<Item = &'a str> {
    let named = text.split(folder).skip(1);
    named.map(|rest| rest.trim_start_matches('/').split('"').next().unwrap())
}
