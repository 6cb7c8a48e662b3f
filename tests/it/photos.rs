//! Photos from WeChat into the store: real ones arrive byte for byte, and hostile answers are not stored.

use std::collections::BTreeMap;
use std::path::PathBuf;

use wxgate::sandbox::{Api, End, Fault, Rule, Upload};

use crate::support::{Gateway, ImageService, photo};

/// The files in the gateway's folder, except the test's own.
fn stored(gateway: &Gateway) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(gateway.images.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries.filter(|path| !path.ends_with(".wxgate.toml")).collect()
}

#[tokio::test]
async fn real_photos_arrive_byte_for_byte_and_are_served_as_what_they_are() {
    let gateway = Gateway::start().await;
    for (name, extension, kind) in [
        ("portrait.jpg", "jpg", "image/jpeg"),
        ("phone.jpg", "jpg", "image/jpeg"),
        ("portrait.png", "png", "image/png"),
        ("portrait.gif", "gif", "image/gif"),
        ("portrait.webp", "webp", "image/webp"),
        ("portrait.bmp", "bmp", "image/bmp"),
        ("portrait.heic", "heic", "image/heic"),
    ] {
        let bytes = photo(name);
        let answer = gateway.upload(&gateway.wechat.takes_photo(&bytes)).await;
        assert_eq!(answer.code(), (200, 0), "{name}: {answer:?}");
        let url = answer.body["data"].as_str().unwrap();
        assert!(
            url.starts_with("/images/") && url.ends_with(&format!(".{extension}")),
            "{url}"
        );
        let served = reqwest::get(gateway.url(url)).await.unwrap();
        assert_eq!(served.status(), 200);
        for (header, value) in [
            ("content-type", kind),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "public, max-age=31536000, immutable"),
        ] {
            assert_eq!(served.headers()[header], value, "{name}");
        }
        assert!(served.bytes().await.unwrap() == bytes, "{name} has changed on its way");
    }
    assert_eq!(stored(&gateway).len(), 7);
    for path in [
        "/images/",
        "/images/.wxgate.toml",
        "/images/..%2f.wxgate.toml",
        "/images/%2e%2e/x.jpg",
    ] {
        assert_eq!(gateway.get(path).await.code(), (404, 1009), "{path}");
    }
}

/// WeChat's headers are ignored: its file names, types and encodings reach neither the store nor the page.
#[tokio::test]
async fn picture_kind_is_read_from_bytes_and_not_from_headers() {
    let gateway = Gateway::start().await;
    let bytes = photo("portrait.jpg");
    let headers = |name: &str, value: &str| Fault::Headers {
        set: BTreeMap::from([(name.to_owned(), value.to_owned())]),
    };
    for fault in [
        headers(
            "Content-disposition",
            "attachment; filename=\"../../../etc/cron.d/evil.sh\"",
        ),
        headers("Content-disposition", "attachment; filename=\"a\"b.php\""),
        headers("Content-disposition", "attachment; filename=\"x.jpg\"\r\nX-Evil: 1"),
        headers("Content-disposition", ""),
        Fault::ContentType {
            value: Some("text/html".to_owned()),
        },
        Fault::ContentType {
            value: Some("text/plain".to_owned()),
        },
        Fault::ContentType { value: None },
        Fault::Chunked,
        Fault::NoLength,
        Fault::Drip {
            bytes: 8 * 1024,
            millis: 1,
        },
    ] {
        let what = format!("{fault:?}");
        let rule = gateway.wechat.sandbox.inject(fault.on(Api::MediaGet));
        let answer = gateway.upload(&gateway.wechat.takes_photo(&bytes)).await;
        assert_eq!(answer.code(), (200, 0), "{what}: {answer:?}");
        let name = answer.body["data"]
            .as_str()
            .unwrap()
            .strip_prefix("/images/")
            .unwrap()
            .to_owned();
        let hex = name.strip_suffix(".jpg").unwrap();
        assert!(
            hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()),
            "{what}: {name}"
        );
        assert!(
            std::fs::read(gateway.images.path().join(&name)).unwrap() == bytes,
            "{what}"
        );
        gateway.wechat.sandbox.remove_fault(rule);
    }
}

