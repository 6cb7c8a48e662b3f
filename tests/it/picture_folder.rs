//! The folder of the local store: what is served from it, and what happens to it.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::Value;
use wxgate::sandbox::SandboxConfig;

use crate::support::{Gateway, GatewayProcess, SOON, SandboxHost, photo, until};

/// The name of a picture that no gateway has made.
fn name(number: usize) -> String {
    format!("{number:032x}.jpg")
}

fn component(answer: &crate::support::Answer) -> Value {
    let components = answer.body["components"].as_array().unwrap();
    let found = components.iter().find(|component| component["name"] == "image_store");
    found.cloned().unwrap_or_default()
}

#[tokio::test]
async fn only_plain_files_are_served_and_a_pipe_keeps_no_thread() {
    let gateway = Gateway::start().await;
    let folder = gateway.images.path().to_owned();
    let secret = folder.join(".wxgate.toml");
    let pipe = std::process::Command::new("mkfifo").arg(folder.join(name(1))).status();
    assert!(pipe.unwrap().success());
    symlink(&secret, folder.join(name(2))).unwrap();
    std::fs::create_dir(folder.join(name(3))).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.join(name(4))).unwrap();
    symlink("/dev/zero", folder.join(name(5))).unwrap();
    let gets = (0..20).map(|_| async { gateway.get(&format!("/images/{}", name(1))).await.code() });
    let codes = tokio::time::timeout(SOON, futures_util::future::join_all(gets))
        .await
        .expect("pipes are not waited for");
    assert_eq!(codes, [(404, 1009); 20]);
    for number in 2..=5 {
        let answer = gateway.get(&format!("/images/{}", name(number))).await;
        assert_eq!(answer.code(), (404, 1009), "{number}: {answer:?}");
    }
    // A photo is fetched and stored, for which names are looked up and files written.
    let url = gateway.upload_new_photo().await.body["data"].clone();
    assert_eq!(gateway.get(url.as_str().unwrap()).await.status, 200);
}

#[tokio::test]
async fn pictures_are_for_the_user_and_the_group_only() {
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().join("new/images");
    let gateway = Gateway::builder()
        .set("image_store.local.directory", folder.display())
        .start()
        .await;
    let url = gateway.upload_new_photo().await.body["data"].clone();
    let picture = folder.join(url.as_str().unwrap().rsplit('/').next().unwrap());
    let mask = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = mask.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap();
    let mask = u32::from_str_radix(mask.trim(), 8).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&picture), 0o640 & !mask);
    for made in [folder, outside.path().join("new")] {
        assert_eq!(mode(&made), 0o750 & !mask, "{}", made.display());
    }
}

/// After a restart of the host without the pictures' disk, they would go to another one.
#[tokio::test]
async fn serve_logs_that_it_created_the_folder() {
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().join("new/images");
    let builder = Gateway::builder().set("image_store.local.directory", folder.display());
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let text = format!(
        "the folder {} of image_store.local.directory did not exist",
        folder.display()
    );
    for lines in [1, 0] {
        let gateway = GatewayProcess::start(&builder, &wechat).await;
        gateway.until_ready().await;
        let logged = gateway.logged(&text);
        assert_eq!(logged.len(), lines, "{:#?}", gateway.log());
        assert!(logged.iter().all(|line| line.contains("INFO")), "{logged:?}");
    }
}

