//! The console's page: header, banner and operator's card. All external values go through maud, which escapes them.

mod accounts;
mod chart;
pub(super) mod explain;
mod journal;
mod traffic;

use maud::{DOCTYPE, Markup, html};

use super::language::{Language, Localizer};
use super::text;
use super::time;
use super::view::{AccountView, GatewayProblem, View, age};
use crate::clock::beijing;
use crate::credentials::Kind;
use crate::http::public::health::Readiness;

pub(super) fn page(view: &View, app_ids: &[String], language: Language) -> Markup {
    let loc = Localizer {
        language,
        now: view.now,
        files: "console/",
    };
    // The first character shows the state in the browser's tab.
    let icon = match view.state {
        Readiness::Ready => "●",
        Readiness::Degraded => "▲",
        Readiness::Unready => "✕",
    };
    let title = html! { (icon) " wxgate " (loc.text(text::TITLE)) };
    let more = html! {
        script src=(loc.file("console.js")) defer {}
        noscript { meta http-equiv="refresh" content="15"; }
    };
    let body = html! {
        a.skip href="#main" { (loc.text(text::SKIP)) }
        (header(loc))
        main #main tabindex="-1" {
            (fresh(view, loc))
            (explain::card(app_ids, loc))
            (operator(view, loc))
        }
    };
    document(&title, &more, &body, loc)
}

/// The frame of every page.
fn document(title: &Markup, more: &Markup, body: &Markup, loc: Localizer) -> Markup {
    html! {
        (DOCTYPE)
        html lang=(loc.language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" type="image/svg+xml" href=(loc.file("icon.svg"));
                link rel="stylesheet" href=(loc.file("console.css"));
                (more)
            }
            body { (body) }
        }
    }
}

/// The same page in either language.
fn language_links(loc: Localizer) -> Markup {
    html! {
        nav aria-label=(loc.text(text::OTHER_LANGUAGE)) {
            @for (language, name) in [(Language::Chinese, "中文"), (Language::English, "EN")] {
                @let current = (language == loc.language).then_some("true");
                a href={ "?lang=" (language.code()) } lang=(language.tag())
                    hreflang=(language.tag()) aria-current=[current] { (name) }
            }
        }
    }
}

/// The part that the script replaces when it refreshes the page.
fn fresh(view: &View, loc: Localizer) -> Markup {
    html! {
        div #fresh data-now=(time::unix(view.now)) {
            (banner(view, loc))
            div.columns {
                div.first {
                    (journal::foreign(view, loc))
                    (accounts::accounts(view, loc))
                }
                div.side {
                    (traffic::dependencies(view, loc))
                    (traffic::replicas(view, loc))
                    (traffic::traffic(view, loc))
                }
                (journal::timeline(view, loc))
            }
        }
    }
}

fn header(loc: Localizer) -> Markup {
    let [day, hour, minute, second] = loc.language.units();
    html! {
        header {
            img.logo src=(loc.file("icon.svg")) width="40" height="40" alt="";
            h1 { "wxgate " span { (loc.text(text::TITLE)) } }
            div.tools data-units={ (day) "|" (hour) "|" (minute) "|" (second) } {
                button #pause.quiet type="button" aria-pressed="false" data-resume=(loc.text(text::RESUME)) hidden {
                    (loc.text(text::PAUSE))
                }
                a.quiet href="#operator" { (loc.text(text::OPERATOR)) }
                (language_links(loc))
            }
        }
        p #announcement.unseen role="status" {}
        p #stale.stale role="alert" hidden data-text=(loc.text(text::STALE)) {}
    }
}

/// How many problems the banner shows.
const PROBLEMS: usize = 10;

fn banner(view: &View, loc: Localizer) -> Markup {
    let (class, words) = match view.state {
        Readiness::Ready => ("banner good", text::STATE_FINE),
        Readiness::Degraded => ("banner warn", text::STATE_DEGRADED),
        Readiness::Unready => ("banner bad", text::STATE_DOWN),
    };
    let (_, clock) = beijing(view.now);
    let uptime = loc.language.duration(age(view.own.since, view.now));
    html! {
        section #banner class=(class) aria-labelledby="state" {
            span.status-dot aria-hidden="true" {}
            div {
                h2 #state { (loc.text(words)) }
                @if view.problems.is_empty() {
                    p { (loc.text(text::STATE_FINE_MORE)) }
                } @else {
                    ul {
                        @for GatewayProblem(words, names) in view.problems.iter().take(PROBLEMS) {
                            li { (loc.format(*words, names)) }
                        }
                        @if let more @ 1.. = view.problems.len().saturating_sub(PROBLEMS) {
                            li { (loc.format(text::PROBLEMS_MORE, &[&more.to_string()])) }
                        }
                    }
                }
            }
            p.about {
                span { (loc.format(text::UPDATED, &[&clock])) }
                span { (loc.text(text::REPLICA)) " " code { (view.own.name) } }
                span { "wxgate " (env!("CARGO_PKG_VERSION")) ", " (loc.format(text::UPTIME, &[&uptime])) }
            }
        }
    }
}

/// The script never replaces this part, since the operator types here.
fn operator(view: &View, loc: Localizer) -> Markup {
    html! {
        section #operator.card aria-labelledby="operator-title" {
            h2 #operator-title { (loc.text(text::OPERATOR)) }
            @if view.actions_open {
                p.more { (loc.text(text::OPERATOR_MORE)) }
                noscript { p.more { (loc.text(text::OPERATOR_SCRIPT)) } }
                (operator_form(&view.accounts, loc))
            } @else {
                p.more { (loc.text(text::OPERATOR_CLOSED)) }
            }
        }
    }
}

fn operator_form(accounts: &[AccountView], loc: Localizer) -> Markup {
    html! {
        form #actions autocomplete="off" data-working=(loc.text(text::ACTION_WORKING)) data-done=(loc.text(text::ACTION_DONE))
            data-unchanged=(loc.text(text::ACTION_UNCHANGED))
            data-wrong=(loc.text(text::ACTION_WRONG_KEY)) data-failed=(loc.text(text::ACTION_FAILED))
            data-unreachable=(loc.text(text::ACTION_UNREACHABLE)) {
            div.key {
                label for="key" { (loc.text(text::KEY)) }
                // It has no name, so it is never part of a form's data.
                input #key type="password" autocomplete="off" spellcheck="false";
                button #forget.quiet type="button" { (loc.text(text::FORGET)) }
            }
            ul {
                @for account in accounts {
                    li {
                        code { (account.app_id) }
                        @for kind in account.credentials.iter().map(|credential| credential.kind) {
                            button type="button" disabled data-action={ "credentials/" (account.app_id) "/" (kind.label()) "/renew" } {
                                (loc.text(match kind {
                                    Kind::AccessToken => text::RENEW_TOKEN,
                                    Kind::JsapiTicket | Kind::CardTicket => text::RENEW_TICKET,
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
