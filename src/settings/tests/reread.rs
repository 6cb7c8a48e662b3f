//! Secret files that are read again.

use std::fmt::Write;

use super::SettingsFile;
use crate::account::AppId;
use crate::settings::{Reread, Settings};

const ACCOUNTS: usize = 20;

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

    /// Reads the files again after `content` has been written to those of these accounts.
    fn reread(&mut self, accounts: impl Iterator<Item = (usize, String)>) -> Reread {
        for (account, content) in accounts {
            std::fs::write(self.file.path_of(&account.to_string()), content).unwrap();
        }
        let files = self.settings.read_secret_files();
        let reread = self.settings.with_secrets_of(&files);
        if let Some(settings) = &reread.settings {
            self.settings = settings.clone();
        }
        reread
    }

    fn app_secret(&self, account: usize) -> &str {
        let app_id = AppId::try_from(format!("wx{account:016}")).unwrap();
        self.settings.app_secret(&app_id).unwrap().expose()
    }
}

fn app_secret(version: usize) -> String {
    format!("{version:032}")
}

#[test]
fn many_changed_files_are_taken_over_but_for_the_broken_one() {
    let mut accounts = Accounts::new();
    let reread = accounts.reread([(7, app_secret(1))].into_iter());
    assert_eq!(reread.replaced, ["accounts[7].app_secret"]);

    let all = (0..ACCOUNTS).map(|account| (account, app_secret(2)));
    let reread = accounts.reread(all);
    assert_eq!((reread.replaced.len(), reread.problems.len()), (ACCOUNTS, 0));
    assert_eq!(accounts.app_secret(ACCOUNTS - 1), app_secret(2));

    let short = |account| {
        if account == 9 {
            "short".to_owned()
        } else {
            app_secret(3)
        }
    };
    let all_but_one = (0..ACCOUNTS).map(|account| (account, short(account)));
    let reread = accounts.reread(all_but_one);
    assert_eq!((reread.replaced.len(), reread.problems.len()), (ACCOUNTS - 1, 1));
    assert!(
        reread.problems[0]
            .to_string()
            .contains("accounts[9].app_secret_file: in the file: not 32")
    );
    assert_eq!(accounts.app_secret(9), app_secret(2));
    assert_eq!(accounts.app_secret(10), app_secret(3));
}
