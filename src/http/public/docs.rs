//! The OpenAPI document, generated from the routes and the code table, so that it can't differ from them.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::openapi::{
    Content, ContentBuilder, Ref, RefOr, Response, ResponseBuilder,
    example::ExampleBuilder,
    header::HeaderBuilder,
    security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa::{IntoResponses, Modify, OpenApi};

use crate::http::Code;
use crate::http::envelope::Failure;
use crate::picture::PictureKind;

/// The document without its routes, which the router adds.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "wxgate",
        description = "The gateway between a company's H5 pages and WeChat: JS-SDK signatures and photo uploads. Every \
            response of the H5 routes, and every error, has the same envelope; distinguish errors by `code`."
    ),
    components(schemas(Failure<'_>)),
    modifiers(&Security),
    tags((name = "H5", description = "Called by pages"), (name = "Operations", description = "Called by probes"))
)]
pub(super) struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-Api-Key")));
        components.add_security_scheme("api_key", key);
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
            "An API key, or a JSON Web Token, depending on `auth.mode`; the token may also be in the cookie \
                 `auth.jwt_cookie`",
        ));
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
    }
}

/// The failures of `GET /wechat/jsSDK`.
pub(super) struct SigningFailures;

impl IntoResponses for SigningFailures {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut failures = failures(&[
            Code::ParamInvalid,
            Code::UrlInvalid,
            Code::DomainNotAllowed,
            Code::AccountUnknown,
            Code::MethodNotAllowed,
            Code::RateLimited,
            Code::CredentialUnavailable,
            Code::RequestTimeout,
            Code::Internal,
        ]);
        // Refused by the HTTP library, so it has no envelope.
        let response = ResponseBuilder::new().description("the head of the request is too large");
        failures.insert("431".to_owned(), RefOr::T(response.build()));
        failures
    }
}

/// A picture of any kind that may be stored, in whole or in part.
pub(super) struct Pictures;

impl IntoResponses for Pictures {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let response = |description: &str| {
            let response = ResponseBuilder::new().description(description);
            let kinds = PictureKind::ALL.into_iter();
            let response = kinds.fold(response, |response, kind| {
                response.content(kind.media_type(), Content::default())
            });
            RefOr::T(response.build())
        };
        [("200", "The picture"), ("206", "The part that `Range` asks for")]
            .map(|(status, description)| (status.to_owned(), response(description)))
            .into()
    }
}

/// The failures of `POST /p/active/weChatOa/upload`.
pub(super) struct UploadFailures;

impl IntoResponses for UploadFailures {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let elsewhere = [
            Code::UrlInvalid,
            Code::DomainNotAllowed,
            Code::NotFound,
            Code::PreconditionFailed,
            Code::RangeNotSatisfiable,
        ];
        let codes: Vec<Code> = Code::ALL.into_iter().filter(|code| !elsewhere.contains(code)).collect();
        failures(&codes)
    }
}

/// Whether such a failure may carry a `Retry-After`.
fn may_have_retry_after(code: Code) -> bool {
    let is_wechats = matches!(
        code,
        Code::WechatUnreachable | Code::WechatTimedOut | Code::WechatStatus | Code::WechatBody | Code::WechatRefused
    );
    is_wechats || matches!(code.status().as_u16(), 429 | 503)
}

/// A response per HTTP status, with an example per code.
fn failures(codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<String, Vec<Code>> = BTreeMap::new();
    for code in codes {
        let status = code.status().as_str().to_owned();
        by_status.entry(status).or_default().push(*code);
    }
    let responses = by_status.into_iter();
    responses
        .map(|(status, codes)| (status, RefOr::T(response(&codes))))
        .collect()
}

fn response(codes: &[Code]) -> Response {
    let describe = |code: &Code| format!("`{}` {}: {}", code.number(), code.name(), code.when());
    let description: Vec<String> = codes.iter().map(describe).collect();
    let examples = codes.iter().map(|code| {
        let mut value = json!({
            "code": code.number(),
            "error": code.name(),
            "message": code.when(),
            "data": null,
            "traceId": "0a1b2c3d4e5f60718293a4b5c6d7e8f9",
        });
        if *code == Code::WechatRefused {
            value["errcode"] = json!(45009);
        }
        (code.name().to_owned(), ExampleBuilder::new().value(Some(value)).build())
    });
    let content = ContentBuilder::new()
        .schema(Some(RefOr::Ref(Ref::from_schema_name("Failure"))))
        .examples_from_iter(examples)
        .build();
    let retry = codes.iter().any(|code| may_have_retry_after(*code));
    let mut response = ResponseBuilder::new()
        .description(description.join("; "))
        .content("application/json", content);
    if retry {
        let header = HeaderBuilder::new()
            .description(Some("Seconds to wait before a retry"))
            .build();
        response = response.header("Retry-After", header);
    }
    response.build()
}
