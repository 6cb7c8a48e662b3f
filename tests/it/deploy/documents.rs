//! `deploy/README.md` and its Chinese version: commands that need no container engine are run; in the others, the files
//! and names are checked.

use std::path::Path;
use std::process::Command;

use super::{AFTER_GRACE, image, settings, write_secret, yaml};
use crate::docs::markdown::{Document, project, read};
use crate::support::{Gateway, openssl};

fn both() -> [Document; 2] {
    ["deploy/README.md", "deploy/README.zh-CN.md"].map(|name| Document {
        name: name.to_owned(),
        text: read(name),
    })
}

/// All commands, one a line.
fn commands(readme: &Document) -> Vec<String> {
    let blocks = readme.blocks_in("console").concat().replace("\\\n", " ");
    blocks.lines().map(str::to_owned).collect()
}

/// The command that begins like this.
fn command(start: &str) -> String {
    let found = commands(&both()[0]).into_iter().find(|line| line.starts_with(start));
    found.unwrap_or_else(|| panic!("no command begins with {start}"))
}

/// Runs a command as it is written, but for `changes`, in the project's folder.
fn run(command: &str, changes: &[(&str, &str)]) -> String {
    let script = changes.iter().fold(command.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in {command}");
        text.replace(from, to)
    });
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(project(""))
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{err}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn both_languages_have_the_same_commands_and_settings() {
    let [english, chinese] = both();
    let blocks = |readme: &Document| -> Vec<String> {
        let code = readme.blocks().into_iter().map(|block| block.text);
        // Comments are translated.
        let bare = code.map(|text| {
            text.lines()
                .map(|line| line.split("   #").next().unwrap().to_owned() + "\n")
                .collect()
        });
        bare.collect()
    };
    assert_eq!(blocks(&english), blocks(&chinese));
}

#[test]
fn files_and_links_that_are_named_exist() {
    for readme in both() {
        let words = readme
            .text
            .split(|c: char| c.is_whitespace() || "`<>()：，。；、".contains(c));
        let files = words.filter(|word| word.starts_with("deploy/") || word.starts_with("scripts/"));
        for file in files.map(|file| file.trim_end_matches([',', '.', ';'])) {
            assert!(project(file).exists(), "{} names {file}", readme.name);
        }
        let links = readme
            .text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("http") && !link.starts_with('#')) {
            let file = link.split('#').next().unwrap();
            assert!(project("deploy").join(file).exists(), "{} links to {link}", readme.name);
        }
    }
}

#[test]
fn commands_of_wxgate_exist() {
    let mut seen = 0;
    for readme in both() {
        let spans = readme
            .text
            .lines()
            .flat_map(|line| line.split('`').skip(1).step_by(2).map(str::to_owned));
        for line in commands(&readme).into_iter().chain(spans) {
            let Some((_, arguments)) = line.rsplit_once("wxgate ") else {
                continue;
            };
            let first = arguments.split_whitespace().next().unwrap_or_default();
            if !["serve", "check", "config", "health", "sandbox"].contains(&first) {
                continue;
            }
            let output = Command::new(env!("CARGO_BIN_EXE_wxgate"))
                .args(arguments.split_whitespace())
                .arg("--help")
                .output();
            assert!(output.unwrap().status.success(), "{line}");
            seen += 1;
        }
    }
    assert!(seen >= 10, "{seen}");
}

#[test]
fn docker_run_gives_the_drain_its_time_and_keeps_what_is_stored() {
    let run = command("docker run -d");
    let folder = tempfile::tempdir().unwrap();
    let text = both()[0].blocks_in("toml").remove(0);
    write_secret(folder.path(), "wechat_app_secret");
    let text = text.replace("/run/secrets", folder.path().to_str().unwrap());
    let settings = settings(&text, &image::environment());
    let option = |name: &str| {
        let (_, rest) = run.split_once(name).unwrap_or_else(|| panic!("no {name}"));
        rest.split_whitespace().next().unwrap().to_owned()
    };
    let stop: u64 = option("--stop-timeout").parse().unwrap();
    assert!(stop > settings.server.shutdown_grace.as_secs() + AFTER_GRACE);
    assert_eq!(
        option(" -p "),
        format!("127.0.0.1:8080:{}", settings.server.listen.port())
    );
    assert!(
        run.contains(&format!("-v wxgate-pictures:{} ", image::last("VOLUME"))),
        "{run}"
    );
    for wanted in [
        "--restart unless-stopped",
        "--read-only",
        "--cap-drop ALL",
        "--memory 256m",
    ] {
        assert!(run.contains(wanted), "{wanted}");
    }
    // Secrets are mounted at the paths in the settings, one file each: a mounted folder might be closed to the user.
    assert!(
        run.contains("secrets/wechat_app_secret:/run/secrets/wechat_app_secret:ro"),
        "{run}"
    );
    assert!(!run.contains("secrets:/run/secrets"), "{run}");
    assert!(!run.contains("9090"), "{run}");
}

