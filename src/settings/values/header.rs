//! Names of request headers and of cookies.

use serde::{Deserialize, Serialize};

/// The name of a request header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HeaderName(http::HeaderName);

impl HeaderName {
    /// The name, in lower case.
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

text! {
    /// The name of a cookie, or `""` for none.
    #[derive(Default)]
    pub struct CookieName:
    // The characters of a token (RFC 6265, section 4.1.1), as in a header's name, but case counts.
    |text| text.is_empty() || text.parse::<http::HeaderName>().is_ok(),
    "expected the name of a cookie, such as \"sso_token\", or \"\" for none"
}

impl CookieName {
    /// The name; `None` if there is none.
    pub fn name(&self) -> Option<&str> {
        Some(self.as_str()).filter(|name| !name.is_empty())
    }
}