#[tokio::test]
async fn incomplete_picture_leaves_nothing_behind() {
    let gateway = Gateway::builder().set("wechat.timeout", "2s").start().await;
    gateway.until_ready().await;
    let bytes = photo("portrait.jpg");
    let refusals: [(Rule, (u16, i64)); 9] = [
        (Fault::Gzip.on(Api::MediaGet), (422, 2006)),
        (Fault::WrongLength { off_by: 100 }.on(Api::MediaGet), (502, 2003)),
        (Fault::cut(20_000).on(Api::MediaGet), (502, 2003)),
        (
            Fault::Cut {
                after: 20_000,
                end: End::Reset,
            }
            .on(Api::MediaGet),
            (502, 2003),
        ),
        (Fault::stall_after(20_000).on(Api::MediaGet), (504, 2001)),
        (Fault::stall_after(0).on(Api::MediaGet), (504, 2001)),
        (Fault::errcode(40007).on(Api::MediaGet).and(plain_text()), (404, 2005)),
        (Fault::errcode(-1).on(Api::MediaGet).and(plain_text()), (502, 2004)),
        (
            Fault::errcode(45009).on(Api::MediaGet).and(Fault::NumbersAsStrings),
            (502, 2004),
        ),
    ];
    for (rule, code) in refusals {
        let what = format!("{rule:?}");
        let rule = gateway.wechat.sandbox.inject(rule);
        let answer = gateway.upload(&gateway.wechat.takes_photo(&bytes)).await;
        assert_eq!(answer.code(), code, "{what}: {answer:?}");
        gateway.wechat.sandbox.remove_fault(rule);
    }
    let app_id = gateway.wechat.account().app_id;
    for hostile in [
        "<html><script>alert(1)</script></html>",
        "<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>",
        "BMW is a car, not a bitmap",
        "GIF89 or so",
        "%PDF-1.7",
        "MZ",
    ] {
        let upload = Upload::new(hostile.as_bytes()).content_type("image/jpeg");
        let answer = gateway
            .upload(&gateway.wechat.sandbox.upload_media(&app_id, upload).unwrap())
            .await;
        assert_eq!(answer.code(), (422, 2006), "{hostile}: {answer:?}");
    }
    let nothing = gateway
        .wechat
        .sandbox
        .upload_media(&app_id, Upload::new(&b""[..]).content_type("image/jpeg"));
    assert_eq!(gateway.upload(&nothing.unwrap()).await.code(), (502, 2003));
    assert_eq!(stored(&gateway), Vec::<PathBuf>::new(), "nothing may be left behind");

    // A picture's magic number makes it a picture; it is served as that kind and no other.
    let polyglot = [&b"\xFF\xD8\xFF\xE0"[..], b"<script>alert(1)</script>"].concat();
    let answer = gateway.upload(&gateway.wechat.takes_photo(&polyglot)).await;
    let served = reqwest::get(gateway.url(answer.body["data"].as_str().unwrap()))
        .await
        .unwrap();
    assert_eq!(served.headers()["content-type"], "image/jpeg");
    assert_eq!(served.headers()["x-content-type-options"], "nosniff");
}

fn plain_text() -> Fault {
    Fault::ContentType {
        value: Some("text/plain".to_owned()),
    }
}

/// Announced or not, the size is what counts.
#[tokio::test]
async fn picture_of_max_bytes_fits_and_one_byte_more_does_not() {
    const MAX: usize = 300_000;
    let gateway = Gateway::builder().set("media.max_bytes", MAX).start().await;
    let picture = |size: usize| {
        let mut bytes = vec![0x55; size];
        bytes[..4].copy_from_slice(b"\xFF\xD8\xFF\xE0");
        bytes
    };
    for announced in [true, false] {
        let rule = (!announced).then(|| gateway.wechat.sandbox.inject(Fault::Chunked.on(Api::MediaGet)));
        let fits = gateway.upload(&gateway.wechat.takes_photo(&picture(MAX))).await;
        assert_eq!(fits.code(), (200, 0), "announced: {announced}");
        let too_large = gateway.upload(&gateway.wechat.takes_photo(&picture(MAX + 1))).await;
        assert_eq!(too_large.code(), (422, 2006), "announced: {announced}");
        if let Some(rule) = rule {
            gateway.wechat.sandbox.remove_fault(rule);
        }
    }
    assert_eq!(stored(&gateway).len(), 2);
}

#[tokio::test]
async fn uploads_are_counted() {
    let gateway = Gateway::start().await;
    let bytes = photo("portrait.png");
    let id = gateway.wechat.takes_photo(&bytes);
    assert_eq!(gateway.upload(&id).await.code(), (200, 0));
    assert_eq!(gateway.upload(&id).await.code(), (200, 0));
    assert_eq!(gateway.upload("unknown").await.code(), (404, 2005));
    let uploads = async |outcome: &str| {
        gateway
            .metric(&format!("wxgate_uploads_total{{outcome=\"{outcome}\"}}"))
            .await
    };
    assert!((uploads("stored").await - 1.0).abs() < 0.1);
    assert!((uploads("remembered").await - 1.0).abs() < 0.1);
    assert!((uploads("not_found").await - 1.0).abs() < 0.1);
    #[expect(clippy::cast_precision_loss, reason = "a picture's size")]
    let size = bytes.len() as f64;
    assert!((gateway.metric("wxgate_upload_bytes_total").await - size).abs() < 0.1);
    assert!(gateway.metric("wxgate_uploads_in_flight").await.abs() < 0.1);
}

/// An upload service's own time limit ends while it waits for WeChat: that is no failure of the service's.
#[tokio::test]
async fn slow_wechat_is_not_reported_as_a_store_failure() {
    let service = ImageService::start().await;
    let gateway = Gateway::builder()
        .set("image_store.backend", "http")
        .set("image_store.http.url", service.url())
        .set("image_store.http.timeout", "500ms")
        .start()
        .await;
    gateway.until_ready().await;
    let photo = gateway.wechat.takes_photo(&photo("portrait.jpg"));
    gateway
        .wechat
        .sandbox
        .inject(Fault::stall_after(20_000).on(Api::MediaGet));
    assert_eq!(gateway.upload(&photo).await.code(), (504, 2001));
    assert_eq!(gateway.wechat.sandbox.calls(Api::MediaGet), 1);
}
