//! Mistakes on the command line and in what it names.

use super::{text_of, wxgate};
use crate::support::Gateway;

#[test]
fn app_secret_in_the_place_of_the_app_id_is_refused_and_not_shown() {
    const APP_SECRET: &str = "aaaabbbbccccddddEEEEFFFF00001111";
    let swapped = format!("{APP_SECRET}:wx0123456789abcdef");
    let commands: [&[&str]; 4] = [&["config"], &["check"], &["serve"], &["sandbox", "--account", &swapped]];
    for arguments in commands {
        let mut command = wxgate(arguments);
        command.env("WXGATE_APP_ID", APP_SECRET);
        let (code, out, err) = text_of(command.env("WXGATE_APP_SECRET", "wx0123456789abcdef"));
        assert_eq!(code, 2, "{arguments:?}");
        assert!(
            err.contains("this looks like an AppSecret") && err.contains("swapped"),
            "{err}"
        );
        assert!(!format!("{out}{err}").contains(APP_SECRET), "{out}{err}");
    }
    for account in [format!("ww1:{APP_SECRET}"), APP_SECRET.to_owned()] {
        let (code, out, err) = text_of(&mut wxgate(&["sandbox", "--account", &account]));
        assert!(code == 2 && err.contains("--account: expected"), "{err}");
        assert!(!format!("{out}{err}").contains(APP_SECRET), "{out}{err}");
    }
    for (accounts, wrong) in [
        (vec!["--account", "wx1:"], "expected APPID:APPSECRET"),
        (vec!["--account", "wx1:a", "--account", "wx1:b"], "wx1 is given twice"),
    ] {
        let (code, _, err) = text_of(&mut wxgate(&[vec!["sandbox"], accounts].concat()));
        assert!(code == 2 && err.contains(wrong), "{err}");
    }
}

/// WeChat's tickets consist of letters, digits, `_` and `-`.
#[test]
fn ticket_and_nonce_may_begin_with_a_hyphen() {
    let given = [
        "--ticket",
        "-t-",
        "--url",
        "https://a.cn/",
        "--nonce",
        "-n",
        "--timestamp",
        "1",
    ];
    let (code, signed, err) = text_of(&mut wxgate(&[&["sign"], &given[..]].concat()));
    assert_eq!(code, 0, "{err}");
    let (_, signature) = signed.trim().rsplit_once(' ').unwrap();
    let (code, out, err) = text_of(&mut wxgate(
        &[&["explain", "--signature", signature], &given[..]].concat(),
    ));
    assert!(code == 0 && out.contains("The signature is right"), "{out}{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_names_a_settings_file_that_can_not_be_read() {
    let gateway = Gateway::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gate.toml");
    let listen = format!("[server]\nlisten = \"{}\"\n", gateway.address);
    let health = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        text_of(&mut wxgate(&["health", "--config", file.to_str().unwrap()]))
    };
    // A comment in GBK, below and above the address.
    let comment = b"# \xce\xa2\xd0\xc5\n";
    for bytes in [
        [listen.as_bytes(), comment].concat(),
        [comment, listen.as_bytes()].concat(),
    ] {
        let (code, _, err) = health(&bytes);
        assert_eq!(code, 0, "{err}");
    }
    // The default address, which is not this gateway's.
    let (code, _, err) = health(comment);
    assert!(code == 1 && err.contains("127.0.0.1:8080"), "{code} {err}");
    let utf_16 = format!("\u{feff}{listen}");
    let utf_16: Vec<u8> = utf_16.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (code, _, err) = health(&utf_16);
    assert!(code == 2 && err.contains("gate.toml: can't read"), "{code} {err}");
    assert!(err.contains("not UTF-8"), "{err}");
    let (code, _, err) = health(b"server.listen = \"\xd0\xc5\"\n");
    assert!(code == 2 && err.contains("server.listen"), "{code} {err}");
    let folder = directory.path().to_str().unwrap();
    for (path, reason) in [("/no/such/file.toml", "No such file"), (folder, "Is a directory")] {
        let (code, _, err) = text_of(&mut wxgate(&["health", "--config", path]));
        assert!(code == 2 && err.contains(path) && err.contains(reason), "{code} {err}");
    }
    let mut with_address = wxgate(&["health", "--config", "/no/such/file.toml"]);
    with_address.env("WXGATE__SERVER__LISTEN", gateway.address.to_string());
    assert_eq!(text_of(&mut with_address).0, 0);
}

/// As a script passes a variable that is not set.
#[test]
fn empty_values_of_sign_and_explain_are_refused() {
    let sign = [
        "sign",
        "--ticket",
        "t",
        "--url",
        "u",
        "--nonce",
        "n",
        "--timestamp",
        "1",
    ];
    let explain = [
        "explain",
        "--ticket",
        "t",
        "--url",
        "https://a.cn/",
        "--nonce",
        "n",
        "--timestamp",
        "1",
    ];
    let signature = ["--signature", "0f9de62fce790f9a083d5c99e95740ceb90c27ed"];
    for arguments in [sign.to_vec(), [explain.as_slice(), &signature].concat()] {
        for value in (2..arguments.len()).step_by(2) {
            let mut arguments = arguments.clone();
            arguments[value] = "";
            let (code, out, err) = text_of(&mut wxgate(&arguments));
            assert!(
                code == 2 && out.is_empty() && !err.is_empty(),
                "{arguments:?}: {out}{err}"
            );
        }
    }
}
