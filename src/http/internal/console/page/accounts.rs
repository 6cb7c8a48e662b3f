//! Each account: its token, its ticket, and today's token calls.

use std::time::Duration;

use maud::{Markup, html};

use super::chart;
use crate::clock::Moment;
use crate::credentials::{Credential, Unavailable};
use crate::http::internal::console::language::Localizer;
use crate::http::internal::console::text;
use crate::http::internal::console::time;
use crate::http::internal::console::view::{AccountView, CredentialView, View, age};
use crate::settings::TokenApi;

pub(super) fn accounts(view: &View, loc: Localizer) -> Markup {
    html! {
        section #accounts aria-labelledby="accounts-title" {
            h2 #accounts-title { (loc.text(text::ACCOUNTS)) }
            @for account in &view.accounts { (one(account, view.calls_limit, loc)) }
        }
    }
}

fn one(account: &AccountView, calls_limit: u64, loc: Localizer) -> Markup {
    let api = match account.token_api {
        TokenApi::Stable => text::API_STABLE,
        TokenApi::Classic => text::API_CLASSIC,
    };
    html! {
        article.card.account {
            h3 { code { (account.app_id) } " " span.tag { (loc.text(api)) } }
            div.pair { @for credential in &account.credentials { (credential_view(credential, loc)) } }
            (calls(account.calls_today, calls_limit, loc))
        }
    }
}

fn credential_view(credential: &CredentialView, loc: Localizer) -> Markup {
    let (held, failing) = (&credential.status.credential, &credential.status.failing);
    let (class, word) = match (held, failing) {
        (Some(_), None) => ("good", text::VALID),
        (Some(_), Some(_)) => ("warn", text::RETRYING),
        (None, _) => ("bad", text::NONE),
    };
    html! {
        section.credential {
            h4 { (credential.kind.label()) " " span class={ "pill " (class) } { (loc.text(word)) } }
            @match held {
                Some(held) => (held_view(held, credential, class, loc)),
                None if failing.is_none() => p.more { (loc.text(text::FETCHING)) },
                None => {}
            }
            @if let Some(failing) = failing { (failing_view(failing, class, loc)) }
        }
    }
}

fn held_view(held: &Credential, view: &CredentialView, class: &str, loc: Localizer) -> Markup {
    let (remaining, held_for) = (held.remaining(), held.held_since.elapsed());
    let renews_in = held.renew_at.saturating_duration_since(Moment::now());
    let origin = view.origin.as_ref();
    // As far as the journal or this replica knows it.
    let age = origin.map_or(held_for, |origin| age(origin.noted.time, loc.now).max(held_for));
    let percent = |part: Duration| part.as_secs() * 100 / (remaining + age).as_secs().max(1);
    let left = percent(remaining);
    let label = loc.format(text::LIFETIME_BAR, &[view.kind.label(), &left.to_string()]);
    let ends = loc.now + remaining;
    html! {
        p.left {
            strong data-ends=(time::unix(ends)) { (loc.language.duration(remaining)) } " "
            span.more { (loc.format(text::UNTIL, &[&time::short(ends, loc.now)])) }
        }
        (chart::bar(left, Some(percent(remaining.saturating_sub(renews_in))), class, &label))
        dl {
            dt { (loc.text(text::FINGERPRINT)) }
            dd { code { (held.fingerprint) } }
            dt { (loc.text(text::RENEWED_BY)) }
            dd {
                @match origin {
                    Some(origin) => { code { (origin.noted.replica) } " · " (loc.time(origin.noted.time)) }
                    None => (loc.format(text::ORIGIN_UNKNOWN, &[&time::short(loc.now - held_for, loc.now)])),
                }
            }
            dt { (loc.text(text::NEXT_RENEWAL)) }
            dd {
                @if renews_in.is_zero() { (loc.text(text::ANY_MOMENT)) }
                @else { (loc.format(text::IN_SPAN, &[&loc.language.duration(renews_in)])) }
            }
        }
    }
}

fn failing_view(failing: &Unavailable, class: &str, loc: Localizer) -> Markup {
    html! {
        div class={ "trouble " (class) } {
            p { strong { (loc.text(text::FAILING_BECAUSE)) } " " span lang="en" { (failing.reason) } }
            @if let Some(errcode) = failing.errcode {
                p { strong { (loc.text(text::WHAT_TO_DO)) } " " (loc.text(errcode.meaning_of_token_call().cure())) }
            }
            p.more { (loc.format(text::RETRY_IN, &[&loc.language.duration(failing.retry_after)])) }
        }
    }
}

fn calls(calls: u64, limit: u64, loc: Localizer) -> Markup {
    let percent = calls.saturating_mul(100) / limit.max(1);
    let class = match percent {
        100.. => "bad",
        80.. => "warn",
        _ => "calm",
    };
    let count = match limit {
        0 => loc.format(text::CALLS_UNLIMITED, &[&calls.to_string()]),
        _ => loc.format(text::CALLS_OF, &[&calls.to_string(), &limit.to_string()]),
    };
    html! {
        div.calls {
            p { span.more { (loc.text(text::CALLS_TODAY)) } " " strong { (count) } }
            @if limit > 0 { (chart::bar(percent, None, class, loc.text(text::CALLS_TODAY))) }
        }
    }
}
