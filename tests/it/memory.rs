//! What uploads cost in memory, read from the system, of the real binary (M2).

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;
use wxgate::sandbox::{SandboxConfig, Upload};

use crate::support::{Gateway, GatewayBuilder, GatewayProcess, ImageService, SandboxHost, until};

const PICTURE: usize = 8 * 1024 * 1024;
const AT_ONCE: usize = 64;
const ALLOWED_KIB: u64 = 24 * 1024;
/// S3 takes parts of this size, and each is signed before it is sent.
const PART_KIB: u64 = 5 * 1024;

async fn photos_flow_through(builder: GatewayBuilder, wechat: &Arc<SandboxHost>, at_once: usize, allowed_kib: u64) {
    // On a busy machine the sandbox, in this process, may pause for longer than the default.
    let builder = builder.set("wechat.timeout", "20s").set("credentials.lock_ttl", "60s");
    let process = GatewayProcess::start(&builder, wechat).await;
    until("it is ready", || async {
        reqwest::get(process.url("/readyz"))
            .await
            .is_ok_and(|answer| answer.status() == 200)
    })
    .await;
    let mut photo = vec![7; PICTURE];
    photo[..4].copy_from_slice(b"\xFF\xD8\xFF\xE0");
    let photo = Upload::new(photo);
    let app_id = wechat.account().app_id;
    let ids: Vec<String> = (0..at_once)
        .map(|_| wechat.sandbox.upload_media(&app_id, photo.clone()).unwrap())
        .collect();
    let idle = process.memory("VmRSS:");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let uploads = ids.iter().map(|id| {
        let body = serde_json::json!({ "mediaId": id });
        let request = client.post(process.url("/p/active/weChatOa/upload")).json(&body).send();
        async move { request.await.unwrap().status() }
    });
    let answers = futures_util::future::join_all(uploads).await;
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    let above = process.memory("VmHWM:") - idle;

    assert!(
        above <= allowed_kib,
        "{at_once} pictures of {PICTURE} bytes took {above} KiB above {idle} KiB"
    );
}

async fn sandbox() -> Arc<SandboxHost> {
    SandboxHost::start(SandboxConfig {
        media_capacity: 2 * AT_ONCE * PICTURE,
        ..SandboxConfig::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_photos_into_a_folder_take_little_memory() {
    photos_flow_through(Gateway::builder(), &sandbox().await, AT_ONCE, ALLOWED_KIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_photos_into_an_upload_service_take_little_memory() {
    let service = ImageService::start().await;
    let builder = Gateway::builder()
        .set("image_store.backend", "http")
        .set("image_store.http.url", service.url());
    photos_flow_through(builder, &sandbox().await, AT_ONCE, ALLOWED_KIB).await;
}

/// An S3 server over `folder`; it ends with the test's runtime.
async fn s3_over(folder: &Path) -> SocketAddr {
    let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder).unwrap());
    builder.set_auth(SimpleAuth::from_single("key-id", "key"));
    let service = builder.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_photos_into_s3_take_a_part_each() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("photos")).unwrap();
    let builder = Gateway::builder()
        .set("image_store.backend", "s3")
        .set(
            "image_store.s3.endpoint",
            format!("http://{}", s3_over(folder.path()).await),
        )
        .set("image_store.s3.bucket", "photos")
        .set("image_store.s3.access_key_id", "key-id")
        .set("image_store.s3.secret_access_key", "key")
        .set("image_store.s3.public_base_url", "https://images.example.com");
    // Fewer, since this server checks the hash of each part, and takes its time in a debug build.
    let at_once = 16;
    let parts = PART_KIB * 16;
    photos_flow_through(builder, &sandbox().await, at_once, ALLOWED_KIB + parts).await;
}
