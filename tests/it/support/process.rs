//! A gateway as a process of its own: the real binary.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::{GatewayBuilder, SandboxHost, until};

/// The binary, running; killed, by its id, when the test ends.
pub struct GatewayProcess {
    child: Child,
    pub address: SocketAddr,
    pub internal: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    pub images: tempfile::TempDir,
}

impl GatewayProcess {
    /// Starts `wxgate serve` with these settings, and waits until it listens.
    pub async fn start(builder: &GatewayBuilder, wechat: &SandboxHost) -> Self {
        let images = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_wxgate"))
            .arg("serve")
            .current_dir(images.path())
            .env_clear()
            .envs(builder.environment(wechat, images.path()))
            .env("WXGATE__TELEMETRY__LOG_FORMAT", "json")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, stderr) = (Arc::clone(&log), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        let serves = || {
            let log = log.lock().unwrap();
            log.iter()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                .find(|line| line["public"].is_string())
        };
        until("the gateway listens", || async { serves().is_some() }).await;
        let line = serves().unwrap();
        let address = |field: &str| line[field].as_str().unwrap().parse().unwrap();
        Self {
            address: address("public"),
            internal: address("internal"),
            child,
            log,
            images,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The log so far, a line each.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Sends a signal, by its name: `TERM`, `STOP`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for the process to end by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let child = Mutex::new(&mut self.child);
        until("the process ends", || async {
            child.lock().unwrap().try_wait().unwrap().is_some()
        })
        .await;
        self.child.wait().unwrap()
    }
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
