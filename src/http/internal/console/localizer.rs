//! Texts, times and durations in the reader's language, and links from the reader's page.

use std::time::{Duration, SystemTime};

use maud::{Markup, html};

use super::language::Language;
use super::time;
use crate::words::Words;

/// The language to write in, the time that the page was made at, and where the page is.
#[derive(Clone, Copy)]
pub(super) struct Localizer {
    pub(super) language: Language,
    pub(super) now: SystemTime,
    /// The way from the page to the console's files. Links are relative, so that they work below any path at which a
    /// proxy publishes the console.
    pub(super) files: &'static str,
}

impl Localizer {
    pub(super) fn text(self, words: Words) -> &'static str {
        self.language.text(words)
    }

    pub(super) fn format(self, words: Words, values: &[&str]) -> String {
        self.language.format(words, values)
    }

    pub(super) fn duration(self, duration: Duration) -> String {
        time::duration(duration, self.language)
    }

    /// The link to a file of the console's.
    pub(super) fn file(self, name: &str) -> String {
        format!("{}{name}", self.files)
    }

    /// A time of day, with the date unless that is today.
    pub(super) fn time(self, at: SystemTime) -> Markup {
        html! { time datetime=(time::machine(at)) { (time::short(at, self.now)) } }
    }
}
