//! Commands of the binary that run and end.

use std::process::Stdio;
use std::sync::Arc;

use serde_json::Value;
use tokio::process::Command;

use super::process::with_open_files;
use super::{GatewayBuilder, LIMIT, SandboxHost};

/// A command's output and exit code.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// What it printed, as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl GatewayBuilder {
    /// Runs `wxgate` with `arguments` and the settings that such a gateway has.
    pub async fn run(&self, wechat: &Arc<SandboxHost>, arguments: &[&str]) -> Ran {
        self.run_as(Command::new(env!("CARGO_BIN_EXE_wxgate")), wechat, arguments)
            .await
    }

    /// The same with at most `files` open files.
    pub async fn run_with_open_files(&self, files: usize, wechat: &Arc<SandboxHost>, arguments: &[&str]) -> Ran {
        self.run_as(with_open_files(files).into(), wechat, arguments).await
    }

    async fn run_as(&self, mut wxgate: Command, wechat: &Arc<SandboxHost>, arguments: &[&str]) -> Ran {
        let directory = tempfile::tempdir().unwrap();
        let ended = wxgate
            .args(arguments)
            .current_dir(directory.path())
            .env_clear()
            .envs(self.environment(wechat, &directory.path().join("images")))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(LIMIT, ended).await.expect("it ends").unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran {
            code: output.status.code().unwrap(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}
