//! Paths that take an AppSecret: a client's own secret is replaced by it. A wrong secret is not sent.

use serde_json::{Map, Value};

use super::Internal;
use super::body::SMALL;
use super::call::ProxiedCall;
use super::parameters;
use super::target::takes_secret;
use crate::byte_order_mark::without_mark;
use crate::http::internal::answer::Refusal;
use crate::http::internal::clients::TokenClient;
use crate::secret::Secret;
use crate::wechat::{CallBody, begins_as_json};

/// The names of the parameter that holds the secret.
const NAMES: [&str; 2] = ["secret", "appsecret"];

/// A body whose fields can be read and replaced.
enum SecretFields<'a> {
    Json(Map<String, Value>),
    Form(&'a str),
}

impl Internal {
    /// Replaces a client's own secret in `call` and its `body` by the AppSecret, on the paths that take one. Refuses a
    /// call with a client's secret anywhere else in its query: no parameter of WeChat's could need it.
    pub(super) fn exchange_secrets(&self, call: &mut ProxiedCall<'_>, body: &mut CallBody) -> Result<(), Refusal> {
        let takes_secret = takes_secret(&call.head.path);
        if takes_secret {
            self.exchange(call, body)?;
        }
        let query = call.head.query.as_deref().unwrap_or_default();
        let others = parameters::pairs(query).filter(|(name, _)| !takes_secret || !NAMES.contains(&name.as_ref()));
        if self.is_clients(others.map(|(_, value)| value.into_owned())) {
            let path = call.head.path.as_str();
            let cure = if takes_secret {
                format!("{path} takes it as secret (/cgi-bin/clear_quota/v2: appsecret), in lower case")
            } else {
                format!("{path} takes no secret. If an SDK makes this call, check its base URL")
            };
            let why = format!("invalid appsecret: a client's own secret was not forwarded: {cure}");
            return Err(self.refuse("wrong_secret", 40125, why));
        }
        Ok(())
    }

    fn exchange(&self, call: &mut ProxiedCall<'_>, body: &mut CallBody) -> Result<(), Refusal> {
        let query = call.head.query.clone().unwrap_or_default();
        let CallBody::Whole(whole) = body else {
            let why = format!("this path takes a body of {SMALL} bytes at most");
            return Err(self.body_too_large(&why));
        };
        let fields = SecretFields::read(whole).ok_or_else(|| {
            let why = "data format error: expected JSON or a form as for WeChat";
            self.refuse("malformed", 47001, why)
        })?;
        let values = |name| [parameters::values(&query, name), fields.values(name)].concat();
        let secrets: Vec<String> = NAMES.into_iter().flat_map(values).collect();
        let Some(app_secret) = self.app_secret_for(&values("appid"), secrets, call)? else {
            return Ok(());
        };
        call.head.query = call.head.query.take().map(|query| with_secret(&query, &app_secret));
        *whole = fields.with_secret(&app_secret).into();
        Ok(())
    }

    /// The AppSecret to send in place of `secrets`, if one of them is a client's.
    fn app_secret_for(
        &self,
        app_ids: &[String],
        secrets: Vec<String>,
        call: &ProxiedCall<'_>,
    ) -> Result<Option<Secret>, Refusal> {
        let [app_id, others @ ..] = app_ids else {
            if secrets.is_empty() {
                return Ok(None);
            }
            return Err(self.refuse("malformed", 41002, "appid missing"));
        };
        if others.iter().any(|other| other != app_id) {
            return Err(self.refuse("malformed", 40013, "invalid appid: given twice"));
        }
        let Some(account) = self.public.directory.find(Some(app_id)) else {
            if self.is_clients(secrets) {
                let why = "invalid appid: this gateway serves no such account";
                return Err(self.refuse("unknown_appid", 40013, why));
            }
            return Ok(None);
        };
        let mut is_clients = false;
        for secret in secrets.into_iter().map(Secret::new).filter(|secret| !secret.is_blank()) {
            match self.clients.identify(account.app_id(), &secret, call.caller) {
                Ok(client) => is_clients |= matches!(client, TokenClient::Named(_)),
                Err(_) => return Err(self.refuse("wrong_secret", 40125, "invalid appsecret")),
            }
        }
        Ok(self.clients.app_secret(account.app_id()).filter(|_| is_clients))
    }

    /// True if one of `secrets` is a client's, whatever accounts that client may use.
    fn is_clients(&self, secrets: impl IntoIterator<Item = String>) -> bool {
        let mut secrets = secrets.into_iter().map(Secret::new);
        secrets.any(|secret| !self.clients.with_secret(&secret).is_empty())
    }
}

impl<'a> SecretFields<'a> {
    /// Reads JSON, or else a form; `None` if `body` is neither. WeChat does not look at the content type.
    fn read(body: &'a [u8]) -> Option<Self> {
        let text = without_mark(body);
        if begins_as_json(text) {
            serde_json::from_slice(text).ok().map(Self::Json)
        } else {
            // A form consists of these characters; other formats, which could hold a secret too, don't.
            let of_a_form = |byte: &u8| byte.is_ascii_alphanumeric() || b"&=%+-._~*!'(),:;/?@[]{}$".contains(byte);
            let form = std::str::from_utf8(text).ok()?;
            text.trim_ascii().iter().all(of_a_form).then_some(Self::Form(form))
        }
    }

    fn values(&self, name: &str) -> Vec<String> {
        match self {
            Self::Json(object) => {
                let value = object.get(name).and_then(Value::as_str);
                value.map(str::to_owned).into_iter().collect()
            }
            Self::Form(form) => parameters::values(form, name),
        }
    }

    /// The body with `secret` in place of every secret in it.
    fn with_secret(self, secret: &Secret) -> Vec<u8> {
        match self {
            Self::Json(mut object) => {
                for name in NAMES {
                    if let Some(value) = object.get_mut(name) {
                        *value = secret.expose().into();
                    }
                }
                Value::Object(object).to_string().into_bytes()
            }
            Self::Form(form) => with_secret(form, secret).into_bytes(),
        }
    }
}

/// A query or form with `secret` in place of every secret in it.
fn with_secret(text: &str, secret: &Secret) -> String {
    NAMES
        .into_iter()
        .fold(text.to_owned(), |text, name| parameters::replaced(&text, name, secret))
}
