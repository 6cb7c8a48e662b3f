//! Settings as an operator sees them: files and variables in, settings or problems out.

mod cases;
mod environment;
mod example;
mod file;
mod reread;
mod resolved;
mod secrets;
mod values;

use std::path::PathBuf;

use super::{Settings, Sources};

/// The minimum that loads. It comes first in a file, so that sections can follow.
const ACCOUNT: &str = "accounts = [{ app_id = \"wx1\", app_secret = \"0123456789abcdef0123456789abcdef\" }]\n";

/// A settings file that is removed at the end of the test.
struct SettingsFile {
    folder: tempfile::TempDir,
}

impl SettingsFile {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("wxgate.toml"), text).unwrap();
        Self { folder }
    }

    /// Writes another file next to it.
    fn with(self, name: &str, content: &str) -> Self {
        std::fs::write(self.folder.path().join(name), content).unwrap();
        self
    }

    fn path_of(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn load(&self, env: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let folder = format!("{}/", self.folder.path().display());
        load(Some(self.path_of("wxgate.toml").into()), env)
            .map_err(|lines| lines.iter().map(|line| line.replace(&folder, "")).collect())
    }
}

fn load(file: Option<PathBuf>, env: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    let env = env.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let sources = Sources {
        file,
        env: env.collect(),
        ..Sources::default()
    };
    Settings::load(&sources).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems.to_string().lines().collect::<Vec<_>>(), lines, "one line each");
        lines
    })
}

/// Loads a file with this text; problems call it `wxgate.toml`.
fn load_text(text: &str) -> Result<Settings, Vec<String>> {
    SettingsFile::new(text).load(&[])
}

/// The problems of a file with an account and this text, whose first line is line 2.
fn problems(text: &str) -> Vec<String> {
    load_text(&format!("{ACCOUNT}{text}")).expect_err("the settings should not load")
}

/// The problems of these variables in addition to an account.
fn env_problems(env: &[(&str, &str)]) -> Vec<String> {
    SettingsFile::new(ACCOUNT)
        .load(env)
        .expect_err("the settings should not load")
}
