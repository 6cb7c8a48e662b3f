//! The state of the dependencies and of the replicas, and the traffic.

use maud::{Markup, html};

use super::chart;
use crate::http::internal::console::language::Localizer;
use crate::http::internal::console::text;
use crate::http::internal::console::traffic::{Counts, Outcomes, Recent};
use crate::http::internal::console::view::{View, age};
use crate::replicas::Replica;
use crate::settings::ImageStoreBackend;
use crate::words::Words;

pub(super) fn dependencies(view: &View, loc: Localizer) -> Markup {
    let (backend, images) = &view.images;
    let backend = match backend {
        ImageStoreBackend::Local => text::STORE_LOCAL,
        ImageStoreBackend::Http => text::STORE_HTTP,
        ImageStoreBackend::S3 => text::STORE_S3,
    };
    html! {
        section #dependencies.card aria-labelledby="dependencies-title" {
            h2 #dependencies-title { (loc.text(text::DEPENDENCIES)) }
            ul {
                (store(view, loc))
                (dependency(loc.text(text::WECHAT), None, view.wechat, loc))
                (dependency(loc.text(text::IMAGE_STORE), Some(loc.text(backend)), *images, loc))
            }
        }
    }
}

fn store(view: &View, loc: Localizer) -> Markup {
    let store = &view.store;
    let name = if view.store_is_shared {
        text::REDIS
    } else {
        text::MEMORY
    };
    let (class, word) = up_or_down(store.error.is_none());
    html! {
        li {
            span.name { (loc.text(name)) }
            span class={ "pill " (class) } { (loc.text(word)) }
            @if let Some(error) = &store.error { p.trouble.bad lang="en" { (error) } }
            p.more {
                @if view.store_is_shared { (loc.format(text::SINCE_SPAN, &[&loc.language.duration(store.since.elapsed())])) }
                @else { (loc.text(text::MEMORY_MORE)) }
            }
        }
    }
}

/// A dependency whose state is derived from recent calls to it.
fn dependency(name: &str, what: Option<&str>, recent: Recent, loc: Localizer) -> Markup {
    let (class, word) = match recent.working {
        None => ("idle", text::QUIET),
        Some(working) => up_or_down(working),
    };
    html! {
        li {
            span.name { (name) @if let Some(what) = what { " " span.tag { (what) } } }
            span class={ "pill " (class) } { (loc.text(word)) }
            p.more {
                @if recent.working.is_some() {
                    (loc.format(text::LAST_HOUR, &[&recent.good.to_string(), &recent.bad.to_string()]))
                } @else { (loc.text(text::NOT_CALLED)) }
            }
        }
    }
}

fn up_or_down(is_up: bool) -> (&'static str, Words) {
    if is_up { ("good", text::UP) } else { ("bad", text::DOWN) }
}

pub(super) fn replicas(view: &View, loc: Localizer) -> Markup {
    html! {
        section #replicas.card aria-labelledby="replicas-title" {
            h2 #replicas-title { (loc.text(text::REPLICAS)) }
            @match &view.replicas {
                Some(replicas) => ul { @for replica in replicas { (replica_row(replica, view, loc)) } },
                None => p.more { (loc.text(text::REPLICAS_UNREAD)) },
            }
        }
    }
}

fn replica_row(replica: &Replica, view: &View, loc: Localizer) -> Markup {
    let uptime = loc.language.duration(age(replica.since, view.now));
    html! {
        li {
            span.name {
                code { (replica.name) }
                @if replica.name == view.own.name { " " span.tag { (loc.text(text::REPLICA_OWN)) } }
            }
            p.more {
                "wxgate " (replica.version) " · "
                (loc.format(text::UPTIME, &[&uptime])) " · " (loc.time(replica.since))
            }
        }
    }
}

pub(super) fn traffic(view: &View, loc: Localizer) -> Markup {
    let counts = &view.counts;
    let not_signed = loc.format(text::NOT_SIGNED, &[&counts.not_signed.to_string()]);
    let not_uploaded = loc.format(text::NOT_UPLOADED, &[&counts.not_uploaded.to_string()]);
    let errors_more = loc.text(text::ERRORS_MORE);
    html! {
        section #traffic.card aria-labelledby="traffic-title" {
            h2 #traffic-title { (loc.text(text::TRAFFIC)) }
            p.more { (loc.text(text::TRAFFIC_MORE)) }
            (tile(view, loc, text::SIGNATURES, |counts| counts.signed, "calm", &not_signed))
            (tile(view, loc, text::UPLOADS, |counts| counts.uploaded, "calm", &not_uploaded))
            (outcomes(&view.outcomes, loc))
            (tile(view, loc, text::ERRORS, |counts| counts.errors, "bad", errors_more))
        }
    }
}

/// A number, and a chart of its last hour.
fn tile(view: &View, loc: Localizer, name: Words, counter: fn(&Counts) -> u64, class: &str, more: &str) -> Markup {
    let values = view.hour.per_minute(counter);
    let peak = values.iter().copied().max().unwrap_or(0).to_string();
    let sum = values.iter().sum::<u64>().to_string();
    let label = loc.format(text::CHART, &[loc.text(name), &peak, &sum]);
    html! {
        div.tile {
            h3 { (loc.text(name)) }
            p.number { (counter(&view.counts)) }
            (chart::per_minute(&values, class, &label))
            p.more.notes { span { (more) } span { (loc.format(text::PEAK, &[&peak])) } }
        }
    }
}

fn outcomes(outcomes: &Outcomes, loc: Localizer) -> Markup {
    let parts: Vec<_> = outcomes
        .iter()
        .map(|(outcome, n)| (describe(outcome, loc), *n))
        .collect();
    let legend: Vec<_> = parts.iter().map(|((_, name), n)| format!("{name} {n}")).collect();
    let label = format!("{}: {}", loc.text(text::OUTCOMES), legend.join(", "));
    let shares: Vec<_> = parts.iter().map(|((class, _), n)| (*class, *n)).collect();
    html! {
        @if parts.is_empty() {
            p.more { (loc.text(text::NO_UPLOADS)) }
        } @else {
            (chart::shares(&shares, &label))
            ul.legend {
                @for ((class, name), n) in &parts {
                    li { svg.swatch viewBox="0 0 1 1" aria-hidden="true" { rect class=(class) width="1" height="1" {} } (name) " " strong { (n) } }
                }
            }
        }
    }
}

/// An outcome's colour and name.
fn describe(outcome: &str, loc: Localizer) -> (&'static str, &str) {
    let (class, name) = match outcome {
        "stored" => ("part-stored", text::OUTCOME_STORED),
        "remembered" => ("part-remembered", text::OUTCOME_REMEMBERED),
        "joined" => ("part-joined", text::OUTCOME_JOINED),
        "rejected" => ("part-caller", text::OUTCOME_REJECTED),
        "not_found" => ("part-unknown", text::OUTCOME_NOT_FOUND),
        "wechat_error" => ("part-wechat", text::OUTCOME_WECHAT),
        "unavailable" => ("part-unavailable", text::OUTCOME_UNAVAILABLE),
        "store_error" => ("part-store", text::OUTCOME_STORE),
        "overloaded" => ("part-busy", text::OUTCOME_OVERLOADED),
        "timeout" => ("part-timeout", text::OUTCOME_TIMEOUT),
        "lost" => ("part-lost", text::OUTCOME_LOST),
        other => return ("part-lost", other),
    };
    (class, loc.text(name))
}
