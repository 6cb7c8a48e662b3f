//! The page: its frame, the banner, the operator's corner. Everything from outside goes through
//! maud, which escapes it.

mod accounts;
mod chart;
mod explain;
mod journal;
mod traffic;

use std::time::SystemTime;

use maud::{DOCTYPE, Markup, html};

use super::explain::{Asked, Found};
use super::language::Language;
use super::text::{self, Text};
use super::time;
use super::view::{AccountView, Problem, State, View};
use crate::credentials::Kind;

/// A language to write in, and the moment that the page is about.
#[derive(Clone, Copy)]
struct Pen {
    language: Language,
    now: SystemTime,
}

impl Pen {
    fn say(self, text: Text) -> &'static str {
        text.plain(self.language)
    }

    fn fill(self, text: Text, values: &[&str]) -> String {
        text.fill(self.language, values)
    }

    fn span(self, length: std::time::Duration) -> String {
        time::span(length, self.language)
    }

    /// A time of day, with the day where that is not today.
    fn time(self, at: SystemTime) -> Markup {
        html! { time datetime=(time::machine(at)) { (time::short(at, self.now)) } }
    }
}

/// The whole page.
pub(super) fn page(view: &View, language: Language) -> Markup {
    let pen = Pen {
        language,
        now: view.now,
    };
    let title = html! { (mark(view.state)) " wxgate " (pen.say(text::TITLE)) };
    let more = html! {
        script src="/console/console.js" defer {}
        noscript { meta http-equiv="refresh" content="15"; }
    };
    let app_ids: Vec<String> = view.accounts.iter().map(|account| account.app_id.clone()).collect();
    let body = html! {
        a.skip href="#main" { (pen.say(text::SKIP)) }
        (header(pen))
        main #main tabindex="-1" {
            (fresh(view, pen))
            (explain::card(&app_ids, pen))
            (operator(view, pen))
        }
    };
    document(&title, &more, &body, pen)
}

/// The page about a signature: what was asked, and what came out.
pub(super) fn explain_page(app_ids: &[String], asked: &Asked, found: &[Found], language: Language) -> Markup {
    let now = SystemTime::now();
    explain::page(app_ids, asked, found, Pen { language, now })
}

/// The frame of every page.
fn document(title: &Markup, more: &Markup, body: &Markup, pen: Pen) -> Markup {
    html! {
        (DOCTYPE)
        html lang=(pen.language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" type="image/svg+xml" href="/console/icon.svg";
                link rel="stylesheet" href="/console/console.css";
                (more)
            }
            body { (body) }
        }
    }
}

/// The same page in either language.
fn language_links(path: &str, pen: Pen) -> Markup {
    html! {
        nav aria-label=(pen.say(text::OTHER_LANGUAGE)) {
            @for (language, name) in [(Language::Chinese, "中文"), (Language::English, "EN")] {
                @let current = (language == pen.language).then_some("true");
                a href={ (path) "?lang=" (language.code()) } lang=(language.tag())
                    hreflang=(language.tag()) aria-current=[current] { (name) }
            }
        }
    }
}

/// For the browser's tab.
fn mark(state: State) -> &'static str {
    match state {
        State::Fine => "●",
        State::Degraded => "▲",
        State::Down => "✕",
    }
}

/// What the script replaces with its newer self.
fn fresh(view: &View, pen: Pen) -> Markup {
    html! {
        div #fresh data-now=(time::unix(view.now)) {
            (banner(view, pen))
            div.columns {
                div.first {
                    (journal::foreign(view, pen))
                    (accounts::accounts(view, pen))
                }
                div.side {
                    (traffic::dependencies(view, pen))
                    (traffic::traffic(view, pen))
                }
                (journal::timeline(view, pen))
            }
        }
    }
}

fn header(pen: Pen) -> Markup {
    let [day, hour, minute, second] = time::units(pen.language);
    html! {
        header {
            img.logo src="/console/icon.svg" width="40" height="40" alt="";
            h1 { "wxgate " span { (pen.say(text::TITLE)) } }
            div.tools data-units={ (day) "|" (hour) "|" (minute) "|" (second) } {
                button #pause.quiet type="button" aria-pressed="false" data-resume=(pen.say(text::RESUME)) hidden {
                    (pen.say(text::PAUSE))
                }
                a.quiet href="#operator" { (pen.say(text::OPERATOR)) }
                (language_links("/console", pen))
            }
        }
        p #announcement.unseen role="status" {}
        p #stale.stale role="alert" hidden data-text=(pen.say(text::STALE)) {}
    }
}

