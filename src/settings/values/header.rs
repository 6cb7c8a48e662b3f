//! Names of request headers.

use serde::{Deserialize, Serialize};

/// The name of a request header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HeaderName(http::HeaderName);

impl HeaderName {
    /// The name, in lower case.
    #[must_use]
    pub fn name(&self) -> &http::HeaderName {
        &self.0
    }
}

impl TryFrom<String> for HeaderName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        // To browsers, a lone star means every header.
        let name = text.parse().ok().filter(|_| text != "*");
        name.map(Self)
            .ok_or("expected the name of a header, such as \"X-Tenant\"; there is no name that means all of them")
    }
}

impl From<HeaderName> for String {
    fn from(header: HeaderName) -> Self {
        header.0.to_string()
    }
}
