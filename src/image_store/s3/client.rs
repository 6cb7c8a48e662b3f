//! The S3 client: `object_store` over the gateway's own HTTP client, with keys or the machine's role. Answers have a maximum
//! length, and a redirect is an error: `object_store` itself would gather an endless answer, and lose a redirect's target.

use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt, Limited};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use super::error::{Redirect, region_in};
use crate::http_client;
use crate::settings::{self, UnusableSetting, resolved};

/// The time limit of a request, which uploads at most one part.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The header that grants rights to an object.
const ACL: HeaderName = HeaderName::from_static("x-amz-acl");

/// The clients for one bucket.
pub(super) struct BucketClients {
    /// For all requests except the one that begins an object.
    pub(super) plain: AmazonS3,
    /// Also sends the ACL. Stores accept that header only in the request that begins an object, so no other request has it.
    pub(super) creating: AmazonS3,
}

/// Clients for the bucket in `settings`, with connections according to `http`.
pub(super) fn open(
    settings: &resolved::S3Store,
    http: &settings::HttpClient,
) -> Result<BucketClients, UnusableSetting> {
    let client = http_client::build_with(http, CONNECT_TIMEOUT, |client| client.timeout(REQUEST_TIMEOUT))?;
    let build = |options| {
        let built = builder(settings)
            .with_client_options(options)
            .with_http_connector(Bounded(client.clone()))
            .build();
        built.map_err(|error| UnusableSetting::new("image_store.s3", error))
    };
    let mut headers = HeaderMap::new();
    if let Ok(acl) = HeaderValue::from_str(&settings.section.acl)
        && !acl.is_empty()
    {
        headers.insert(ACL, acl);
    }
    Ok(BucketClients {
        plain: build(ClientOptions::new())?,
        creating: build(ClientOptions::new().with_default_headers(headers))?,
    })
}

fn builder(settings: &resolved::S3Store) -> AmazonS3Builder {
    let retries = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: 2,
        retry_timeout: REQUEST_TIMEOUT,
    };
    let mut builder = AmazonS3Builder::new()
        .with_retry(retries)
        .with_region(&settings.section.region)
        .with_bucket_name(&settings.section.bucket)
        .with_virtual_hosted_style_request(!settings.path_style)
        // Every store can delete one object, but not every store many at once.
        .with_disable_bulk_delete(true);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/'));
    }
    match settings.section.keys() {
        Some((id, secret)) => builder
            .with_access_key_id(id.expose())
            .with_secret_access_key(secret.expose()),
        None => with_role(builder),
    }
}

/// The variables in which ECS and EKS describe the role of a container or a pod. EC2 needs none.
const ROLE: [(&str, AmazonS3ConfigKey); 7] = [
    ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
    ("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName),
    ("AWS_ENDPOINT_URL_STS", AmazonS3ConfigKey::StsEndpoint),
    (
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
    ),
    (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        AmazonS3ConfigKey::ContainerCredentialsFullUri,
    ),
    (
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        AmazonS3ConfigKey::ContainerAuthorizationTokenFile,
    ),
];

/// Uses the machine's role. No other AWS variable is read, since it could be an endpoint or a key for another program.
fn with_role(builder: AmazonS3Builder) -> AmazonS3Builder {
    ROLE.into_iter()
        .fold(builder, |builder, (name, key)| match std::env::var(name) {
            Ok(value) if !value.is_empty() => builder.with_config(key, value),
            _ => builder,
        })
}

/// The maximum length of an answer, in bytes. Answers to uploads are short XML; the only picture that is read back is
/// that of `wxgate check`.
const MAX_ANSWER: usize = 64 * 1024;

/// The gateway's client, so that `[http_client]` applies to S3 too, with a limit on answers.
#[derive(Debug, Clone)]
struct Bounded(reqwest::Client);

impl HttpConnector for Bounded {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Bounded {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (head, body) = self.0.call(request).await?.into_parts();
        let status = head.status;
        if status.is_success() {
            let body = Limited::new(body, MAX_ANSWER);
            let body = body.map_err(|error| HttpError::new_boxed(HttpErrorKind::Unknown, error));
            return Ok(HttpResponse::from_parts(head, HttpResponseBody::new(body)));
        }
        let body = beginning(body).await;
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            let header = head.headers.get("x-amz-bucket-region");
            let header = header.and_then(|region| region.to_str().ok());
            let region = header.or_else(|| region_in(&body)).map(str::to_owned);
            return Err(HttpError::new(HttpErrorKind::Unknown, Redirect { status, region }));
        }
        Ok(HttpResponse::from_parts(head, body.into()))
    }
}

/// The start of a failure's body, which contains the error code.
async fn beginning(mut body: HttpResponseBody) -> String {
    let mut read = Vec::new();
    while read.len() < MAX_ANSWER
        && let Some(Ok(frame)) = body.frame().await
    {
        let chunk = frame.into_data().unwrap_or_default();
        let room = MAX_ANSWER - read.len();
        read.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    String::from_utf8_lossy(&read).into_owned()
}
