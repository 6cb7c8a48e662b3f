//! A gateway as a process of its own: the real binary.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::{Caller, GatewayBuilder, SandboxHost, send_signal, until};

/// The binary, running.
pub struct GatewayProcess {
    child: KilledOnDrop,
    caller: Caller,
    log: Arc<Mutex<Vec<String>>>,
    /// The task that reads the log until the process has ended.
    reader: Option<std::thread::JoinHandle<()>>,
    _images: tempfile::TempDir,
}

/// A process that is killed, by its id, when the test ends.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The binary with at most `files` open files.
pub(super) fn with_open_files(files: usize) -> Command {
    let mut command = Command::new("sh");
    let limited = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
    command.args(["-c", &limited, env!("CARGO_BIN_EXE_wxgate")]);
    command
}

impl GatewayProcess {
    /// Starts `wxgate serve` with these settings, and waits until it listens.
    pub async fn start(builder: &GatewayBuilder, wechat: &Arc<SandboxHost>) -> Self {
        Self::run(Command::new(env!("CARGO_BIN_EXE_wxgate")), builder, wechat).await
    }

    /// The same on one processor, as in many containers; it then runs on one thread.
    pub async fn start_on_one_processor(builder: &GatewayBuilder, wechat: &Arc<SandboxHost>) -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let one = allowed.unwrap().trim().split([',', '-']).next().unwrap();
        let mut command = Command::new("taskset");
        command.args(["-c", one, env!("CARGO_BIN_EXE_wxgate")]);
        Self::run(command, builder, wechat).await
    }

    /// The same with at most `files` open files.
    pub async fn start_with_open_files(files: usize, builder: &GatewayBuilder, wechat: &Arc<SandboxHost>) -> Self {
        Self::run(with_open_files(files), builder, wechat).await
    }

    async fn run(mut wxgate: Command, builder: &GatewayBuilder, wechat: &Arc<SandboxHost>) -> Self {
        let images = tempfile::tempdir().unwrap();
        let child = wxgate
            .arg("serve")
            .current_dir(images.path())
            .env_clear()
            .env("WXGATE__TELEMETRY__LOG_FORMAT", "json")
            .envs(builder.environment(wechat, images.path()))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut child = KilledOnDrop(child);
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, stderr) = (Arc::clone(&log), child.0.stderr.take().unwrap());
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        let serves = || log.lock().unwrap().iter().find_map(|line| addresses(line));
        let running = Mutex::new(&mut child.0);
        until("the gateway listens", || async {
            let ended = running.lock().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "it does not start: {:#?}", log.lock().unwrap());
            serves().is_some()
        })
        .await;
        let [public, internal] = serves().unwrap();
        Self {
            caller: Caller::new(public, internal, wechat),
            child,
            log,
            reader: Some(reader),
            _images: images,
        }
    }

    /// Starts `replicas` of them at once.
    pub async fn start_many(builder: &GatewayBuilder, wechat: &Arc<SandboxHost>, replicas: usize) -> Vec<Self> {
        futures_util::future::join_all((0..replicas).map(|_| Self::start(builder, wechat))).await
    }

    pub fn id(&self) -> u32 {
        self.child.0.id()
    }

    /// A line of `/proc/<id>/status`, in KiB.
    pub fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let value = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
        value.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// The log so far, a line each.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// The log since the last call of this.
    #[allow(dead_code, reason = "only the soak test's logs are too long to keep")]
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }

    /// The lines of the log that hold `text`.
    pub fn logged(&self, text: &str) -> Vec<String> {
        self.log().into_iter().filter(|line| line.contains(text)).collect()
    }

    /// Sends a signal, by its name: `TERM`, `STOP`.
    pub fn signal(&self, name: &str) {
        send_signal(&self.child.0, name);
    }

    /// Ends the process as a power cut would (SIGKILL).
    pub fn kill(&mut self) {
        self.child.0.kill().unwrap();
        self.wait();
    }

    /// Waits for the process to end by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let child = Mutex::new(&mut self.child.0);
        until("the process ends", || async {
            child.lock().unwrap().try_wait().unwrap().is_some()
        })
        .await;
        self.wait()
    }

    /// Waits for the process, and until its log is read to the end.
    fn wait(&mut self) -> ExitStatus {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.child.0.wait().unwrap()
    }
}

/// The public and the internal address, from the log in either format.
fn addresses(line: &str) -> Option<[SocketAddr; 2]> {
    let json: Option<Value> = serde_json::from_str(line).ok();
    let field = |name: &str| match &json {
        Some(json) => json[name].as_str()?.parse().ok(),
        None => line.split_once(&format!("{name}="))?.1.split(' ').next()?.parse().ok(),
    };
    Some([field("public")?, field("internal")?])
}

impl std::ops::Deref for GatewayProcess {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

/// Compiles `source`, a path in the project, into a library in `folder` that a process can be started with as
/// `LD_PRELOAD`.
pub fn compile_preloaded(source: &str, folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let library = folder.join(source.with_extension("so").file_name().unwrap());
    let mut compiler = Command::new("cc");
    let status = compiler
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status();
    assert!(status.unwrap().success());
    library
}
