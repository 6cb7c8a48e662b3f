//! What happened: the timeline, and the box about systems that kill the token.

use maud::{Markup, html};

use super::Pen;
use crate::http::internal::console::text;
use crate::http::internal::console::time;
use crate::http::internal::console::timeline::{Entry, Line, What};
use crate::http::internal::console::view::View;

/// The box about foreign invalidations, where there were any this week.
pub(super) fn foreign(view: &View, pen: Pen) -> Markup {
    if view.foreign.is_empty() {
        return Markup::default();
    }
    html! {
        section #foreign.foreign aria-labelledby="foreign-title" {
            h2 #foreign-title { (icon(What::Foreign)) (pen.say(text::FOREIGN_TITLE)) }
            @for account in &view.accounts { (of_account(view, &account.app_id, pen)) }
            p { (pen.say(text::FOREIGN_WHY)) }
            h3 { (pen.say(text::WHAT_TO_DO)) }
            ol {
                li { (pen.say(text::FOREIGN_FIND)) }
                li { (pen.say(text::FOREIGN_ASK)) }
                li { (pen.say(text::FOREIGN_RESET)) }
            }
        }
    }
}

fn of_account(view: &View, app_id: &str, pen: Pen) -> Markup {
    let mut times = view
        .foreign
        .iter()
        .filter(|entry| entry.app_id == app_id)
        .map(|entry| entry.time);
    let Some(last) = times.next() else {
        return Markup::default();
    };
    let (last, count) = (time::short(last, pen.now), times.count() + 1);
    html! {
        p { strong {
            @if count == 1 { (pen.fill(text::FOREIGN_ONE, &[app_id, &last])) }
            @else { (pen.fill(text::FOREIGN_MANY, &[app_id, &count.to_string(), &last])) }
        } }
    }
}

pub(super) fn timeline(view: &View, pen: Pen) -> Markup {
    let many_accounts = view.accounts.len() > 1;
    html! {
        section #journal.card aria-labelledby="journal-title" {
            h2 #journal-title { (pen.say(text::JOURNAL)) }
            @if !view.journal_read {
                p.trouble.warn { (pen.say(text::JOURNAL_UNREAD)) }
            } @else if view.timeline.is_empty() {
                p.more { (pen.say(text::JOURNAL_EMPTY)) }
            } @else {
                p.more { (pen.say(text::JOURNAL_MORE)) }
            }
            @for day in view.timeline.chunk_by(|a, b| day_of(a) == day_of(b)) {
                h3 { (day_name(&day[0], pen)) }
                ol { @for line in day { (line_view(line, many_accounts, pen)) } }
            }
        }
    }
}

fn day_of(line: &Line) -> String {
    time::beijing(line.entry.time).0
}

fn day_name(line: &Line, pen: Pen) -> String {
    let day = day_of(line);
    let (today, _) = time::beijing(pen.now);
    if day == today {
        format!("{} · {day}", pen.say(text::TODAY))
    } else {
        day
    }
}

fn line_view(line: &Line, many_accounts: bool, pen: Pen) -> Markup {
    let entry = &line.entry;
    let (_, clock) = time::beijing(entry.time);
    html! {
        li class=(class_of(entry.what)) {
            time datetime=(time::machine(entry.time)) { (clock) }
            (icon(entry.what))
            p.what {
                strong { (name_of(entry, pen)) } " "
                span.kind { (entry.kind) } " "
                @if !entry.client.is_empty() { (pen.fill(text::HANDED_TO, &[&entry.client])) " " }
                @if line.count > 1 {
                    span.tag { (pen.fill(text::TIMES, &[&line.count.to_string(), &time::short(line.since, entry.time)])) }
                }
                @if let Some((reason, lang)) = reason(entry, pen) { span.reason lang=[lang] { (reason) } }
            }
            p.who {
                @if many_accounts { code { (entry.app_id) } " " }
                @if !entry.fingerprint.is_empty() { code { (entry.fingerprint) } " " }
                code { (entry.replica) }
            }
        }
    }
}

fn name_of(entry: &Entry, pen: Pen) -> &str {
    pen.say(match entry.what {
        What::Issued => text::EVENT_ISSUED,
        What::Renewed => text::EVENT_RENEWED,
        What::Adopted => text::EVENT_ADOPTED,
        What::HandedOut => text::EVENT_HANDED_OUT,
        What::Rejected => text::EVENT_REJECTED,
        What::Foreign => text::EVENT_FOREIGN,
        What::Failed => text::EVENT_FAILED,
        What::Unknown => return &entry.label,
    })
}

/// The reason in the reader's words where it is one of ours, else as it was written, in English.
fn reason(entry: &Entry, pen: Pen) -> Option<(String, Option<&'static str>)> {
    let ours = match entry.what {
        What::Issued | What::Renewed => entry
            .life()
            .map(|life| pen.fill(text::VALID_FOR, &[&pen.span(time::to_the_minute(life))])),
        What::Foreign => entry
            .life_lost()
            .map(|left| pen.fill(text::FOREIGN_LOST, &[&pen.span(time::to_the_minute(left))])),
        What::Adopted => Some(pen.say(text::ADOPTED_MORE).to_owned()),
        What::HandedOut | What::Rejected | What::Failed | What::Unknown => None,
    };
    let written = || (!entry.reason.is_empty()).then(|| (entry.reason.clone(), Some("en")));
    ours.map(|reason| (reason, None)).or_else(written)
}

fn class_of(what: What) -> &'static str {
    match what {
        What::Issued | What::Renewed => "good",
        What::Adopted | What::HandedOut | What::Unknown => "calm",
        What::Rejected | What::Failed => "warn",
        What::Foreign => "bad",
    }
}

fn icon(what: What) -> Markup {
    let path = match what {
        What::Issued => "M8 3v10M3 8h10",
        What::Renewed => "M13 8a5 5 0 1 1-1.6-3.7M13 2.5V5h-2.5",
        What::Adopted => "M8 2.5v8M4.5 7.5 8 11l3.5-3.5M3 13.5h10",
        What::HandedOut => "M3 8h9M8.5 4.5 12 8l-3.5 3.5",
        What::Rejected => "M4 4l8 8M12 4l-8 8",
        What::Foreign => "M9 1.5 3.5 9H8l-1 5.5L12.5 7H8z",
        What::Failed => "M8 3v6M8 12.2v.6",
        What::Unknown => "M7.5 8h1",
    };
    html! { svg.icon viewBox="0 0 16 16" aria-hidden="true" { path d=(path) {} } }
}
