//! Names of hosts, single ones or all below a domain.

use serde::{Deserialize, Serialize};

/// A host's name, or `*.` and a domain for every name below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern(String);

impl HostPattern {
    /// Whether it is the name of `host`, which has no port.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        match self.0.strip_prefix('*') {
            Some(domain) => host.len() > domain.len() && host.ends_with(domain),
            None => host == self.0,
        }
    }
}

impl TryFrom<String> for HostPattern {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let label = |label: &str| {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            !label.is_empty() && label.bytes().all(allowed)
        };
        let name = text.strip_prefix("*.").unwrap_or(&text);
        if name.split('.').all(label) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(
            "expected a host's name such as \"wxgate.example.com\", or \"*.example.com\" for all below it (no scheme, no port; a \
             name in Unicode in its xn-- form)",
        )
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Result<HostPattern, &'static str> {
        text.to_owned().try_into()
    }

    #[test]
    fn pattern_is_a_name_or_all_below_a_domain() {
        for (text, host, matches) in [
            ("ops.example.com", "ops.example.com", true),
            ("Ops.example.com", "OPS.EXAMPLE.COM.", true),
            ("ops.example.com", "x.ops.example.com", false),
            ("ops.example.com", "ops.example.com.evil.cn", false),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "evilexample.com", false),
            ("console", "console", true),
        ] {
            assert_eq!(pattern(text).unwrap().matches(host), matches, "{text} {host}");
        }
        for text in [
            "",
            "*",
            "a.*.cn",
            "*a.cn",
            "https://a.cn",
            "a.cn:80",
            "a..cn",
            "a.cn/",
            "例.cn",
        ] {
            assert!(pattern(text).is_err(), "{text}");
        }
    }
}
