//! `POST /p/active/weChatOa/upload`: stores a photo from WeChat.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

use super::docs::UploadFailures;
use super::{PublicState, unknown_account};
use crate::http::{ApiError, ClientAddress, Code, Envelope, RequestId, media_type, text_of};
use crate::wechat::MediaId;

/// The maximum body length. A media id has about 64 characters.
const MAX_BODY: usize = 16 * 1024;

/// How long a caller may take to send the body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The photo to fetch.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UploadRequest {
    /// What `wx.uploadImage` returned as `serverId`: 1 to 512 characters of `[A-Za-z0-9_-]`.
    #[serde(default, deserialize_with = "text")]
    #[validate(required(message = "serverId不能為空"), custom(function = "check_media_id"))]
    #[schema(
        value_type = String,
        required = true,
        pattern = "^[A-Za-z0-9_-]{1,512}$",
        example = "1237378768e7q8e7r8qwesafdasdfasdfaxss111"
    )]
    media_id: Option<String>,
    /// The account it was uploaded to; the first one configured if it is left out.
    #[serde(default, deserialize_with = "text")]
    #[schema(example = "wx0123456789abcdef")]
    app_id: Option<String>,
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let message = "mediaId, and appId if it is sent, must be a string";
    Option::deserialize(deserializer).map_err(|_| D::Error::custom(message))
}

fn check_media_id(text: &str) -> Result<(), ValidationError> {
    let message = if text.trim().is_empty() {
        "serverId不能為空"
    } else if MediaId::parse(text).is_none() {
        "mediaId must be 1 to 512 characters of [A-Za-z0-9_-]: send the serverId of wx.uploadImage, not a localId"
    } else {
        return Ok(());
    };
    Err(ValidationError::new("media_id").with_message(message.into()))
}

/// Fetch a photo from WeChat into the image store
///
/// Returns the stored picture's URL. The same `mediaId` is stored once, however often it is sent; a
/// caller that hangs up may ask again.
#[utoipa::path(
    post,
    path = "/p/active/weChatOa/upload",
    tag = "H5",
    request_body = UploadRequest,
    security((), ("api_key" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The stored picture's URL", body = Envelope<'_, String>,
         example = json!({"code": 0, "message": "ok", "data": "/images/0f9de62fce790f9a083d5c99e95740ce.jpg", "traceId": "0a1b2c3d4e5f60718293a4b5c6d7e8f9"})),
        UploadFailures
    )
)]
pub(super) async fn upload_photo(
    State(state): State<Arc<PublicState>>,
    Extension(id): Extension<RequestId>,
    Extension(client): Extension<ClientAddress>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    state.auth.check(&parts.headers).await?;
    state.upload_limit.check(client.0)?;
    if !is_json(&parts.headers) {
        return Err(ApiError::new(Code::BodyNotJson, "send the body as application/json"));
    }
    let body = read(&parts.headers, body).await?;
    let (media_id, app_id) = parse(&body)?;
    let account = state.directory.find(app_id.as_deref()).ok_or_else(unknown_account)?;
    let url = state.relay.upload(&account.media, media_id).await?;
    Ok(Envelope::ok(url.as_ref(), &id))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = media_type(headers);
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    let announced = text_of(headers, header::CONTENT_LENGTH).parse::<u64>();
    if announced.is_ok_and(|length| length > MAX_BODY as u64) {
        return Err(ApiError::plain(Code::BodyTooLarge));
    }
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::plain(Code::BodyTooLarge)),
        Ok(Err(error)) => Err(ApiError::new(Code::ParamInvalid, "the body is incomplete").with_detail(error)),
        Err(_) => Err(ApiError::new(
            Code::RequestTimeout,
            "the body did not arrive within 10 seconds",
        )),
    }
}

/// Parses the body of an upload: the photo's id, and the account if given.
pub fn parse(body: &[u8]) -> Result<(MediaId, Option<String>), ApiError> {
    let invalid = |message: String| ApiError::new(Code::ParamInvalid, message);
    let value: Value =
        serde_json::from_slice(body).map_err(|error| invalid(format!("the body must be JSON: {error}")))?;
    // Checked here, since serde would quote the wrong value, and would also read a struct from an array.
    let Value::Object(object) = value else {
        return Err(invalid("the body must be a JSON object".to_owned()));
    };
    let request = UploadRequest::deserialize(Value::Object(object)).map_err(|error| invalid(error.to_string()))?;
    request.validate()?;
    let media_id = request.media_id.as_deref().and_then(MediaId::parse);
    // Always present, since it was validated.
    let media_id = media_id.ok_or_else(|| ApiError::plain(Code::ParamInvalid))?;
    Ok((media_id, request.app_id.filter(|app_id| !app_id.is_empty())))
}
