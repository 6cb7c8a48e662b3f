//! Prints how the URL of a signing call differs from the page's.

use serde_json::{Value, json};

use super::{found_as_text, list, mistakes_as_json, with_warning};
use crate::jssdk::explain::{Comparison, Difference, Marked};

pub(super) fn as_text(comparison: &Comparison) -> String {
    let text = match comparison {
        Comparison::Refused(problem) => format!("The gateway can't sign what the call asks for: {problem}"),
        Comparison::Same(url) => format!("The call asks for the page's own URL, byte for byte: {url}"),
        Comparison::Different(difference) => difference_as_text(difference),
    };
    let hint = comparison.on_ios().map(|hint| format!("\n{}", hint.en));
    with_warning(text + &hint.unwrap_or_default(), comparison.warning())
}

fn difference_as_text(difference: &Difference) -> String {
    let parts: Vec<&str> = difference.parts.iter().map(|part| part.en).collect();
    let found = if difference.mistakes.is_empty() {
        "no known mistake turns one URL into the other".to_owned()
    } else {
        found_as_text(&difference.mistakes)
    };
    format!(
        "The call asks for a different URL from the page's: {}\n{}\n{}\nafter {} equal bytes, the call has {} and the page has \
         {}\n{found}\n{}",
        parts.join(", "),
        marked("asked for:  ", &difference.signed.shortened()),
        marked("the page:   ", &difference.page.shortened()),
        difference.at(),
        bytes(&difference.signed),
        bytes(&difference.page),
        list("what to do: ", difference.cures())
    )
}

/// Two lines: the text, and below it a mark under the difference.
fn marked(label: &str, text: &Marked) -> String {
    let blank = |c: char| if is_wide(c) { '\u{3000}' } else { ' ' };
    let space: String = label.chars().chain(text.before.chars()).map(blank).collect();
    let width: usize = text.differing.chars().map(|c| if is_wide(c) { 2 } else { 1 }).sum();
    // A place where something is missing is marked too.
    let mark = "^".repeat(width.max(1));
    format!("{label}{}\n{space}{mark}", text.whole())
}

/// Whether a terminal displays `c` in two columns: Chinese, Japanese and Korean, and their punctuation. An ideographic
/// space is as wide.
fn is_wide(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{1f300}'..='\u{1faff}' | '\u{20000}'..='\u{3fffd}')
}

fn bytes(text: &Marked) -> String {
    if text.differing.is_empty() {
        "nothing".to_owned()
    } else {
        text.hex()
    }
}

pub(super) fn as_json(comparison: &Comparison) -> Value {
    let mut found = match comparison {
        Comparison::Refused(problem) => json!({ "verdict": "refused", "reason": problem.to_string() }),
        Comparison::Same(url) => json!({ "verdict": "same", "signed": url }),
        Comparison::Different(difference) => json!({
            "verdict": "different",
            "differs": difference.parts.iter().map(|part| part.en).collect::<Vec<_>>(),
            "signed": difference.signed.whole(),
            "page": difference.page.whole(),
            "at": difference.at(),
            "signed_there": difference.signed.differing,
            "page_there": difference.page.differing,
            "mistakes": mistakes_as_json(&difference.mistakes),
        }),
    };
    if let Some(hint) = comparison.on_ios() {
        found["hint"] = hint.en.into();
    }
    if let Some(warning) = comparison.warning() {
        found["warning"] = warning.en.into();
    }
    found
}
