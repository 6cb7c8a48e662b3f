//! The form about `invalid signature`, and its answers.

use std::time::SystemTime;

use axum::http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;

use super::{document, language_links};
use crate::http::internal::console::language::{Language, Localizer};
use crate::http::internal::console::text;
use crate::jssdk::UrlProblem;
use crate::jssdk::explain::{self, Claim, Comparison, MISTAKES, Marked, OTHER_CAUSES, REMAINING_CAUSES, Verdict};
use crate::words::Words;

/// The submitted form.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ExplainRequest {
    pub url: String,
    pub request: String,
    pub nonce: String,
    pub timestamp: String,
    pub signature: String,
    pub app_id: String,
}

/// A result that is shown above the form.
pub enum ExplainAnswer {
    /// None, for this reason.
    Refused(StatusCode, Words),
    /// The signing call was compared with the page.
    Compared(Comparison),
    /// The signature was explained, or could not be.
    Verdict(Claim, Verdict),
}

impl ExplainRequest {
    /// Whether there is a signature to explain. A signing call without one is enough.
    pub fn has_claim(&self) -> bool {
        let claim = [&self.nonce, &self.timestamp, &self.signature];
        self.request.trim().is_empty() || claim.iter().any(|value| !value.trim().is_empty())
    }
}

fn list(words: impl IntoIterator<Item = Words>, loc: Localizer) -> Markup {
    html! { ul.points { @for words in words { li { (loc.text(words)) } } } }
}

/// The form as a card on the console.
pub(super) fn card(app_ids: &[String], loc: Localizer) -> Markup {
    html! {
        section #explain.card aria-labelledby="explain-title" {
            h2 #explain-title { (loc.text(text::EXPLAIN)) }
            // Without the script the console reloads as a whole, which would discard the input.
            noscript { p { a href=(loc.file("explain")) { (loc.text(text::EXPLAIN_ALONE)) } } }
            (form(app_ids, &ExplainRequest::default(), loc))
        }
    }
}

/// The separate page with the answers, and the form as it was filled in.
pub fn page(app_ids: &[String], asked: &ExplainRequest, found: &[ExplainAnswer], language: Language) -> Markup {
    let loc = Localizer {
        language,
        now: SystemTime::now(),
        files: "",
    };
    let title = html! { "wxgate " (loc.text(text::EXPLAIN)) };
    let body = html! {
        header {
            img.logo src=(loc.file("icon.svg")) width="40" height="40" alt="";
            h1 { "wxgate " span { (loc.text(text::EXPLAIN)) } }
            div.tools {
                a.quiet href="../console" { (loc.text(text::BACK)) }
                (language_links(loc))
            }
        }
        main #main tabindex="-1" {
            @for found in found { (answer(found, loc)) }
            section #explain.card { (form(app_ids, asked, loc)) }
        }
    };
    document(&title, &html! {}, &body, loc)
}

fn form(app_ids: &[String], asked: &ExplainRequest, loc: Localizer) -> Markup {
    // If there is only a signing call, only it and the page's URL are required.
    let field = |name: &str, label: Words, value: &str, mode: Option<&str>| {
        html! {
            div.field {
                label for={ "explain-" (name) } { (loc.text(label)) }
                input id={ "explain-" (name) } name=(name) value=(value) inputmode=[mode] required[name == "url"] autocomplete="off"
                    autocapitalize="off" spellcheck="false";
            }
        }
    };
    html! {
        p #explain-more.more { (loc.text(text::EXPLAIN_MORE)) }
        form action=(loc.file("explain")) method="post" aria-describedby="explain-more" {
            (field("url", text::FIELD_URL, &asked.url, Some("url")))
            div.fields {
                (field("nonce", text::FIELD_NONCE, &asked.nonce, None))
                (field("timestamp", text::FIELD_TIMESTAMP, &asked.timestamp, Some("numeric")))
            }
            (field("signature", text::FIELD_SIGNATURE, &asked.signature, None))
            (field("request", text::FIELD_REQUEST, &asked.request, Some("url")))
            @if app_ids.len() > 1 {
                div.field {
                    label for="explain-app_id" { "appId" }
                    select #explain-app_id name="app_id" {
                        @for app_id in app_ids { option value=(app_id) selected[*app_id == asked.app_id] { (app_id) } }
                    }
                }
            }
            button type="submit" { (loc.text(text::EXPLAIN_ASK)) }
        }
    }
}

