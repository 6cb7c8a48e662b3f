//! Packages of public registries that tests run. They are installed once, in cargo's target folder.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// The longest that a registry may take.
pub const INSTALLATION: Duration = Duration::from_mins(3);

/// The folder of `tests/sdk` that says what to install, and holds what runs with it.
pub fn sources(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk").join(name)
}

/// The folder where that is installed.
pub fn installed(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let directory = target.join("sdk").join(name);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// Runs `program` to its end; its standard output. `need` says what is missing if it fails.
pub async fn run(limit: Duration, need: &str, command: &mut Command) -> String {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(limit, command.output())
        .await
        .unwrap_or_else(|_| panic!("{need}: it did not end within {limit:?}"))
        .unwrap_or_else(|error| panic!("{need}: {error}"));
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{need}\n{stdout}\n{stderr}");
    stdout
}

/// Whether what `manifest` asks for is installed in `directory`.
pub fn is_installed(directory: &Path, manifest: &Path) -> bool {
    let wanted = std::fs::read(manifest).unwrap();
    std::fs::read(directory.join("installed-for")).is_ok_and(|installed| installed == wanted)
}

/// Records that it is installed.
pub fn note_installed(directory: &Path, manifest: &Path) {
    std::fs::copy(manifest, directory.join("installed-for")).unwrap();
}

/// Tests that need the same packages run concurrently.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// The npm packages that `tests/sdk/<name>` asks for: the folder with their `node_modules`.
pub async fn npm(name: &str) -> PathBuf {
    let _turn = ONE_AT_A_TIME.lock().await;
    let (sources, directory) = (sources(name), installed(name));
    let lock = sources.join("package-lock.json");
    if !is_installed(&directory, &lock) {
        for file in ["package.json", "package-lock.json"] {
            std::fs::copy(sources.join(file), directory.join(file)).unwrap();
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(&directory);
        let need = format!("what tests/sdk/{name} asks for can't be installed: npm, and its registry or a cache of it");
        run(INSTALLATION, &need, &mut npm).await;
        note_installed(&directory, &lock);
    }
    directory
}

/// The Python of an environment that holds what `tests/sdk/<name>/requirements.txt` asks for.
pub async fn python_with(name: &str) -> PathBuf {
    let _turn = ONE_AT_A_TIME.lock().await;
    let (directory, requirements) = (installed(name), sources(name).join("requirements.txt"));
    let python = directory.join("venv/bin/python");
    if !is_installed(&directory, &requirements) {
        let need = "a Python environment can't be made: this test needs python3 and python3-venv";
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv"]).arg(directory.join("venv"));
        run(INSTALLATION, need, &mut venv).await;
        let need = format!(
            "{} can't be installed: this test needs PyPI or a mirror of it",
            requirements.display()
        );
        let mut pip = Command::new(&python);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
        ]);
        run(INSTALLATION, &need, pip.arg(&requirements)).await;
        note_installed(&directory, &requirements);
    }
    python
}
