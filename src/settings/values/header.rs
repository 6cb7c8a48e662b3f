//! Names of request headers and of cookies.

text! {
    /// The name of a request header.
    pub struct HeaderName:
    // To browsers, a single star means all headers.
    |text| text != "*" && text.parse::<http::HeaderName>().is_ok(),
    "expected the name of a header, such as \"X-Tenant\"; there is no wildcard"
}

text! {
    /// The name of a cookie, or `""` for none.
    #[derive(Default)]
    pub struct CookieName:
    // The characters of a token (RFC 6265, section 4.1.1), as in a header name, but case-sensitive.
    |text| text.is_empty() || text.parse::<http::HeaderName>().is_ok(),
    "expected the name of a cookie, such as \"sso_token\", or \"\" for none"
}

impl CookieName {
    /// The name; `None` if it is empty.
    pub fn name(&self) -> Option<&str> {
        Some(self.as_str()).filter(|name| !name.is_empty())
    }
}