fn answer(found: &ExplainAnswer, loc: Localizer) -> Markup {
    match found {
        ExplainAnswer::Refused(_, why) => html! {
            div.banner.bad role="alert" { span.status-dot aria-hidden="true" {} div { h2 { (loc.text(*why)) } } }
        },
        ExplainAnswer::Compared(comparison) => compared(comparison, loc),
        ExplainAnswer::Verdict(claim, Verdict::Right) => {
            let more = html! {
                (warning(claim.warning(), loc))
                p { code { (claim.page()) } }
                p { (loc.text(text::EXPLAIN_STILL)) }
                (list(OTHER_CAUSES, loc))
            };
            banner("good", text::EXPLAIN_RIGHT, &more, loc)
        }
        ExplainAnswer::Verdict(claim, Verdict::Explained { mistakes, signed }) => {
            let more = html! {
                (list(mistakes.iter().map(|mistake| mistake.what), loc))
                p { strong { (loc.text(text::WHAT_TO_DO)) } }
                (list(explain::cures(mistakes), loc))
                dl {
                    dt { (loc.text(text::EXPLAIN_SIGNED)) }
                    dd { code { (signed.without_ticket()) } }
                    dt { (loc.text(text::EXPLAIN_EXPECTED)) }
                    dd { code { (claim.without_ticket()) } }
                }
            };
            banner("warn", text::EXPLAIN_FOUND, &more, loc)
        }
        ExplainAnswer::Verdict(claim, Verdict::Unexplained) => {
            let more = html! {
                (warning(claim.warning(), loc))
                p { (loc.text(text::EXPLAIN_REMAINING)) }
                (list(REMAINING_CAUSES, loc))
                details {
                    summary { (loc.text(text::EXPLAIN_TRIED)) }
                    (list(MISTAKES.iter().map(|mistake| mistake.what), loc))
                }
            };
            banner("bad", text::EXPLAIN_NOTHING, &more, loc)
        }
    }
}

/// A signing call's URL compared with the page's.
fn compared(comparison: &Comparison, loc: Localizer) -> Markup {
    let on_ios = html! { @if let Some(hint) = comparison.on_ios() { (list([hint], loc)) } };
    match comparison {
        Comparison::Refused(problem) => {
            let more = html! {
                p { (loc.text(explain::refusal(problem))) }
                @if let UrlProblem::Spilled(name) = problem { p { code { (name) } } }
            };
            banner("bad", text::REQUEST_REFUSED, &more, loc)
        }
        Comparison::Same(url) => {
            let more = html! { (warning(comparison.warning(), loc)) p { code { (url) } } (on_ios) };
            banner("good", text::REQUEST_SAME, &more, loc)
        }
        Comparison::Different(difference) => {
            let parts: Vec<&str> = difference.parts.iter().map(|part| loc.text(*part)).collect();
            let more = html! {
                (warning(comparison.warning(), loc))
                p { strong { (parts.join(loc.text(text::LIST_COMMA))) } }
                (list(difference.mistakes.iter().map(|mistake| mistake.what), loc))
                p { strong { (loc.text(text::WHAT_TO_DO)) } }
                (list(difference.cures(), loc))
                (on_ios)
                dl {
                    (marked(text::REQUEST_SIGNED, &difference.signed, loc))
                    (marked(text::REQUEST_PAGE, &difference.page, loc))
                }
            };
            banner("warn", text::REQUEST_DIFFERS, &more, loc)
        }
    }
}

/// A URL with its differing bytes marked, and written out in hex.
fn marked(label: Words, url: &Marked, loc: Localizer) -> Markup {
    html! {
        dt { (loc.text(label)) }
        dd {
            code { (url.before) mark { (url.differing) } (url.after) }
            @if !url.differing.is_empty() { " " small { code { (url.hex()) } } }
        }
    }
}

fn warning(warning: Option<Words>, loc: Localizer) -> Markup {
    html! { @if let Some(warning) = warning { p role="alert" { (loc.text(warning)) } } }
}

fn banner(class: &str, title: Words, more: &Markup, loc: Localizer) -> Markup {
    let title = loc.text(title);
    html! {
        section.banner.(class) aria-label=(title) {
            span.status-dot aria-hidden="true" {}
            div { h2 { (title) } (more) }
        }
    }
}
