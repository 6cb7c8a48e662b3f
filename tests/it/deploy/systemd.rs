//! The unit for systemd.

use std::process::Command;

use super::{AFTER_GRACE, settings, write_secret};
use crate::docs::markdown::read;

const UNIT: &str = "deploy/systemd/wxgate.service";

/// The values of a key, in their order.
fn values(key: &str) -> Vec<String> {
    let unit = read(UNIT);
    let lines = unit.lines().filter_map(|line| line.split_once('='));
    lines
        .filter(|(name, _)| *name == key)
        .map(|(_, value)| value.to_owned())
        .collect()
}

#[test]
fn systemd_settings_load_with_their_credentials() {
    let folder = tempfile::tempdir().unwrap();
    for credential in values("LoadCredential") {
        let (name, path) = credential.split_once(':').unwrap();
        assert_eq!(path, format!("/etc/wxgate/secrets/{name}"));
        write_secret(folder.path(), name);
    }
    let env = values("Environment").into_iter().map(|pair| {
        let (name, value) = pair.split_once('=').unwrap();
        (name.to_owned(), value.replace("%d", folder.path().to_str().unwrap()))
    });
    let (config, env): (Vec<_>, Vec<_>) = env.partition(|(name, _)| name == "WXGATE_CONFIG");
    assert_eq!(config[0].1, "/etc/wxgate/wxgate.toml");
    let settings = settings(&read("deploy/systemd/wxgate.toml"), &env);
    assert_eq!(settings.warnings(), Vec::<String>::new());
    assert_eq!(values("StateDirectory"), ["wxgate"]);
    assert!(settings.image_store.local.directory.starts_with("/var/lib/wxgate"));
    let stop: u64 = values("TimeoutStopSec")[0].parse().unwrap();
    assert!(stop > settings.server.shutdown_grace.as_secs() + AFTER_GRACE);
}

#[test]
fn unit_leaves_pictures_readable_for_the_group_and_the_start_time_known() {
    let umask = u32::from_str_radix(&values("UMask")[0], 8).unwrap();
    let (file, folder) = (0o640, 0o750);
    assert_eq!((file & !umask, folder & !umask), (file, folder), "{umask:o}");
    // ProcSubset=pid hides /proc/stat, which process_start_time_seconds needs.
    assert_eq!(values("ProcSubset"), Vec::<String>::new());
}

/// systemd itself finds no mistake in the unit and rates it as well protected.
#[test]
fn unit_passes_systemd_analyze() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("wxgate.service");
    std::fs::write(&unit, read(UNIT).replace("/usr/local/bin/wxgate", "/bin/true")).unwrap();
    for arguments in [&["verify"][..], &["security", "--offline=yes", "--threshold=15"]] {
        let output = Command::new("systemd-analyze").args(arguments).arg(&unit).output();
        let output = output.expect("systemd-analyze, which scripts/test installs");
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(output.status.success(), "{arguments:?}: {}", said.concat());
    }
}
