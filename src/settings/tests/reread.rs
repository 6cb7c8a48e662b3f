//! Secret files that are read again.

use super::SettingsFile;
use crate::settings::Settings;

const ACCOUNTS: usize = 20;

fn app_secret(version: usize) -> String {
    format!("{version:032}")
}

/// The content for each account's file.
fn app_secrets(version: usize) -> Vec<(usize, String)> {
    (0..ACCOUNTS).map(|account| (account, app_secret(version))).collect()
}

#[test]
fn many_changed_files_are_taken_over_but_for_the_broken_one() {
    let (mut file, mut text) = (SettingsFile::new(""), String::new());
    for (account, secret) in app_secrets(0) {
        file = file.with(&account.to_string(), &secret);
        let path = file.path_of(&account.to_string());
        let entry = format!("[[accounts]]\napp_id = \"wx{account:016}\"\napp_secret_file = {path:?}\n");
        text.push_str(&entry);
    }
    let file = file.with("wxgate.toml", &text);
    let reread = |settings: &Settings, contents: &[(usize, String)]| {
        for (account, content) in contents {
            std::fs::write(file.path_of(&account.to_string()), content).unwrap();
        }
        settings.with_secrets_of(&settings.read_secret_files())
    };

    let one = reread(&file.load(&[]).unwrap(), &[(7, app_secret(1))]);
    assert_eq!(one.replaced, ["accounts[7].app_secret"]);

    let all = reread(&one.settings.unwrap(), &app_secrets(2));
    assert_eq!((all.replaced.len(), all.problems.len()), (ACCOUNTS, 0));
    let settings = all.settings.unwrap();
    assert_eq!(settings.accounts[ACCOUNTS - 1].app_secret.expose(), app_secret(2));

    let mut contents = app_secrets(3);
    contents[9].1 = "short".to_owned();
    let but_one = reread(&settings, &contents);
    assert_eq!((but_one.replaced.len(), but_one.problems.len()), (ACCOUNTS - 1, 1));
    let problem = but_one.problems[0].to_string();
    assert!(
        problem.contains("accounts[9].app_secret_file: in the file: not 32"),
        "{problem}"
    );
    let settings = but_one.settings.unwrap();
    assert_eq!(settings.accounts[9].app_secret.expose(), app_secret(2));
    assert_eq!(settings.accounts[10].app_secret.expose(), app_secret(3));
}
