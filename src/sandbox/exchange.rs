//! One call from request to delivery: count it, look for faults, execute it, log it.

use std::io::Read as _;
use std::net::IpAddr;
use std::time::Duration;

use axum::http::header::CONNECTION;
use axum::http::{Method, Version};
use bytes::Bytes;
use flate2::Compression;
use flate2::bufread::GzEncoder;
use serde_json::{Map, Value};

use super::active_rules::CallFaults;
use super::answer::{Answer, Body, Delivery, End, Framing, Payload};
use super::api::Api;
use super::fault::Fault;
use super::handle::Sandbox;
use super::request::Request;
use super::state::LockedState;
use super::wechat::WeChat;

/// Answers `request`.
pub(super) async fn exchange(sandbox: &Sandbox, request: Request) -> Delivery {
    let api = Api::at(request.head.uri.path());
    let to_apply = sandbox.state().arrive(api, &request);
    wait(&to_apply, true).await;
    let delivery = deliver(&mut sandbox.state(), api, &request, &to_apply.faults);
    wait(&to_apply, false).await;
    delivery
}

/// Waits as the faults say, before the operation or after it.
async fn wait(to_apply: &CallFaults, before: bool) {
    for fault in &to_apply.faults {
        match *fault {
            Fault::Delay {
                millis,
                before_operation,
            } if before_operation == before => tokio::time::sleep(Duration::from_millis(millis)).await,
            Fault::Hold { before_operation } if before_operation == before => to_apply.released.cancelled().await,
            _ => {}
        }
    }
}

fn deliver(state: &mut LockedState, api: Api, request: &Request, faults: &[Fault]) -> Delivery {
    let replacement = faults
        .iter()
        .find_map(|fault| fault.replacement(&state.wechat, api, request.peer));
    let payload = replacement.unwrap_or_else(|| Payload::Answer(state.wechat.answer(api, request)));
    state.record(api, request, &payload, faults);
    let mut connection = request.head.headers.get_all(CONNECTION).iter();
    let says_close = connection.any(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
    let mut delivery = Delivery {
        last: says_close || request.head.version == Version::HTTP_10,
        head_only: request.head.method == Method::HEAD,
        ..Delivery::new(payload, state.wechat.clock.unix())
    };
    for fault in faults {
        fault.apply(&mut delivery);
    }
    delivery
}

impl Fault {
    /// What is sent instead of the operation's answer, for a fault that prevents the operation.
    fn replacement(&self, wechat: &WeChat, api: Api, peer: IpAddr) -> Option<Payload> {
        let answer = |status, body: &str| Answer::new(status, Body::Bytes(Bytes::from(body.to_owned())));
        Some(match self {
            Self::Errcode { code, message } => Payload::Answer(wechat.refusal(*code, api, peer, message.as_deref())),
            Self::Status { status, body } => Payload::Answer(answer(*status, body).header("Content-Type", "text/html")),
            Self::Body { body, content_type } => {
                Payload::Answer(answer(200, body).header("Content-Type", content_type))
            }
            Self::Empty => Payload::Answer(Answer::empty(200)),
            Self::Redirect { location, status } => Payload::Answer(Answer::empty(*status).header("Location", location)),
            Self::Raw { bytes } => Payload::Raw(bytes.clone().into()),
            Self::Reset => Payload::Nothing(End::Reset),
            Self::Close => Payload::Nothing(End::Close),
            Self::Stall => Payload::Nothing(End::Stall),
            _ => return None,
        })
    }

    /// Changes what is sent, or how.
    fn apply(&self, delivery: &mut Delivery) {
        match self {
            Self::LostAnswer { end } => delivery.payload = Payload::Nothing(*end),
            Self::Cut { after, end } => delivery.cut = Some((*after, *end)),
            Self::Drip { bytes, millis } => delivery.drip = Some((*bytes, Duration::from_millis(*millis))),
            Self::WrongLength { off_by } => delivery.framing = Framing::Length(*off_by),
            Self::Chunked => delivery.framing = Framing::Chunked,
            Self::NoLength => delivery.framing = Framing::UntilClose,
            _ => {
                if let Payload::Answer(answer) = &mut delivery.payload {
                    self.apply_to_answer(answer);
                }
            }
        }
    }

    fn apply_to_answer(&self, answer: &mut Answer) {
        match (self, &mut answer.body) {
            (Self::ContentType { value }, _) => answer.set_header("Content-Type", value.clone()),
            (Self::Headers { set }, _) => {
                for (name, value) in set {
                    answer.set_header(name, Some(value.clone()));
                }
            }
            (Self::Gzip, body) => {
                let mut compressed = Vec::new();
                // Reading from memory can't fail.
                _ = GzEncoder::new(&*body.to_bytes(), Compression::fast()).read_to_end(&mut compressed);
                *body = Body::Bytes(compressed.into());
                answer.set_header("Content-Encoding", Some("gzip".to_owned()));
            }
            (Self::ControlCharacters, Body::Json(object)) => {
                answer.body = Body::Bytes(with_control_characters(&object.to_string()));
            }
            (_, Body::Json(Value::Object(fields))) => self.apply_to_fields(fields),
            _ => {}
        }
    }

    fn apply_to_fields(&self, fields: &mut Map<String, Value>) {
        match self {
            // An error has no `expires_in` and must not get one.
            Self::ExpiresIn { value } if fields.contains_key("expires_in") => set_field(fields, "expires_in", value),
            Self::Fields { set } => set.iter().for_each(|(name, value)| set_field(fields, name, value)),
            Self::NumbersAsStrings => {
                for number in fields.values_mut().filter(|value| value.is_number()) {
                    *number = Value::from(number.to_string());
                }
            }
            _ => {}
        }
    }
}

/// Sets the field with this name, or removes it if `value` is null. The others keep their order.
fn set_field(fields: &mut Map<String, Value>, name: &str, value: &Value) {
    if value.is_null() {
        fields.shift_remove(name);
    } else {
        fields.insert(name.to_owned(), value.clone());
    }
}

/// `json`, an object, with raw control characters at the end of its `errmsg` or, without one, in a field of their own.
fn with_control_characters(json: &str) -> Bytes {
    const RAW: &str = "\u{1}\t\u{1f}";
    let inside = json.find("\"errmsg\":\"").map(|at| at + "\"errmsg\":\"".len());
    match inside {
        Some(at) => format!("{}{RAW}{}", &json[..at], &json[at..]).into(),
        None => format!("{},\"remark\":\"{RAW}\"}}", json.trim_end_matches('}')).into(),
    }
}
