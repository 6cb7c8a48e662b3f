//! The documents' commands and settings, as a reader copies them.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use wxgate::settings::{Settings, Sources};

use super::markdown::{Document, matches};
use crate::support::{Tls, free_address, until};

/// A process of this test's; killed, by its id, when it ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the settings check of a key.
const PUBLIC_KEY: &str = include_str!("../rsa_public_key.pem");

/// Writes a document's settings into `directory`, with the secrets that they name as files.
fn write_settings(text: &str, directory: &Path) -> std::path::PathBuf {
    for secret in text.split("/run/secrets/").skip(1) {
        let name = secret.split('"').next().unwrap();
        let secret = if name.contains("public_key") {
            PUBLIC_KEY
        } else {
            "a-secret-of-many-characters\n"
        };
        std::fs::write(directory.join(name), secret).unwrap();
    }
    if text.contains("/run/secrets/weixin.pem") {
        let tls = Tls::new();
        let [certificate, key] = tls.issue("weixin", "DNS:api.weixin.qq.com");
        std::fs::copy(certificate, directory.join("weixin.pem")).unwrap();
        std::fs::copy(key, directory.join("weixin.key")).unwrap();
    }
    let file = directory.join("wxgate.toml");
    std::fs::write(&file, text.replace("/run/secrets", directory.to_str().unwrap())).unwrap();
    file
}

/// Starts the gateway by the README's own first command, on other ports.
async fn start_as_documented(readme: &Document, directory: &Path, public: &str, internal: &str) -> Running {
    let commands = readme.blocks_in("console").concat();
    let arguments = commands
        .lines()
        .find_map(|line| line.strip_prefix("cargo run -- "))
        .unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_wxgate"))
        .args(arguments.split(' '))
        .env_clear()
        .env("WXGATE__SERVER__LISTEN", public)
        .env("WXGATE__INTERNAL__LISTEN", internal)
        .current_dir(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let running = Running(child.unwrap());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    until("the gateway is ready", || async {
        let answer = client.get(format!("http://{public}/readyz")).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
    running
}

/// Runs a block of shell commands as a reader would, and returns what it prints.
async fn run_script(script: &str, directory: &Path) -> String {
    let binaries = Path::new(env!("CARGO_BIN_EXE_wxgate")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let output = tokio::process::Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .env_clear()
        .env("PATH", &path)
        .current_dir(directory)
        .output();
    let output = output.await.unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{script}\n{out}{err}");
    out.into_owned()
}

#[tokio::test]
async fn every_command_does_what_is_shown() {
    for language in [0, 1] {
        let documents = Document::all()
            .into_iter()
            .map(|both| both.into_iter().nth(language).unwrap());
        let documents: Vec<Document> = documents.collect();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(
            directory.path().join("photo.jpg"),
            crate::support::photo("portrait.jpg"),
        )
        .unwrap();
        let settings = Document::both("settings")[language].blocks_in("toml").remove(0);
        write_settings(&settings, directory.path());
        let (public, internal) = (free_address().to_string(), free_address().to_string());
        let _running = start_as_documented(&documents[0], directory.path(), &public, &internal).await;

        let mut run = 0;
        for document in &documents {
            let blocks = document.blocks();
            for (at, block) in blocks.iter().enumerate().filter(|(_, block)| block.language == "sh") {
                let script = block
                    .text
                    .replace("127.0.0.1:8080", &public)
                    .replace("127.0.0.1:9090", &internal);
                let out = run_script(&script, directory.path()).await;
                let shown = blocks.get(at + 1).filter(|next| next.follows && next.language != "sh");
                if let Some(shown) = shown {
                    let name = &document.name;
                    assert!(
                        matches(&shown.text, &out),
                        "{name} shows\n{}\nfor\n{script}\n{out}",
                        shown.text
                    );
                }
                run += 1;
            }
        }
        assert!(run >= 8, "only {run} blocks of commands");
    }
}

#[test]
fn every_settings_block_loads() {
    let mut loaded_blocks = 0;
    for document in Document::all().into_iter().flatten() {
        for text in document.blocks_in("toml") {
            let directory = tempfile::tempdir().unwrap();
            let mut env = Vec::new();
            if !text.contains("[[accounts]]") {
                env.push(("WXGATE_APP_ID".to_owned(), "wx0123456789abcdef".to_owned()));
                env.push(("WXGATE_APP_SECRET".to_owned(), "a-secret".to_owned()));
            }
            let file = Some(write_settings(&text, directory.path()));
            let loaded = Settings::load(&Sources {
                file,
                env,
                ..Sources::default()
            });
            assert!(loaded.is_ok(), "{}:\n{text}\n{}", document.name, loaded.unwrap_err());
            loaded_blocks += 1;
        }
    }
    assert!(loaded_blocks >= 6, "only {loaded_blocks} blocks of settings");
}
