//! Each account: its token, its ticket, its day's calls.

use maud::{Markup, html};

use super::{Pen, chart};
use crate::http::internal::console::text;
use crate::http::internal::console::time;
use crate::http::internal::console::view::{AccountView, CredentialView, Failing, Held, View};
use crate::settings::TokenApi;

pub(super) fn accounts(view: &View, pen: Pen) -> Markup {
    html! {
        section #accounts aria-labelledby="accounts-title" {
            h2 #accounts-title { (pen.say(text::ACCOUNTS)) }
            @for account in &view.accounts { (one(account, pen)) }
        }
    }
}

fn one(account: &AccountView, pen: Pen) -> Markup {
    let api = match account.token_api {
        TokenApi::Stable => text::API_STABLE,
        TokenApi::Classic => text::API_CLASSIC,
    };
    html! {
        article.card.account {
            h3 { code { (account.app_id) } " " span.tag { (pen.say(api)) } }
            div.pair { @for credential in &account.credentials { (credential_view(credential, pen)) } }
            (calls(account, pen))
        }
    }
}

fn credential_view(credential: &CredentialView, pen: Pen) -> Markup {
    let (class, word) = match (&credential.held, &credential.failing) {
        (Some(_), None) => ("good", text::ALIVE),
        (Some(_), Some(_)) => ("warn", text::RETRYING),
        (None, _) => ("bad", text::NONE),
    };
    html! {
        section.credential {
            h4 { (credential.kind.label()) " " span class={ "pill " (class) } { (pen.say(word)) } }
            @match &credential.held {
                Some(held) => (held_view(held, credential.kind.label(), class, pen)),
                None if credential.failing.is_none() => p.more { (pen.say(text::FETCHING)) },
                None => {}
            }
            @if let Some(failing) = &credential.failing { (failing_view(failing, class, pen)) }
        }
    }
}

fn held_view(held: &Held, kind: &str, class: &str, pen: Pen) -> Markup {
    let share = |part: std::time::Duration| part.as_secs_f64() / held.life.as_secs_f64().max(1.0);
    let left = share(held.remaining);
    let label = pen.fill(text::LIFE_BAR, &[kind, &format!("{:.0}", left * 100.0)]);
    let ends = pen.now + held.remaining;
    html! {
        p.left {
            strong data-ends=(time::unix(ends)) { (pen.span(held.remaining)) } " "
            span.more { (pen.fill(text::UNTIL, &[&time::short(ends, pen.now)])) }
        }
        (chart::bar(left, Some(share(held.remaining.saturating_sub(held.renews_in))), class, &label))
        dl {
            dt { (pen.say(text::FINGERPRINT)) }
            dd { code { (held.fingerprint) } }
            dt { (pen.say(text::RENEWED_BY)) }
            dd {
                @match &held.origin {
                    Some((replica, at)) => { code { (replica) } " · " (pen.time(*at)) }
                    None => (pen.fill(text::TAKEN_OVER, &[&time::short(held.since, pen.now)])),
                }
            }
            dt { (pen.say(text::NEXT_RENEWAL)) }
            dd {
                @if held.renews_in.is_zero() { (pen.say(text::ANY_MOMENT)) }
                @else { (pen.fill(text::IN_SPAN, &[&pen.span(held.renews_in)])) }
            }
        }
    }
}

fn failing_view(failing: &Failing, class: &str, pen: Pen) -> Markup {
    html! {
        div class={ "trouble " (class) } {
            p { strong { (pen.say(text::FAILING_BECAUSE)) } " " span lang="en" { (failing.reason) } }
            @if let Some(cure) = failing.errcode.and_then(text::cure) {
                p { strong { (pen.say(text::WHAT_TO_DO)) } " " (pen.say(cure)) }
            }
            @if let Some(wait) = failing.retry_after {
                p.more { (pen.fill(text::RETRY_IN, &[&pen.span(wait)])) }
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share of a bar")]
fn calls(account: &AccountView, pen: Pen) -> Markup {
    let (calls, limit) = (account.calls_today, account.calls_limit);
    let share = calls as f64 / limit.max(1) as f64;
    let class = match share {
        _ if share >= 1.0 => "bad",
        _ if share >= 0.8 => "warn",
        _ => "calm",
    };
    let (calls, limit) = (calls.to_string(), limit.to_string());
    html! {
        div.calls {
            p { span.more { (pen.say(text::CALLS_TODAY)) } " "
                @if account.calls_limit == 0 { strong { (pen.fill(text::CALLS_UNLIMITED, &[&calls])) } }
                @else { strong { (pen.fill(text::CALLS_OF, &[&calls, &limit])) } }
            }
            @if account.calls_limit > 0 { (chart::bar(share, None, class, pen.say(text::CALLS_TODAY))) }
        }
    }
}
