//! The languages of the console, and which one a reader gets.

use axum::http::{HeaderMap, header};

use crate::words::Words;

/// The page's languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Chinese,
    English,
}

/// The cookie that remembers the reader's choice.
pub(super) const COOKIE: &str = "wxgate_lang";

impl Language {
    /// Its name in `?lang=` and in the cookie.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Chinese => "zh",
            Self::English => "en",
        }
    }

    /// Its name in HTML.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::Chinese => "zh-CN",
            Self::English => "en",
        }
    }

    /// `words` in this language.
    pub(super) fn text(self, words: Words) -> &'static str {
        match self {
            Self::Chinese => words.zh,
            Self::English => words.en,
        }
    }

    /// `words` with each `{}` replaced by the next of `values`.
    pub(super) fn format(self, words: Words, values: &[&str]) -> String {
        let mut pieces = self.text(words).split("{}");
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for (piece, value) in pieces.zip(values) {
            text.push_str(value);
            text.push_str(piece);
        }
        text
    }

    /// The language that a range such as `zh-TW` or `en` asks for.
    fn of_range(range: &str) -> Option<Self> {
        let primary = range.split('-').next().unwrap_or_default().trim();
        [Self::Chinese, Self::English]
            .into_iter()
            .find(|language| primary.eq_ignore_ascii_case(language.code()))
    }

    /// The language that the query chooses, if any.
    pub(super) fn chosen(query: Option<&str>) -> Option<Self> {
        let code = query?.split('&').find_map(|pair| pair.strip_prefix("lang="))?;
        Self::of_range(code)
    }

    /// The language of an earlier choice or of the browser; English by default.
    pub(super) fn of_headers(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let remembered = text(header::COOKIE).and_then(|cookies| {
            let mut cookies = cookies.split(';').filter_map(|cookie| cookie.trim().split_once('='));
            cookies.find(|(name, _)| *name == COOKIE).map(|(_, code)| code)
        });
        remembered
            .and_then(Self::of_range)
            .or_else(|| text(header::ACCEPT_LANGUAGE).and_then(Self::preferred))
            .unwrap_or(Self::English)
    }

    /// The language with the highest weight in an `Accept-Language`; the first of equal ones.
    fn preferred(accept: &str) -> Option<Self> {
        let mut best = None;
        for item in accept.split(',') {
            let mut parts = item.split(';');
            let language = parts.next().and_then(Self::of_range);
            let weight = parts.find_map(|part| part.trim().strip_prefix("q=")?.parse::<f32>().ok());
            let weight = weight.unwrap_or(1.0);
            if let Some(language) = language
                && weight > best.map_or(0.0, |(_, best)| best)
            {
                best = Some((language, weight));
            }
        }
        best.map(|(language, _)| language)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn accept_language_weights_are_respected() {
        let cases = [
            ("zh-CN,zh;q=0.9,en;q=0.8", Some(Language::Chinese)),
            ("en-GB,en;q=0.9,zh;q=0.8", Some(Language::English)),
            ("fr,de;q=0.9,ZH-tw;q=0.5,en;q=0.4", Some(Language::Chinese)),
            ("en;q=0,zh;q=0.1", Some(Language::Chinese)),
            ("zhx, *", None),
            ("", None),
        ];
        for (accept, language) in cases {
            assert_eq!(Language::preferred(accept), language, "{accept}");
        }
    }

    #[test]
    fn cookie_overrides_accept_language() {
        let mut headers = HeaderMap::new();
        assert_eq!(Language::of_headers(&headers), Language::English);
        headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static("zh"));
        assert_eq!(Language::of_headers(&headers), Language::Chinese);
        headers.insert(header::COOKIE, HeaderValue::from_static("a=b; wxgate_lang=en"));
        assert_eq!(Language::of_headers(&headers), Language::English);
        assert_eq!(Language::chosen(Some("x=1&lang=zh")), Some(Language::Chinese));
        assert_eq!(Language::chosen(Some("lang=fr")), None);
    }

    #[test]
    fn placeholders_are_filled_in_order() {
        let words = Words {
            zh: "{}甲{}乙",
            en: "a {} b {}",
        };
        assert_eq!(Language::Chinese.format(words, &["1", "2"]), "1甲2乙");
        assert_eq!(Language::English.format(words, &["{}", "2"]), "a {} b 2");
    }
}