#[test]
fn systemds_files_are_installed_by_the_commands_that_are_shown() {
    let root = tempfile::tempdir().unwrap();
    let here = root.path().to_str().unwrap();
    let path = |path: &str| format!("{here}{path}");
    let (bin, etc, units) = (
        path("/usr/local/bin/"),
        path("/etc/wxgate"),
        path("/etc/systemd/system/"),
    );
    for folder in [&bin, &units] {
        std::fs::create_dir_all(folder).unwrap();
    }
    std::fs::write(path("/wechat_app_secret"), "0123456789abcdef0123456789abcdef\n").unwrap();
    openssl(root.path(), "genrsa -out private.pem 2048");
    openssl(root.path(), "rsa -in private.pem -pubout -out jwt_public_key.pem");

    let binary = [
        ("cargo build --release && ", ""),
        ("target/release/wxgate", env!("CARGO_BIN_EXE_wxgate")),
        ("/usr/local/bin/", &bin),
    ];
    run(&command("cargo build"), &binary);
    run(
        &command("install -D"),
        &[("/etc/wxgate", &etc), ("${EDITOR:-vi}", "test -s")],
    );
    let secrets = [
        ("/etc/wxgate", etc.as_str()),
        (
            " wechat_app_secret jwt",
            &format!(" {here}/wechat_app_secret {here}/jwt"),
        ),
    ];
    run(&command("install -d"), &secrets);
    run(
        &command("install -m 644"),
        &[("/etc/systemd/system/", &units), ("&& systemctl daemon-reload", "")],
    );

    // `config` instead of `check`: it reads the same settings and connects to nothing.
    let shown = run(
        &command("WXGATE_CONFIG"),
        &[("/etc/wxgate", &etc), ("wxgate check", &format!("{bin}wxgate config"))],
    );
    assert!(
        shown.contains("mode = \"jwt\"") && shown.contains("app_secret = \"********\""),
        "{shown}"
    );
    let unit = std::fs::read_to_string(Path::new(&units).join("wxgate.service")).unwrap();
    let check = command("WXGATE_CONFIG");
    for variable in unit.lines().filter_map(|line| line.strip_prefix("Environment=")) {
        let name = variable.split('=').next().unwrap();
        assert!(check.contains(&format!("{name}=")), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_page_is_signed_as_shown() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    let address = gateway.address.to_string();
    let answer = run(&command("curl"), &[("127.0.0.1:8080", &address)]);
    assert!(
        answer.contains("{\"code\":0,") && answer.contains("\"signature\":\""),
        "{answer}"
    );
}

#[test]
fn promtool_is_called_as_shown() {
    run(&command("promtool"), &[]);
}

#[test]
fn documented_commands_name_existing_services() {
    let compose = yaml("compose.yaml");
    for line in commands(&both()[0])
        .into_iter()
        .filter(|line| line.starts_with("docker compose run"))
    {
        assert!(
            line.ends_with(" wxgate check") && compose["services"]["wxgate"].is_object(),
            "{line}"
        );
    }
    let deployment = yaml("deploy/kubernetes/base/deployment.yaml");
    let service = yaml("deploy/kubernetes/base/service.yaml");
    let names = [&deployment, &service].map(|object| object["metadata"]["name"].as_str().unwrap());
    assert!(command("kubectl -n wxgate rollout").ends_with(&format!("deployment/{}", names[0])));
    let port = &service["spec"]["ports"][0]["port"];
    assert!(command("kubectl -n wxgate port-forward").ends_with(&format!("service/{} 8080:{port}", names[1])));
    // The documented URL of the shared token is beside the labels that clients need.
    let url = "http://wxgate-internal.wxgate.svc:9090";
    let policy = read("deploy/kubernetes/base/networkpolicy.yaml");
    assert!(policy.contains(url) && both().iter().all(|readme| readme.text.contains(url)));
    // The secret is created by the same command in both places.
    let example = read("deploy/kubernetes/example/kustomization.yaml");
    for file in command("kubectl -n wxgate create secret").split("--from-file=").skip(1) {
        assert!(example.contains(&format!("--from-file={}", file.trim())), "{file}");
    }
    let image = yaml("deploy/kubernetes/example/kustomization.yaml")["images"][0].clone();
    let image = format!(
        "{}:{}",
        image["newName"].as_str().unwrap(),
        image["newTag"].as_str().unwrap()
    );
    assert_eq!(command("docker build -t registry").matches(&image).count(), 2);
}
