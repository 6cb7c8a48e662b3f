//! What was signed, in parts that a mistake can change.

use crate::jssdk::signature::hex_sha1;
use crate::secret::Secret;

/// `string1` in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The names of ticket, nonce, timestamp and URL.
    pub(super) names: [&'static str; 4],
    /// The order of the four fields.
    pub(super) order: [usize; 4],
    pub(super) ticket: Secret,
    pub(super) nonce: String,
    pub(super) timestamp: String,
    /// The URL.
    pub url: String,
    /// Whether the digits of the signature are in upper case.
    pub(super) upper_case: bool,
}

impl Signed {
    pub(super) const NAMES: [&'static str; 4] = ["jsapi_ticket", "noncestr", "timestamp", "url"];

    /// The same after `change`.
    pub(super) fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut changed = self.clone();
        change(&mut changed);
        changed
    }

    fn string1<'a>(&'a self, ticket: &'a str) -> impl Iterator<Item = &'a str> {
        let values = [ticket, &self.nonce, &self.timestamp, &self.url];
        let fields = self.order.into_iter().enumerate();
        fields.flat_map(move |(at, field)| {
            let between = if at == 0 { "" } else { "&" };
            [between, self.names[field], "=", values[field]]
        })
    }

    /// The signature.
    pub fn signature(&self) -> String {
        let signature = hex_sha1(self.string1(self.ticket.expose()));
        if self.upper_case {
            signature.to_uppercase()
        } else {
            signature
        }
    }

    /// `string1` to show: without the ticket.
    pub fn without_ticket(&self) -> String {
        self.string1("…").collect()
    }
}