fn banner(view: &View, pen: Pen) -> Markup {
    let (class, words) = match view.state {
        State::Fine => ("banner good", text::STATE_FINE),
        State::Degraded => ("banner warn", text::STATE_DEGRADED),
        State::Down => ("banner bad", text::STATE_DOWN),
    };
    let (_, clock) = time::beijing(view.now);
    html! {
        section #banner class=(class) aria-labelledby="state" {
            span.lamp aria-hidden="true" {}
            div {
                h2 #state { (pen.say(words)) }
                @if view.problems.is_empty() {
                    p { (pen.say(text::STATE_FINE_MORE)) }
                } @else {
                    ul { @for problem in &view.problems { li { (problem_text(problem, pen)) } } }
                }
            }
            p.about {
                span { (pen.fill(text::UPDATED, &[&clock])) }
                span { (pen.say(text::REPLICA)) " " code { (view.replica) } }
                span { "wxgate " (env!("CARGO_PKG_VERSION")) ", " (pen.fill(text::UPTIME, &[&pen.span(view.uptime)])) }
            }
        }
    }
}

fn problem_text(problem: &Problem, pen: Pen) -> String {
    match problem {
        Problem::Draining => pen.say(text::PROBLEM_DRAINING).to_owned(),
        Problem::NoCredential { app_id, kind } => pen.fill(text::PROBLEM_NO_CREDENTIAL, &[app_id, kind.label()]),
        Problem::Failing { app_id, kind } => pen.fill(text::PROBLEM_FAILING, &[app_id, kind.label()]),
        Problem::StoreDown => pen.say(text::PROBLEM_STORE).to_owned(),
        Problem::WeChatDown => pen.say(text::PROBLEM_WECHAT).to_owned(),
        Problem::ImagesDown => pen.say(text::PROBLEM_IMAGES).to_owned(),
        Problem::CallsSpent { app_id } => pen.fill(text::PROBLEM_CALLS_SPENT, &[app_id]),
        Problem::CallsNearlySpent { app_id } => pen.fill(text::PROBLEM_CALLS_NEARLY, &[app_id]),
        Problem::Foreign { app_id } => pen.fill(text::PROBLEM_FOREIGN, &[app_id]),
    }
}

/// Never replaced by the script: it holds what the operator types.
fn operator(view: &View, pen: Pen) -> Markup {
    html! {
        section #operator.card aria-labelledby="operator-title" {
            h2 #operator-title { (pen.say(text::OPERATOR)) }
            @if view.actions_open {
                p.more { (pen.say(text::OPERATOR_MORE)) }
                noscript { p.more { (pen.say(text::OPERATOR_SCRIPT)) } }
                (operator_form(&view.accounts, pen))
            } @else {
                p.more { (pen.say(text::OPERATOR_CLOSED)) }
            }
        }
    }
}

fn operator_form(accounts: &[AccountView], pen: Pen) -> Markup {
    html! {
        form #actions autocomplete="off" data-working=(pen.say(text::ACTION_WORKING)) data-done=(pen.say(text::ACTION_DONE))
            data-unchanged=(pen.say(text::ACTION_UNCHANGED))
            data-wrong=(pen.say(text::ACTION_WRONG_KEY)) data-failed=(pen.say(text::ACTION_FAILED))
            data-unreachable=(pen.say(text::ACTION_UNREACHABLE)) {
            div.key {
                label for="key" { (pen.say(text::KEY)) }
                // No name: it is never part of a form's data.
                input #key type="password" autocomplete="off" spellcheck="false";
                button #forget.quiet type="button" { (pen.say(text::FORGET)) }
            }
            ul {
                @for account in accounts {
                    li {
                        code { (account.app_id) }
                        @for kind in Kind::ALL {
                            button type="button" disabled data-action={ "/credentials/" (account.app_id) "/" (kind.label()) "/renew" } {
                                (pen.say(match kind {
                                    Kind::AccessToken => text::RENEW_TOKEN,
                                    Kind::JsapiTicket => text::RENEW_TICKET,
                                }))
                            }
                        }
                        output role="status" {}
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
