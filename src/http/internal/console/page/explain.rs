//! The form for `invalid signature`, and what came out.

use maud::{Markup, html};

use super::{Pen, document, language_links};
use crate::http::internal::console::explain::{Asked, Found};
use crate::http::internal::console::language::Language;
use crate::http::internal::console::text;
use crate::jssdk::explain::{
    self, Claim, Comparison, MISTAKES, Marked, Mistake, OTHER_CAUSES, REMAINING_CAUSES, Signed, Verdict, Words,
};
use crate::jssdk::{UrlProblem, UrlWarning};

const PATH: &str = "/console/explain";

impl Pen {
    fn words(self, words: Words) -> &'static str {
        match self.language {
            Language::Chinese => words.zh,
            Language::English => words.en,
        }
    }

    fn list(self, words: impl IntoIterator<Item = Words>) -> Markup {
        html! { ul.points { @for words in words { li { (self.words(words)) } } } }
    }
}

/// The form as a card of the console's.
pub(super) fn card(app_ids: &[String], pen: Pen) -> Markup {
    html! {
        section #explain.card aria-labelledby="explain-title" {
            h2 #explain-title { (pen.say(text::EXPLAIN)) }
            // Without a script the console reloads itself as a whole, typed or not.
            noscript { p { a href=(PATH) { (pen.say(text::EXPLAIN_ALONE)) } } }
            (form(app_ids, &Asked::default(), pen))
        }
    }
}

/// The page of its own that answers, with the form as it was filled in.
pub(super) fn page(app_ids: &[String], asked: &Asked, found: &[Found], pen: Pen) -> Markup {
    let title = html! { "wxgate " (pen.say(text::EXPLAIN)) };
    let body = html! {
        header {
            img.logo src="/console/icon.svg" width="40" height="40" alt="";
            h1 { "wxgate " span { (pen.say(text::EXPLAIN)) } }
            div.tools {
                a.quiet href="/console" { (pen.say(text::BACK)) }
                (language_links(PATH, pen))
            }
        }
        main #main tabindex="-1" {
            @for found in found { (answer(found, pen)) }
            section #explain.card { (form(app_ids, asked, pen)) }
        }
    };
    document(&title, &html! {}, &body, pen)
}

fn form(app_ids: &[String], asked: &Asked, pen: Pen) -> Markup {
    // With a signing call alone, only it and the page's URL are needed.
    let field = |name: &str, label: text::Text, value: &str, mode: Option<&str>| {
        html! {
            div.field {
                label for={ "explain-" (name) } { (pen.say(label)) }
                input id={ "explain-" (name) } name=(name) value=(value) inputmode=[mode] required[name == "url"] autocomplete="off"
                    autocapitalize="off" spellcheck="false";
            }
        }
    };
    html! {
        p #explain-more.more { (pen.say(text::EXPLAIN_MORE)) }
        form action=(PATH) method="post" aria-describedby="explain-more" {
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
            button type="submit" { (pen.say(text::EXPLAIN_ASK)) }
        }
    }
}

fn answer(found: &Found, pen: Pen) -> Markup {
    match found {
        Found::Unreadable => refusal(pen.say(text::EXPLAIN_UNREADABLE)),
        Found::Problem(problem) => refusal(pen.words(problem.words())),
        Found::NoTicket => refusal(pen.say(text::EXPLAIN_NO_TICKET)),
        Found::Compared(comparison) => compared(comparison, pen),
        Found::Verdict(claim, Verdict::Right) => banner(
            "good",
            pen.say(text::EXPLAIN_RIGHT),
            &html! {
                (warning(claim.warning(), pen))
                p { code { (claim.page()) } }
                p { (pen.say(text::EXPLAIN_STILL)) }
                (pen.list(OTHER_CAUSES))
            },
        ),
        Found::Verdict(claim, Verdict::Explained { mistakes, signed }) => explained(claim, mistakes, signed, pen),
        Found::Verdict(claim, Verdict::Unexplained) => banner(
            "bad",
            pen.say(text::EXPLAIN_NOTHING),
            &html! {
                (warning(claim.warning(), pen))
                p { (pen.say(text::EXPLAIN_REMAINING)) }
                (pen.list(REMAINING_CAUSES))
                details {
                    summary { (pen.say(text::EXPLAIN_TRIED)) }
                    (pen.list(MISTAKES.iter().map(|mistake| mistake.what)))
                }
            },
        ),
    }
}

fn explained(claim: &Claim, mistakes: &[&Mistake], signed: &Signed, pen: Pen) -> Markup {
    let mut cures: Vec<Words> = mistakes.iter().map(|mistake| mistake.cure).collect();
    cures.dedup();
    banner(
        "warn",
        pen.say(text::EXPLAIN_FOUND),
        &html! {
            (pen.list(mistakes.iter().map(|mistake| mistake.what)))
            p { strong { (pen.say(text::WHAT_TO_DO)) } }
            (pen.list(cures))
            dl {
                dt { (pen.say(text::EXPLAIN_SIGNED)) }
                dd { code { (signed.without_ticket()) } }
                dt { (pen.say(text::EXPLAIN_EXPECTED)) }
                dd { code { (claim.without_ticket()) } }
            }
        },
    )
}

/// What a signing call asked for, against the page's URL.
fn compared(comparison: &Comparison, pen: Pen) -> Markup {
    match comparison {
        Comparison::Refused(problem) => banner(
            "bad",
            pen.say(text::REQUEST_REFUSED),
            &html! {
                p { (pen.words(explain::refusal(problem))) }
                @if let UrlProblem::Spilled(name) = problem { p { code { (name) } } }
            },
        ),
        Comparison::Same(url) => banner(
            "good",
            pen.say(text::REQUEST_SAME),
            &html! { (warning(comparison.warning(), pen)) p { code { (url) } } },
        ),
        Comparison::Different(difference) => {
            let parts: Vec<&str> = difference.parts.iter().map(|part| pen.words(*part)).collect();
            banner(
                "warn",
                pen.say(text::REQUEST_DIFFERS),
                &html! {
                    (warning(comparison.warning(), pen))
                    p { strong { (parts.join(pen.say(text::LIST_COMMA))) } }
                    (pen.list(difference.mistakes.iter().map(|mistake| mistake.what)))
                    p { strong { (pen.say(text::WHAT_TO_DO)) } }
                    (pen.list(difference.cures()))
                    dl {
                        (marked(text::REQUEST_SIGNED, &difference.signed, pen))
                        (marked(text::REQUEST_PAGE, &difference.page, pen))
                    }
                },
            )
        }
    }
}

/// A URL with its differing bytes marked, and written out in hex.
fn marked(label: text::Text, url: &Marked, pen: Pen) -> Markup {
    let Marked {
        before,
        differing,
        after,
    } = url;
    html! {
        dt { (pen.say(label)) }
        dd {
            code { (before) mark { (differing) } (after) }
            @if !differing.is_empty() { " " small { code { (url.hex()) } } }
        }
    }
}

fn warning(warning: Option<UrlWarning>, pen: Pen) -> Markup {
    html! { @if let Some(warning) = warning { p role="alert" { (pen.words(warning.words())) } } }
}

fn refusal(words: &str) -> Markup {
    html! { div.banner.bad role="alert" { span.lamp aria-hidden="true" {} div { h2 { (words) } } } }
}

fn banner(class: &str, title: &str, more: &Markup) -> Markup {
    html! {
        section.banner.(class) aria-label=(title) {
            span.lamp aria-hidden="true" {}
            div { h2 { (title) } (more) }
        }
    }
}
