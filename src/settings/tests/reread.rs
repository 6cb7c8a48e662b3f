//! Secret files that are read again.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::SettingsFile;
use crate::account::AppId;
use crate::settings::{Reread, Settings};

const ACCOUNTS: usize = 200;

/// Accounts, each with its AppSecret in a file.
struct Accounts {
    file: SettingsFile,
    settings: Settings,
}

impl Accounts {
    fn new() -> Self {
        let mut file = SettingsFile::new("");
        let mut text = String::new();
        for account in 0..ACCOUNTS {
            file = file.with(&account.to_string(), &app_secret(0));
            let path = file.path_of(&account.to_string());
            write!(
                text,
                "[[accounts]]\napp_id = \"wx{account:016}\"\napp_secret_file = {path:?}\n"
            )
            .unwrap();
        }
        let file = file.with("wxgate.toml", &text);
        let settings = file.load(&[]).unwrap();
        Self { file, settings }
    }

    /// Reads the files again after `content` has been written to those of these accounts, and says how long taking
    /// them over took.
    fn reread(&mut self, accounts: impl Iterator<Item = (usize, String)>) -> (Reread, Duration) {
        for (account, content) in accounts {
            std::fs::write(self.file.path_of(&account.to_string()), content).unwrap();
        }
        let files = self.settings.read_secret_files();
        let begun = Instant::now();
        let reread = self.settings.with_secrets_of(&files);
        let taken = begun.elapsed();
        if let Some(settings) = &reread.settings {
            self.settings = settings.clone();
        }
        (reread, taken)
    }

    fn app_secret(&self, account: usize) -> &str {
        let app_id = AppId::try_from(format!("wx{account:016}")).unwrap();
        self.settings.app_secret(&app_id).unwrap().expose()
    }
}

fn app_secret(version: usize) -> String {
    format!("{version:032}")
}

/// All the settings are checked for a change; with many accounts that must not happen for each file.
#[test]
fn many_changed_files_take_little_longer_than_one() {
    let mut accounts = Accounts::new();
    let (reread, of_one) = accounts.reread([(7, app_secret(1))].into_iter());
    assert_eq!(reread.replaced, ["accounts[7].app_secret"]);

    let all = (0..ACCOUNTS).map(|account| (account, app_secret(2)));
    let (reread, of_all) = accounts.reread(all);
    assert_eq!((reread.replaced.len(), reread.problems.len()), (ACCOUNTS, 0));
    assert_eq!(accounts.app_secret(ACCOUNTS - 1), app_secret(2));

    let short = |account| {
        if account == 99 {
            "short".to_owned()
        } else {
            app_secret(3)
        }
    };
    let all_but_one = (0..ACCOUNTS).map(|account| (account, short(account)));
    let (reread, with_a_broken_one) = accounts.reread(all_but_one);
    assert_eq!((reread.replaced.len(), reread.problems.len()), (ACCOUNTS - 1, 1));
    assert!(
        reread.problems[0]
            .to_string()
            .contains("accounts[99].app_secret_file: in the file: not 32")
    );
    assert_eq!(accounts.app_secret(99), app_secret(2));
    assert_eq!(accounts.app_secret(100), app_secret(3));

    let limit = of_one * u32::try_from(ACCOUNTS / 4).unwrap();
    assert!(
        of_all < limit && with_a_broken_one < limit,
        "one: {of_one:?}, all: {of_all:?}, with a broken one: {with_a_broken_one:?}"
    );
}
