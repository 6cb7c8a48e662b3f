//! Texts, times and durations in the reader's language.

use std::time::{Duration, SystemTime};

use maud::{Markup, html};

use super::language::Language;
use super::time;
use crate::words::Words;

/// The language to write in, and the time that the page was made at.
#[derive(Clone, Copy)]
pub(super) struct Localizer {
    pub(super) language: Language,
    pub(super) now: SystemTime,
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

    /// A time of day, with the date unless that is today.
    pub(super) fn time(self, at: SystemTime) -> Markup {
        html! { time datetime=(time::machine(at)) { (time::short(at, self.now)) } }
    }
}