#[tokio::test]
async fn readyz_is_degraded_while_the_folder_is_gone_or_read_only() {
    let outside = tempfile::tempdir().unwrap();
    let (folder, away) = (outside.path().join("images"), outside.path().join("away"));
    let gateway = Gateway::builder()
        .set("image_store.local.directory", folder.display())
        .start()
        .await;
    gateway.until_it_says("ready").await;
    assert_eq!(component(&gateway.get("/readyz").await)["status"], "up");
    std::fs::rename(&folder, &away).unwrap();
    gateway.until_it_says("degraded").await;
    let public = gateway.get("/readyz").await;
    assert_eq!((public.status, &component(&public)["status"]), (200, &"down".into()));
    assert_eq!(component(&public)["problem"], Value::Null);
    let detailed = component(&gateway.internal_get("/readyz").await);
    assert!(
        detailed["problem"].as_str().unwrap().contains("No such file"),
        "{detailed}"
    );
    let calls = gateway.wechat.sandbox.calls(wxgate::sandbox::Api::MediaGet);
    assert_eq!(gateway.upload_new_photo().await.code(), (502, 3001));
    let calls = gateway.wechat.sandbox.calls(wxgate::sandbox::Api::MediaGet) - calls;
    assert_eq!(calls, 1, "a folder that is gone is not tried again");

    // A folder that even root can't write to.
    symlink("/sys", &folder).unwrap();
    until("the folder is there, but read-only", || async {
        let detailed = component(&gateway.internal_get("/readyz").await);
        let problem = detailed["problem"].as_str().unwrap_or_default().to_owned();
        problem.contains("denied") || problem.contains("Read-only")
    })
    .await;
    assert_eq!(gateway.get("/readyz").await.body["status"], "degraded");
    std::fs::remove_file(&folder).unwrap();

    std::fs::rename(&away, &folder).unwrap();
    gateway.until_it_says("ready").await;
    assert_eq!(gateway.upload_new_photo().await.code(), (200, 0));
}

/// Which ranges and conditions count is tested beside `src/http/public/images/conditional.rs`.
#[tokio::test]
async fn ranges_and_conditions_are_those_of_rfc_9110() {
    let gateway = Gateway::start().await;
    let bytes = photo("portrait.jpg");
    let length = bytes.len();
    let url = gateway.upload(&gateway.wechat.takes_photo(&bytes)).await.body["data"].clone();
    let url = url.as_str().unwrap();
    let send = |method: &str, headers: &[(&str, &str)]| {
        let request = headers
            .iter()
            .fold(gateway.request(method, url), |request, (name, value)| {
                request.header(*name, *value)
            });
        async { request.send().await.unwrap() }
    };
    let whole = send("GET", &[]).await;
    let etag = whole.headers()["etag"].to_str().unwrap();
    assert_eq!(whole.headers()["accept-ranges"], "bytes");
    for (headers, part) in [
        (vec![("range", "bytes=-5")], length - 5..length),
        (vec![("range", "bytes=7-99999999")], 7..length),
        (vec![("range", "bytes=0-0"), ("if-range", etag)], 0..1),
    ] {
        let answer = send("GET", &headers).await;
        assert_eq!(answer.status(), 206, "{headers:?}");
        let range = format!("bytes {}-{}/{length}", part.start, part.end - 1);
        assert_eq!(answer.headers()["content-range"], range.as_str(), "{headers:?}");
        assert_eq!(answer.headers()["content-length"], part.len().to_string().as_str());
        assert!(answer.bytes().await.unwrap() == bytes[part], "{headers:?}");
    }
    for headers in [
        vec![("range", "bytes=0-1,4-5")],
        vec![("if-none-match", "\"another\"")],
        vec![("if-match", etag)],
    ] {
        let answer = send("GET", &headers).await;
        assert_eq!(answer.status(), 200, "{headers:?}");
        assert!(answer.bytes().await.unwrap() == bytes, "{headers:?}");
    }
    let head = send("HEAD", &[("range", "bytes=0-1")]).await;
    assert_eq!(
        (head.status().as_u16(), &head.headers()["content-length"]),
        (200, &length.to_string().parse().unwrap())
    );
    let unchanged = send("GET", &[("if-none-match", etag)]).await;
    assert_eq!(unchanged.status(), 304);
    assert_eq!(unchanged.headers()["etag"], etag);
    let beyond = gateway
        .send(gateway.request("GET", url).header("range", "bytes=99999999-"))
        .await;
    assert_eq!(beyond.assert_envelope().code(), (416, 1001));
    assert_eq!(beyond.header("content-range"), format!("bytes */{length}"));
    let changed = gateway
        .send(gateway.request("GET", url).header("if-match", "\"another\""))
        .await;
    assert_eq!(changed.assert_envelope().code(), (412, 1001));
}
