//! The servers under test, and their processor time and memory.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::world::{APP_ID, LARGEST};

/// The processor of what is measured, and the one of everything else.
const SERVER_CPU: &str = "0";
pub const OTHER_CPU: &str = "1";

static GATEWAY: LazyLock<PathBuf> = LazyLock::new(|| installed(Path::new(env!("CARGO_BIN_EXE_wxgate")), "wxgate"));

/// The wxgate binary that `BENCH_OTHER` names, to be measured beside this one.
pub static OTHER_GATEWAY: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let other = std::env::var_os("BENCH_OTHER").filter(|other| !other.is_empty())?;
    Some(installed(Path::new(&other), "wxgate-other"))
});

/// A process of ours; killed, by its id, when it is dropped.
pub struct Server {
    child: Child,
    /// Its URL: `http://address`.
    pub url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// This binary in another role.
    pub fn role(name: &str, argument: &str) -> Self {
        let cpu = if name == "world" { OTHER_CPU } else { SERVER_CPU };
        let mut command = pinned(cpu, std::env::current_exe().unwrap());
        command.args([name, argument]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut url)
            .unwrap();
        Self {
            child,
            url: url.trim().to_owned(),
        }
    }

    /// A redis-server.
    pub fn redis() -> Self {
        let port = free_port();
        let mut command = pinned(OTHER_CPU, "redis-server");
        let options = [
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ];
        let child = command.args(options).stdout(Stdio::null()).spawn().unwrap();
        let server = Self {
            child,
            url: format!("redis://127.0.0.1:{port}/0"),
        };
        wait_until(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
        server
    }

    /// The gateway as it is deployed: Redis, metrics, the log at info; `more` settings besides.
    pub fn wxgate(world: &str, redis: &str, more: &[(&str, &str)]) -> Self {
        Self::gateway(&GATEWAY, world, redis, more)
    }

    /// The same, of another binary.
    pub fn gateway(binary: &Path, world: &str, redis: &str, more: &[(&str, &str)]) -> Self {
        let (port, internal) = (free_port(), free_port());
        let mut command = pinned(SERVER_CPU, binary);
        command
            .arg("serve")
            .env("WXGATE_APP_ID", APP_ID)
            .env("WXGATE_APP_SECRET", "0123456789abcdef0123456789abcdef")
            .env("WXGATE__SERVER__LISTEN", format!("127.0.0.1:{port}"))
            .env("WXGATE__INTERNAL__LISTEN", format!("127.0.0.1:{internal}"))
            .env("WXGATE__WECHAT__API_BASE_URL", world)
            .env("WXGATE__CREDENTIALS__BACKEND", "redis")
            .env("WXGATE__REDIS__URL", redis)
            .env("WXGATE__IMAGE_STORE__BACKEND", "http")
            .env("WXGATE__IMAGE_STORE__HTTP__URL", format!("{world}/upload"))
            .envs(more.iter().copied())
            .stderr(Stdio::null());
        Self {
            child: command.spawn().unwrap(),
            url: format!("http://127.0.0.1:{port}"),
        }
    }

    /// The same, after `/readyz` has said 200.
    pub fn once_ready(self) -> Self {
        wait_until(|| get(&self.url, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")));
        self
    }

    /// Processor time spent so far, in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The fields after the name, which is in parentheses: utime and stime are the 12th and 13th.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        ticks / 100.0
    }

    /// Resident memory in MiB, now (`VmRSS`) or at its peak (`VmHWM`).
    pub fn memory(&self, field: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

/// A copy of `program`, as an installation makes: run from the file that the linker wrote, wxgate is some 5 % slower.
pub fn installed(program: &Path, name: &str) -> PathBuf {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Another file under the name: one that runs can't be written.
    let _ = std::fs::remove_file(&copy);
    std::fs::copy(program, &copy).unwrap();
    copy
}

/// `program` on one processor.
pub fn pinned(cpu: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", cpu]).arg(program);
    command
}

/// The whole answer to a GET, head and body; `None` if there is none.
pub fn get(url: &str, path: &str) -> Option<String> {
    exchange(
        url,
        &format!("GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"),
    )
}

/// The whole answer to an upload of the picture that has `size` bytes.
pub fn upload(url: &str, size: usize) -> Option<String> {
    assert!(size <= LARGEST);
    // No two servers name the same picture: the second one would find in Redis what the first has stored.
    let server = url.rsplit(':').next().unwrap();
    let body = format!(r#"{{"mediaId":"{size}-first-{server}"}}"#);
    let head = "POST /p/active/weChatOa/upload HTTP/1.1\r\nHost: bench\r\nConnection: close";
    let length = body.len();
    exchange(
        url,
        &format!("{head}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"),
    )
}

fn exchange(url: &str, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// How many commands `redis` has carried out.
pub fn redis_commands(redis: &Server) -> f64 {
    let output = Command::new("redis-cli")
        .args(["-u", &redis.url, "info", "stats"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("total_commands_processed:"));
    line.unwrap().trim().parse().unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_until(done: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < limit, "it did not start within 20 s");
        std::thread::sleep(Duration::from_millis(1));
    }
}
