//! The languages of the console, how a reader's language is chosen, and how texts, times and durations are written in it.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, header};
use maud::{Markup, html};

use super::time;
use crate::http::text_of;
use crate::words::Words;

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

    /// Its language tag in HTML.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::Chinese => "zh-CN",
            Self::English => "en",
        }
    }

    /// A duration in its two largest units: `1 h 52 min`. The page's script formats countdowns the same way.
    pub(super) fn duration(self, length: Duration) -> String {
        let seconds = length.as_secs();
        let counts = [seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60];
        let first = counts.iter().position(|count| *count > 0).unwrap_or(3);
        let shown = counts.iter().zip(self.units()).skip(first).take(2);
        let shown = shown
            .enumerate()
            .filter(|(index, (count, _))| *index == 0 || **count > 0);
        let words: Vec<String> = shown.map(|(_, (count, unit))| format!("{count} {unit}")).collect();
        words.join(" ")
    }

    /// The units day, hour, minute and second.
    pub(super) fn units(self) -> [&'static str; 4] {
        match self {
            Self::Chinese => ["天", "小时", "分", "秒"],
            Self::English => ["d", "h", "min", "s"],
        }
    }

    /// The language that a range such as `zh-TW` or `en;q=0.9` requests.
    fn of_range(range: &str) -> Option<Self> {
        let primary = range.split(['-', ';']).next().unwrap_or_default().trim();
        [Self::Chinese, Self::English]
            .into_iter()
            .find(|language| primary.eq_ignore_ascii_case(language.code()))
    }

    /// The language that the query selects, if any.
    pub(super) fn chosen(query: Option<&str>) -> Option<Self> {
        let code = query?.split('&').find_map(|pair| pair.strip_prefix("lang="))?;
        Self::of_range(code)
    }

    /// The language of an earlier choice, or else the first that the browser lists; English by default.
    pub(super) fn of_headers(headers: &HeaderMap) -> Self {
        let cookies = text_of(headers, header::COOKIE).split(';');
        let mut cookies = cookies.filter_map(|cookie| cookie.trim().split_once('='));
        let remembered = cookies.find(|(name, _)| *name == COOKIE);
        let mut listed = text_of(headers, header::ACCEPT_LANGUAGE).split(',');
        remembered
            .and_then(|(_, code)| Self::of_range(code))
            .or_else(|| listed.find_map(Self::of_range))
            .unwrap_or(Self::English)
    }
}

/// The language to write in, the time at which the page was made, and where the page is.
#[derive(Clone, Copy)]
pub(super) struct Localizer {
    pub(super) language: Language,
    pub(super) now: SystemTime,
    /// The relative path from the page to the console's files. Links are relative, so that they work below any path at
    /// which a proxy publishes the console.
    pub(super) files: &'static str,
}

impl Localizer {
    /// `words` in this language.
    pub(super) fn text(self, words: Words) -> &'static str {
        match self.language {
            Language::Chinese => words.zh,
            Language::English => words.en,
        }
    }

    /// `words` with each `{}` replaced by the next of `values`.
    pub(super) fn format(self, words: Words, values: &[impl AsRef<str>]) -> String {
        let mut pieces = self.text(words).split("{}");
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for (piece, value) in pieces.zip(values) {
            text.push_str(value.as_ref());
            text.push_str(piece);
        }
        text
    }

    /// The link to one of the console's files.
    pub(super) fn file(self, name: &str) -> String {
        format!("{}{name}", self.files)
    }

    /// A time of day, with the date unless that is today.
    pub(super) fn time(self, at: SystemTime) -> Markup {
        html! { time datetime=(time::machine(at)) { (time::short(at, self.now)) } }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn cookie_overrides_accept_language() {
        let mut headers = HeaderMap::new();
        assert_eq!(Language::of_headers(&headers), Language::English);
        headers.insert(
            header::ACCEPT_LANGUAGE,
            HeaderValue::from_static("fr,ZH-tw;q=0.5,en;q=0.4"),
        );
        assert_eq!(Language::of_headers(&headers), Language::Chinese);
        headers.insert(header::COOKIE, HeaderValue::from_static("a=b; wxgate_lang=en"));
        assert_eq!(Language::of_headers(&headers), Language::English);
        assert_eq!(Language::chosen(Some("x=1&lang=zh")), Some(Language::Chinese));
        assert_eq!(Language::chosen(Some("lang=fr")), None);
    }

    #[test]
    fn durations_show_two_units() {
        let cases = [
            (5, "5 s", "5 秒"),
            (125, "2 min 5 s", "2 分 5 秒"),
            (0, "0 s", "0 秒"),
            (1799, "29 min 59 s", "29 分 59 秒"),
            (7203, "2 h", "2 小时"),
            (6750, "1 h 52 min", "1 小时 52 分"),
            (200_000, "2 d 7 h", "2 天 7 小时"),
        ];
        for (seconds, english, chinese) in cases {
            let length = Duration::from_secs(seconds);
            assert_eq!(Language::English.duration(length), english);
            assert_eq!(Language::Chinese.duration(length), chinese);
        }
    }
}
