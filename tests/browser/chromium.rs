//! Chromium, driven by its own driver; both end with the test.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::panic::AssertUnwindSafe;
use std::process::{Child, Command, Stdio};

use futures_util::FutureExt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thirtyfour::{ChromiumLikeCapabilities, DesiredCapabilities, LoggingPrefsLogLevel, WebDriver};

use crate::support::{LIMIT, until};

const MISSING: &str = "chromedriver can't be started: run scripts/test, which installs what the tests need";

/// Flags that keep the browser from connecting to its maker's services.
const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    // The pages are served by plain http under ordinary names.
    "--disable-features=HttpsUpgrades",
];

/// One browser with one window.
pub struct Chromium {
    driver: WebDriver,
    _process: Process,
    _profile: tempfile::TempDir,
}

/// chromedriver and the browser that it starts: a process group of their own, killed by its id.
struct Process(Child);

impl Process {
    /// Starts chromedriver; its port.
    fn start() -> (Self, u16) {
        // It picks a port that is free for one of IPv4 and IPv6, and gives up if that port is taken for the other.
        const ATTEMPTS: usize = 5;
        let mut attempts = std::iter::repeat_with(Self::try_start).take(ATTEMPTS);
        attempts
            .find_map(|(process, port)| Some((process, port?)))
            .expect(MISSING)
    }

    fn try_start() -> (Self, Option<u16>) {
        let child = Command::new("chromedriver")
            .arg("--port=0")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{MISSING} ({error})"));
        let mut process = Self(child);
        let stdout = BufReader::new(process.0.stdout.take().unwrap());
        let port = stdout.lines().map_while(Result::ok).find_map(|line| {
            let port = line.strip_prefix("ChromeDriver was started successfully on port ")?;
            port.strip_suffix('.')?.parse().ok()
        });
        (process, port)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The whole group: chromedriver does not end its browser when it is killed.
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.0.wait();
    }
}

impl Chromium {
    /// Runs `test` with a browser that reaches only this machine and `hosts`, each a name and its address. If the test
    /// fails, the browser's console is printed.
    pub async fn run(hosts: &[(&str, std::net::SocketAddr)], test: impl AsyncFnOnce(&Self)) {
        let chromium = Self::start(hosts).await;
        let result = AssertUnwindSafe(test(&chromium)).catch_unwind().await;
        if let Err(panic) = result {
            println!("The browser's console:\n{}", chromium.console().await);
            std::panic::resume_unwind(panic);
        }
    }

    async fn start(hosts: &[(&str, std::net::SocketAddr)]) -> Self {
        let (process, port) = Process::start();
        let profile = tempfile::tempdir().unwrap();
        let mut rules: Vec<String> = hosts
            .iter()
            .map(|(host, address)| format!("MAP {host} {address}"))
            .collect();
        rules.push("MAP * ~NOTFOUND, EXCLUDE 127.0.0.1".to_owned());
        let mut capabilities = DesiredCapabilities::chrome();
        for flag in FLAGS {
            capabilities.add_arg(flag).unwrap();
        }
        let rules = format!("--host-resolver-rules={}", rules.join(","));
        capabilities.add_arg(&rules).unwrap();
        let profile_flag = format!("--user-data-dir={}", profile.path().display());
        capabilities.add_arg(&profile_flag).unwrap();
        capabilities.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(LIMIT * 3)
            .build()
            .unwrap();
        let driver = WebDriver::builder(format!("http://127.0.0.1:{port}"), capabilities)
            .client(client)
            .connect()
            .await
            .expect("Chromium can't be started");
        // The process group is killed, on a panic too, so the session needs no closing.
        driver.clone().leak().unwrap();
        Self {
            driver,
            _process: process,
            _profile: profile,
        }
    }

    /// The console's lines since the last call of this.
    pub async fn console(&self) -> String {
        let entries = self.driver.browser_log().await.unwrap_or_default();
        let lines = entries
            .iter()
            .map(|entry| format!("{}: {}\n", entry.level, entry.message));
        lines.collect()
    }

    /// Opens a page and waits until it is loaded.
    pub async fn open(&self, url: &str) {
        self.driver.goto(url).await.unwrap();
    }

    /// Runs a function's body in the page; what it returns, awaited if it is a promise.
    pub async fn eval<T: DeserializeOwned>(&self, script: &str) -> T {
        let value = self.driver.execute(script, Vec::new()).await.unwrap();
        serde_json::from_value(value.json().clone()).unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits until a condition holds in the page.
    pub async fn until(&self, condition: &str) {
        let script = format!("return Boolean({condition})");
        until(condition, || self.eval::<bool>(&script)).await;
    }

    /// Sends a command of the `DevTools` protocol.
    pub async fn command(&self, name: &str, parameters: Value) -> Value {
        self.driver.cdp().send_raw(name, parameters).await.unwrap()
    }

    /// Makes the window as large as this screen, light or dark.
    pub async fn screen(&self, (width, height): (u32, u32), scale: f32, dark: bool) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600 });
        self.command("Emulation.setDeviceMetricsOverride", metrics).await;
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.command("Emulation.setEmulatedMedia", media).await;
    }

    /// The window, as a PNG.
    pub async fn screenshot(&self) -> Vec<u8> {
        self.driver.screenshot_as_png().await.unwrap()
    }
}
