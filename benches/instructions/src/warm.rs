//! A gateway that is ready to sign, called without a socket.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use wxgate::app::{App, AppParts, replica_name};
use wxgate::sandbox::{Sandbox, SandboxConfig};
use wxgate::settings::{Settings, Sources};

/// The URL of a shared page, with the parameters that WeChat appends, encoded.
pub const QUERY: &str =
    "url=https%3A%2F%2Fh5.example.com%2Factivity%2Fdetail%3Fid%3D20261122%26from%3Dsinglemessage%26isappinstalled%3D0";

/// The public listener's service, with a warm ticket. It lives as long as the runtime.
pub async fn gateway() -> Router {
    let sandbox = Sandbox::new(SandboxConfig::default());
    let account = sandbox.config().accounts[0].clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let wechat = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(sandbox.serve(listener, CancellationToken::new()));
    let env = [
        ("WXGATE_APP_ID", account.app_id.as_str()),
        ("WXGATE_APP_SECRET", account.secret.expose()),
        ("WXGATE__ACCOUNTS__0__JS_DOMAINS", "example.com"),
        ("WXGATE__SERVER__LISTEN", "127.0.0.1:0"),
        ("WXGATE__INTERNAL__LISTEN", ""),
        ("WXGATE__WECHAT__API_BASE_URL", &wechat),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let sources = Sources {
        env: env.into_iter().collect(),
        ..Sources::default()
    };
    let settings = Settings::load(&sources).unwrap_or_else(|problems| panic!("{problems}"));
    let parts = AppParts {
        settings,
        replica: replica_name(),
        sandbox: Router::new(),
    };
    let app = App::build(parts).await.unwrap();
    let service = app.service();
    tokio::spawn(app.run(CancellationToken::new()));
    // The first one waits for the ticket.
    let answer = service.clone().oneshot(request()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    service
}

/// What a page sends.
pub fn request() -> Request<Body> {
    let mut request = Request::get(format!("/wechat/jsSDK?{QUERY}"))
        .body(Body::empty())
        .unwrap();
    request.headers_mut().insert("host", "h5.example.com".parse().unwrap());
    request
        .headers_mut()
        .insert("user-agent", "Mozilla/5.0 MicroMessenger".parse().unwrap());
    request
}
