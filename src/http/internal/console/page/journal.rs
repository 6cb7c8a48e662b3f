//! The timeline, and the warning about other systems that invalidate the token.

use maud::{Markup, html};

use crate::clock::beijing;
use crate::credentials::Event;
use crate::http::internal::console::language::Localizer;
use crate::http::internal::console::text;
use crate::http::internal::console::time;
use crate::http::internal::console::timeline::{TimelineEntry, TimelineRow};
use crate::http::internal::console::view::View;
use crate::words::Words;

/// The warning about foreign invalidations, if there were any in the last week.
pub(super) fn foreign(view: &View, loc: Localizer) -> Markup {
    if view.foreign.is_empty() {
        return Markup::default();
    }
    let (_, _, path) = appearance(Some(Event::ForeignInvalidation));
    html! {
        section #foreign.foreign aria-labelledby="foreign-title" {
            h2 #foreign-title { (icon(path)) (loc.text(text::FOREIGN_TITLE)) }
            @for account in &view.accounts { (of_account(view, &account.app_id, loc)) }
            p { (loc.text(text::FOREIGN_WHY)) }
            h3 { (loc.text(text::WHAT_TO_DO)) }
            ol {
                li { (loc.text(text::FOREIGN_FIND)) }
                li { (loc.text(text::FOREIGN_ASK)) }
                li { (loc.text(text::FOREIGN_RESET)) }
            }
        }
    }
}

fn of_account(view: &View, app_id: &str, loc: Localizer) -> Markup {
    let entries: Vec<_> = view.foreign.iter().filter(|entry| entry.app_id == app_id).collect();
    html! {
        @if let Some(newest) = entries.first() {
            @let (count, last) = (entries.len().to_string(), time::short(newest.noted.time, loc.now));
            p { strong { (loc.format(text::FOREIGN_COUNT, &[app_id, &count, &last])) } }
        }
    }
}

pub(super) fn timeline(view: &View, loc: Localizer) -> Markup {
    let many_accounts = view.accounts.len() > 1;
    html! {
        section #journal.card aria-labelledby="journal-title" {
            h2 #journal-title { (loc.text(text::JOURNAL)) }
            @if !view.journal_read {
                p.trouble.warn { (loc.text(text::JOURNAL_UNREAD)) }
            } @else if view.timeline.is_empty() {
                p.more { (loc.text(text::JOURNAL_EMPTY)) }
            } @else {
                p.more { (loc.text(text::JOURNAL_MORE)) }
            }
            @for day in view.timeline.chunk_by(|a, b| day_of(a) == day_of(b)) {
                h3 { (day_name(&day[0], loc)) }
                ol { @for line in day { (line_view(line, many_accounts, loc)) } }
            }
        }
    }
}

fn day_of(line: &TimelineRow) -> String {
    beijing(line.entry.noted.time).0
}

fn day_name(line: &TimelineRow, loc: Localizer) -> String {
    let day = day_of(line);
    let (today, _) = beijing(loc.now);
    if day == today {
        format!("{} · {day}", loc.text(text::TODAY))
    } else {
        day
    }
}

fn line_view(line: &TimelineRow, many_accounts: bool, loc: Localizer) -> Markup {
    let (entry, noted) = (&line.entry, &line.entry.noted);
    let (_, clock) = beijing(noted.time);
    let (name, class, path) = appearance(noted.event());
    html! {
        li class=(class) {
            time datetime=(time::machine(noted.time)) { (clock) }
            (icon(path))
            p.what {
                strong { (name.map_or(noted.event.as_str(), |name| loc.text(name))) } " "
                span.kind { (noted.kind) } " "
                @if let Some(client) = &noted.client { (loc.format(text::HANDED_TO, &[client])) " " }
                @if line.count > 1 {
                    span.tag { (loc.format(text::TIMES, &[&line.count.to_string(), &time::short(line.since, noted.time)])) }
                }
                (reason(entry, loc))
            }
            p.who {
                @if many_accounts { code { (entry.app_id) } " " }
                @if !noted.fingerprint.is_empty() { code { (noted.fingerprint) } " " }
                code { (noted.replica) }
            }
        }
    }
}

/// The facts in the reader's language, then the entry's own text if it adds something: WeChat's message, that an operator
/// requested it, or the whole sentence in an entry of version 0.1.
fn reason(entry: &TimelineEntry, loc: Localizer) -> Markup {
    let (fact, written) = (fact(entry, loc), entry.noted.reason.as_str());
    let adds = fact.is_none() || entry.noted.errcode.is_some() || entry.is_from_wechat();
    html! {
        @if let Some(fact) = &fact { span.reason { (fact) } }
        @if adds && !written.is_empty() { span.reason lang="en" { (written) } }
    }
}

fn fact(entry: &TimelineEntry, loc: Localizer) -> Option<String> {
    let noted = &entry.noted;
    let about = |text, length| loc.format(text, &[&loc.language.duration(time::to_the_minute(length))]);
    match noted.event()? {
        Event::Issued | Event::Renewed => noted.lifetime.map(|lifetime| about(text::VALID_FOR, lifetime)),
        Event::ForeignInvalidation => noted.left.map(|left| about(text::FOREIGN_LOST, left)),
        Event::Adopted => Some(loc.text(text::ADOPTED_MORE).to_owned()),
        Event::Rejected | Event::RenewalFailed => {
            let code = noted.errcode?.to_string();
            Some(loc.format(text::REFUSED_WITH, &[&code]))
        }
        Event::HandedOut => {
            let address = noted.address?.to_string();
            Some(loc.format(text::WITH_APP_SECRET, &[&address]))
        }
    }
}

/// An event's name, its CSS class, and the path of its icon. An event unknown to this version has no name.
fn appearance(event: Option<Event>) -> (Option<Words>, &'static str, &'static str) {
    let (name, class, path) = match event {
        None => return (None, "calm", "M7.5 8h1"),
        Some(Event::Issued) => (text::EVENT_ISSUED, "good", "M8 3v10M3 8h10"),
        Some(Event::Renewed) => (text::EVENT_RENEWED, "good", "M13 8a5 5 0 1 1-1.6-3.7M13 2.5V5h-2.5"),
        Some(Event::Adopted) => (text::EVENT_ADOPTED, "calm", "M8 2.5v8M4.5 7.5 8 11l3.5-3.5M3 13.5h10"),
        Some(Event::HandedOut) => (text::EVENT_HANDED_OUT, "calm", "M3 8h9M8.5 4.5 12 8l-3.5 3.5"),
        Some(Event::Rejected) => (text::EVENT_REJECTED, "warn", "M4 4l8 8M12 4l-8 8"),
        Some(Event::ForeignInvalidation) => (text::EVENT_FOREIGN, "bad", "M9 1.5 3.5 9H8l-1 5.5L12.5 7H8z"),
        Some(Event::RenewalFailed) => (text::EVENT_FAILED, "warn", "M8 3v6M8 12.2v.6"),
    };
    (Some(name), class, path)
}

fn icon(path: &str) -> Markup {
    html! { svg.icon viewBox="0 0 16 16" aria-hidden="true" { path d=(path) {} } }
}
