//! `GET /wechat/jsSDK`: what a page passes to `wx.config`.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;
use tracing::Level;
use utoipa::{IntoParams, ToSchema};
use validator::{Validate, ValidationError};

use super::docs::SigningFailures;
use super::{PublicState, unknown_account};
use crate::directory::Account;
use crate::http::{ApiError, ClientAddress, Code, Envelope, RequestId};
use crate::jssdk::{PageUrl, QueryParams, UrlProblem, printable, random_nonce, sign};

/// What the page sends. Made from the raw query by [`QueryParams`], since signing must not change a byte of `url`.
#[derive(Validate, IntoParams)]
#[into_params(parameter_in = Query)]
struct SignQuery<'a> {
    /// The page's URL as the browser knows it, `encodeURIComponent(location.href.split('#')[0])`.
    /// It is decoded exactly once, its fragment is dropped, and the rest is signed byte for byte.
    #[param(
        value_type = String,
        pattern = "^https?://[A-Za-z0-9._~%-]+(:[0-9]+)?([/?#][^\\x00-\\x1f\\x7f]*)?$",
        max_length = 8192,
        example = "https://h5.example.com/page?a=1"
    )]
    #[validate(custom(function = "not_blank"))]
    url: Cow<'a, str>,
    /// The account; the first one configured if it is left out.
    #[param(rename = "appId", required = false, value_type = Option<String>, example = "wx0123456789abcdef")]
    app_id: Option<Cow<'a, str>>,
    #[param(ignore)]
    is_app_id_doubtful: bool,
}

fn not_blank(url: &str) -> Result<(), ValidationError> {
    if url.trim().is_empty() {
        return Err(ValidationError::new("blank").with_message(UrlProblem::Missing.to_string().into()));
    }
    Ok(())
}

impl<'a> SignQuery<'a> {
    /// Parses the raw query string and checks the required parameters.
    fn parse(query: &'a str) -> Result<Self, ApiError> {
        let params = QueryParams::parse(query)?;
        let query = Self {
            url: params.url,
            app_id: params.app_id,
            is_app_id_doubtful: params.is_app_id_doubtful,
        };
        query.validate()?;
        Ok(query)
    }
}

/// What a page passes to `wx.config`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignedPage<'a> {
    /// The account.
    #[schema(example = "wx0123456789abcdef")]
    app_id: &'a str,
    /// When it was signed, in seconds since 1970, as a string.
    #[schema(example = "1414587457")]
    timestamp: &'a str,
    /// 16 random characters of `[A-Za-z0-9]`.
    #[schema(example = "Wm3WZYTPz0wzccnW")]
    nonce_str: &'a str,
    /// 40 lower-case hex digits.
    #[schema(example = "0f9de62fce790f9a083d5c99e95740ceb90c27ed")]
    signature: &'a str,
}

/// Added if `appId` may come from a page's URL that was sent unencoded.
const MAY_BE_THE_PAGES: &str = "; url was sent unencoded, so this appId may be a parameter of the page: send \
                                encodeURIComponent(location.href.split('#')[0])";

/// Sign a page for wx.config
///
/// Returns what the page that calls it passes to `wx.config`, with a fresh `timestamp` and
/// `nonceStr` each time. Other parameters next to an encoded `url`, such as cache busters, are ignored.
#[utoipa::path(
    get,
    path = "/wechat/jsSDK",
    tag = "H5",
    params(SignQuery<'_>),
    responses((status = 200, description = "The page's signature", body = Envelope<'_, SignedPage<'_>>), SigningFailures)
)]
pub(super) async fn sign_page(
    State(state): State<Arc<PublicState>>,
    RawQuery(query): RawQuery,
    Extension(id): Extension<RequestId>,
    Extension(client): Extension<ClientAddress>,
) -> Result<Response, ApiError> {
    state.jssdk_limit.check(client.0)?;
    let query = SignQuery::parse(query.as_deref().unwrap_or_default())?;
    let page = PageUrl::parse(&query.url)?;
    let account = state.directory.find(query.app_id.as_deref());
    let account = account.ok_or_else(|| {
        let mut unknown = unknown_account();
        if query.is_app_id_doubtful {
            unknown.message += MAY_BE_THE_PAGES;
        }
        unknown
    })?;
    if !account.signs(&page) {
        return Err(not_covered(account, &page));
    }
    if tracing::enabled!(Level::DEBUG)
        && let Some(warning) = page.warning()
    {
        tracing::debug!(host = page.host(), "{}", warning.en);
    }
    let Some(ticket) = account.credentials.ticket().await else {
        let message = "this account does not sign pages: its jsapi is false in the settings";
        return Err(ApiError::new(Code::AccountUnknown, message));
    };
    Ok(signed(account, ticket?.value.expose(), &page, &id))
}

/// Also names the page's path if that alone is the reason.
fn not_covered(account: &Account, page: &PageUrl<'_>) -> ApiError {
    let host = page.host();
    let is_host_covered = account.js_domains.iter().any(|domain| domain.covers_host(host));
    let path = if is_host_covered {
        printable(page.path())
    } else {
        String::new()
    };
    let message = format!("{host}{path} is not under any of this account's js_domains");
    ApiError::new(Code::DomainNotAllowed, message)
}

fn signed(account: &Account, ticket: &str, page: &PageUrl<'_>, id: &RequestId) -> Response {
    let nonce = random_nonce();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let timestamp = now.as_secs().to_string();
    let signature = sign(ticket, &nonce, &timestamp, page.as_str());
    let page = SignedPage {
        app_id: account.app_id().as_str(),
        timestamp: &timestamp,
        nonce_str: &nonce,
        signature: &signature,
    };
    Envelope::ok(page, id)
}

impl From<UrlProblem> for ApiError {
    fn from(problem: UrlProblem) -> Self {
        let code = match problem {
            UrlProblem::Missing | UrlProblem::Repeated | UrlProblem::TooLong => Code::ParamInvalid,
            UrlProblem::NotAbsolute
            | UrlProblem::EncodedTooOften
            | UrlProblem::NotAPageUrl
            | UrlProblem::Spilled(_) => Code::UrlInvalid,
        };
        Self::new(code, problem.to_string())
    }
}
