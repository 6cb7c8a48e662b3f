//! `GET /wechat/jsSDK`: what a page passes to `wx.config`.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::code::Code;
use super::docs::SigningFailures;
use super::edge::Client;
use super::envelope::{ApiError, Envelope, written};
use super::request_id::RequestId;
use super::{Api, unknown_account};
use crate::directory::Account;
use crate::jssdk::{Nonce, PageUrl, QueryParams, UrlProblem, sign};

/// What the page sends. Read from the raw query, since signing must not change a byte of `url`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query string to the OpenAPI document")]
pub(super) struct SignQuery {
    /// The page's URL as the browser knows it, `encodeURIComponent(location.href.split('#')[0])`.
    /// It is decoded exactly once, its fragment is dropped, and the rest is signed byte for byte.
    #[param(
        pattern = "^https?://[A-Za-z0-9._~%-]+(:[0-9]+)?([/?#][^\\x00-\\x1f\\x7f]*)?$",
        max_length = 8192,
        example = "https://h5.example.com/page?a=1"
    )]
    url: String,
    /// The account; the first one configured where it is left out.
    #[param(rename = "appId", required = false, example = "wx0123456789abcdef")]
    app_id: Option<String>,
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

/// Sign a page for wx.config
///
/// Answers what the page that calls it passes to `wx.config`, with a fresh `timestamp` and
/// `nonceStr` each time. Other parameters beside an encoded `url`, such as cache busters, are ignored.
#[utoipa::path(
    get,
    path = "/wechat/jsSDK",
    tag = "H5",
    params(SignQuery),
    responses((status = 200, description = "The page's signature", body = Envelope<SignedPage<'_>>), SigningFailures)
)]
pub(super) async fn sign_page(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
    id: RequestId,
    client: Client,
) -> Result<Response, ApiError> {
    api.jssdk_limit.check(client.0)?;
    let query = query.unwrap_or_default();
    let params = QueryParams::parse(&query).map_err(|problem| refuse(&problem))?;
    let (account, page) = admit(&api, &params)?;
    let ticket = account.credentials.ticket().await?;
    Ok(signed(account, ticket.value.expose(), &page, id))
}

/// The same answer without a wait, for the edge to give before anything else is set up for a request;
/// `None` where something stands in its way, which [`sign_page`] then says.
pub(super) fn sign_at_once(api: &Api, query: &str, client: IpAddr, id: RequestId) -> Option<Response> {
    let params = QueryParams::parse(query).ok()?;
    let (account, page) = admit(api, &params).ok()?;
    account
        .credentials
        .with_warm_ticket(|ticket| {
            // Last, so that a request is counted once.
            api.jssdk_limit.check(client).ok()?;
            Some(signed(account, ticket.value.expose(), &page, id))
        })
        .flatten()
}

/// Whose page it is, if it may be signed.
fn admit<'a>(api: &'a Api, params: &'a QueryParams<'_>) -> Result<(&'a Account, PageUrl<'a>), ApiError> {
    let page = PageUrl::parse(&params.url).map_err(|problem| refuse(&problem))?;
    let account = api.directory.find(params.app_id.as_deref());
    let account = account.ok_or_else(unknown_account)?;
    if account.signs(&page) {
        return Ok((account, page));
    }
    let message = format!("{} is not under any of this account's js_domains", page.host());
    Err(ApiError::new(Code::DomainNotAllowed, message))
}

fn signed(account: &Account, ticket: &str, page: &PageUrl<'_>, id: RequestId) -> Response {
    let nonce = Nonce::random();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let timestamp = now.as_secs().to_string();
    let signature = sign(ticket, nonce.as_str(), &timestamp, page.as_str());
    let page = SignedPage {
        app_id: account.app_id().as_str(),
        timestamp: &timestamp,
        nonce_str: nonce.as_str(),
        signature: &signature,
    };
    written(page.in_envelope(id))
}

impl SignedPage<'_> {
    /// The JSON of this page's [`Envelope`]. All of it is letters, digits and signs that JSON leaves as
    /// they are, and looking at each of them again costs a signature more than anything but SHA-1.
    fn in_envelope(&self, id: RequestId) -> String {
        [
            r#"{"code":0,"message":"ok","data":{"appId":""#,
            self.app_id,
            r#"","timestamp":""#,
            self.timestamp,
            r#"","nonceStr":""#,
            self.nonce_str,
            r#"","signature":""#,
            self.signature,
            r#""},"traceId":""#,
            id.as_str(),
            r#""}"#,
        ]
        .concat()
    }
}

fn refuse(problem: &UrlProblem) -> ApiError {
    let code = match problem {
        UrlProblem::Missing | UrlProblem::Repeated | UrlProblem::TooLong => Code::ParamInvalid,
        UrlProblem::NotAbsolute | UrlProblem::EncodedTooOften(_) | UrlProblem::NotAPageUrl | UrlProblem::Spilled(_) => {
            Code::UrlInvalid
        }
    };
    ApiError::new(code, problem.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_by_hand_is_what_serde_writes() {
        let nonce = Nonce::random();
        let page = SignedPage {
            app_id: "wx0123456789abcdef",
            timestamp: "1414587457",
            nonce_str: nonce.as_str(),
            signature: &sign("a-ticket", nonce.as_str(), "1414587457", "https://a.cn/"),
        };
        let trace_id = RequestId::random();
        let written = page.in_envelope(trace_id);
        let (code, message, data) = (0, "ok", page);
        let envelope = Envelope {
            code,
            message,
            data,
            trace_id,
        };
        assert_eq!(written, serde_json::to_string(&envelope).unwrap());
    }
}
