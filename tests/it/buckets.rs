//! Buckets of cloud providers: addresses of their own, ACLs, regions, and what `check` finds wrong with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use wxgate::sandbox::SandboxConfig;

use crate::support::{Gateway, GatewayBuilder, GatewayProcess, Ran, S3Server, SandboxHost, free_address, until};

/// A request that reached the bucket.
type Seen = (Method, Uri, HeaderMap);

/// A stand-in for S3 that gives answers which S3 rarely gives; it ends with the test.
struct Impostor {
    url: String,
    seen: Arc<std::sync::Mutex<Vec<Seen>>>,
    serving: JoinHandle<()>,
}

type Answer = Arc<dyn Fn(&Method, &Uri) -> Response + Send + Sync>;

impl Impostor {
    async fn start(answer: impl Fn(&Method, &Uri) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, answer): (_, Answer) = (Arc::<std::sync::Mutex<Vec<Seen>>>::default(), Arc::new(answer));
        let take = async |State((seen, answer)): State<(Arc<std::sync::Mutex<Vec<Seen>>>, Answer)>,
                          request: Request| {
            let (head, body) = request.into_parts();
            let _ = body.collect().await;
            let answer = answer(&head.method, &head.uri);
            seen.lock().unwrap().push((head.method, head.uri, head.headers));
            answer
        };
        let router = Router::new().fallback(take).with_state((Arc::clone(&seen), answer));
        let serving = tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { url, seen, serving }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn check(builder: &GatewayBuilder) -> Ran {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    builder.run(&wechat, &["check"]).await
}

/// What `check` says about the image store, in one line.
fn findings(ran: &Ran) -> String {
    let lines = ran.out.lines().skip_while(|line| !line.contains("image_store  "));
    lines.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn buckets_own_address_is_warned_about_and_works_with_bucket_endpoint() {
    let server = S3Server::start().await;
    let own = format!("{}/photos", server.url());
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    // Here the bucket is the last part of the address; with most clouds it is the first.
    for endpoint in [own.as_str(), "http://photos.oss-cn-hangzhou.aliyuncs.com"] {
        let twice = S3Server::used_at(endpoint).set("http_client.proxy", format!("http://{}", free_address()));
        let ran = twice.run(&wechat, &["check"]).await;
        assert!(ran.out.contains("image_store.s3.bucket_endpoint = true"), "{ran:?}");
        let gateway = GatewayProcess::start(&twice, &wechat).await;
        until("it is warned about", || async {
            !gateway.logged("image_store.s3.bucket_endpoint = true").is_empty()
        })
        .await;
    }
    let once = S3Server::used_at(&own).set("image_store.s3.bucket_endpoint", true);
    let gateway = GatewayProcess::start(&once, &wechat).await;
    let url = gateway.upload_new_photo().await.body["data"].clone();
    let name = url
        .as_str()
        .unwrap()
        .strip_prefix("https://images.example.com/")
        .unwrap();
    assert!(server.bucket().join(name).exists(), "{name}");
    assert!(gateway.logged("bucket_endpoint").is_empty());
    let missing = S3Server::used_at("").set("image_store.s3.bucket_endpoint", true);
    let ran = missing.run(&wechat, &["check"]).await;
    assert!(
        ran.code == 2 && ran.err.contains("image_store.s3.endpoint: missing"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn object_begins_with_acl_cache_control_and_type_and_no_other_request_has_the_acl() {
    let bucket = Impostor::start(|method, uri| match (method.as_str(), uri.query().unwrap_or_default()) {
        ("POST", "uploads=") => {
            "<InitiateMultipartUploadResult><Bucket>photos</Bucket><Key>k</Key><UploadId>u</UploadId>\
                                 </InitiateMultipartUploadResult>"
                .into_response()
        }
        ("POST", _) => "<CompleteMultipartUploadResult><Location>l</Location><Bucket>photos</Bucket><Key>k</Key>\
                        <ETag>e</ETag></CompleteMultipartUploadResult>"
            .into_response(),
        _ => [(header::ETAG, "\"e\"")].into_response(),
    })
    .await;
    let gateway = S3Server::used_at(&bucket.url)
        .set("image_store.s3.acl", "public-read")
        .start()
        .await;
    assert_eq!(gateway.upload_new_photo().await.code(), (200, 0));
    let large = [crate::support::TINY_PHOTO, &vec![7; 6 * 1024 * 1024]].concat();
    let answer = gateway.upload(&gateway.wechat.takes_photo(&large)).await;
    assert_eq!(answer.code(), (200, 0), "{answer:?}");
    let seen = bucket.seen();
    assert_eq!(seen.len(), 5, "an object in one piece, and one in two parts: {seen:?}");
    for (method, uri, headers) in seen {
        let begins = uri.query().is_none_or(|query| query == "uploads=");
        let signed = headers["authorization"].to_str().unwrap().contains("x-amz-acl");
        assert_eq!(
            (headers.contains_key("x-amz-acl"), signed),
            (begins, begins),
            "{method} {uri}"
        );
        if begins {
            assert_eq!(headers["x-amz-acl"], "public-read");
            assert_eq!(headers["content-type"], "image/jpeg", "{method} {uri}");
            assert_eq!(headers["cache-control"], "public, max-age=31536000, immutable");
        }
    }
}

#[tokio::test]
async fn region_that_s3_names_is_reported_by_the_log_and_by_check() {
    let xml = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region 'us-east-1' is wrong</Message>\
               <Region>eu-west-1</Region></Error>";
    let elsewhere =
        "<Error><Code>PermanentRedirect</Code><Endpoint>photos.s3.eu-west-1.amazonaws.com</Endpoint></Error>";
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let moved = move || {
        (
            StatusCode::MOVED_PERMANENTLY,
            [("x-amz-bucket-region", "eu-west-1")],
            elsewhere,
        )
            .into_response()
    };
    let led = Impostor::start(|_, _| "followed".into_response()).await;
    let there = led.url.clone();
    let temporary = move || {
        let headers = [("location", there.as_str()), ("x-amz-bucket-region", "eu-west-1")];
        (StatusCode::TEMPORARY_REDIRECT, headers, elsewhere).into_response()
    };
    let malformed = move || (StatusCode::BAD_REQUEST, xml).into_response();
    for bucket in [
        Impostor::start(move |_, _| moved()).await,
        Impostor::start(move |_, _| temporary()).await,
        Impostor::start(move |_, _| malformed()).await,
    ] {
        let builder = S3Server::used_at(&bucket.url);
        let ran = builder.run(&wechat, &["check"]).await;
        assert!(
            ran.code == 1 && findings(&ran).contains("the bucket is in the region eu-west-1"),
            "{ran:?}"
        );
        let gateway = GatewayProcess::start(&builder, &wechat).await;
        assert_eq!(gateway.upload_new_photo().await.code(), (502, 3001));
        until("it is logged", || async {
            !gateway.logged("the region eu-west-1").is_empty()
        })
        .await;
    }
    assert_eq!(led.seen().len(), 0, "no redirect is followed");
}

#[tokio::test]
async fn check_asks_for_its_picture_at_the_public_address() {
    let server = S3Server::start().await;
    let folder = server.bucket();
    let public = Impostor::start(move |_, uri| match std::fs::read(folder.join(&uri.path()[1..])) {
        Ok(content) => content.into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    })
    .await;
    let at = |url: &str| S3Server::used_at(server.url()).set("image_store.s3.public_base_url", url);
    let ran = check(&at(&public.url)).await;
    assert!(findings(&ran).contains("read back and removed"), "{ran:?}");
    assert!(!findings(&ran).contains("pages can't read it"), "{ran:?}");
    // The bucket's own address, which answers 403 to requests without a key.
    let private = format!("{}/photos", server.url());
    let ran = check(&at(&private)).await;
    let found = findings(&ran);
    assert!(
        found.contains("pages can't read it") && found.contains("HTTP status 403"),
        "{ran:?}"
    );
    assert!(
        found.contains("read back and removed") && found.contains("image_store.s3.acl"),
        "{ran:?}"
    );
    for text in ["<html>It works!</html>".to_owned(), "<p>".repeat(50_000)] {
        let page = Impostor::start(move |_, _| text.clone().into_response()).await;
        let ran = check(&at(&page.url)).await;
        assert!(findings(&ran).contains("different content is there"), "{ran:?}");
    }
    assert_eq!((ran.code, std::fs::read_dir(server.bucket()).unwrap().count()), (0, 0));
}

#[tokio::test]
async fn missing_s3_keys_and_role_are_reported_with_what_to_set() {
    let token = tempfile::NamedTempFile::new().unwrap();
    let builder = Gateway::builder()
        .set("image_store.backend", "s3")
        .set("image_store.s3.endpoint", format!("http://{}", free_address()))
        .set("image_store.s3.bucket", "photos")
        .set("image_store.s3.public_base_url", "https://img.example.com")
        .variable(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("http://{}/role", free_address()),
        )
        .variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.path().display());
    let ran = check(&builder).await;
    let found = findings(&ran);
    assert!(
        ran.code == 1 && found.contains("no image_store.s3.access_key_id is set"),
        "{ran:?}"
    );
    assert!(
        found.contains("what to do: set image_store.s3.access_key_id and secret_access_key, or give"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn endless_answer_of_s3_is_read_up_to_a_bound() {
    for status in [StatusCode::FORBIDDEN, StatusCode::OK, StatusCode::MOVED_PERMANENTLY] {
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        let bucket = Impostor::start(move |_, _| {
            let sent = Arc::clone(&counted);
            let endless = futures_util::stream::repeat_with(move || {
                sent.fetch_add(65536, Ordering::SeqCst);
                Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 65536]))
            });
            (status, [(header::ETAG, "\"e\"")], Body::from_stream(endless)).into_response()
        })
        .await;
        let gateway = S3Server::used_at(&bucket.url).start().await;
        // More than one part, so that bodies of successes are read too.
        let large = [crate::support::TINY_PHOTO, &vec![7; 6 * 1024 * 1024]].concat();
        let answer = gateway.upload(&gateway.wechat.takes_photo(&large)).await;
        assert_eq!(answer.code(), (502, 3001), "{answer:?}");
        let (requests, sent) = (bucket.seen().len(), sent.load(Ordering::SeqCst));
        assert!(
            sent < requests * 32 * 1024 * 1024,
            "{status}: {sent} bytes in {requests} answers"
        );
    }
}
