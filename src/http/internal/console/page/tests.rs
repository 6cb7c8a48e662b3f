//! The page's content, in both languages.

use std::time::{Duration, SystemTime};

use super::*;
use crate::credentials::{Event, Unavailable};
use crate::http::internal::console::timeline::tests::entry;
use crate::http::internal::console::timeline::{self, TimelineEntry};
use crate::http::internal::console::traffic::{Counts, Recent, Traffic};
use crate::http::internal::console::view::{CredentialView, Held, StoreView};
use crate::replicas::Replica;
use crate::settings::{ImageStoreBackend, TokenApi};

const BOTH: [Language; 2] = [Language::Chinese, Language::English];
const APP_ID: &str = "wx5a4db0c0ffee0001";

fn held(kind: Kind) -> CredentialView {
    let hour = Duration::from_hours(1);
    CredentialView {
        kind,
        held: Some(Held {
            fingerprint: "ba7816bf".to_owned(),
            remaining: hour,
            life: hour * 2,
            renews_in: Duration::from_mins(55),
            origin: Some(("gw-1".to_owned(), SystemTime::now() - hour)),
            since: SystemTime::now() - hour,
        }),
        failing: None,
    }
}

fn replica(name: &str, now: SystemTime, age: u64) -> Replica {
    Replica {
        since: now - Duration::from_secs(age),
        name: name.to_owned(),
        version: format!("0.2.{age}"),
    }
}

/// A healthy gateway whose journal holds `entries`.
fn view(entries: &[TimelineEntry]) -> View {
    let idle = Recent {
        working: None,
        good: 0,
        bad: 0,
    };
    let foreign = entries
        .iter()
        .filter(|entry| entry.event == Some(Event::ForeignInvalidation))
        .cloned();
    let now = SystemTime::now();
    let mut view = View {
        now,
        state: GatewayState::Fine,
        problems: Vec::new(),
        accounts: vec![AccountView {
            app_id: APP_ID.to_owned(),
            token_api: TokenApi::Stable,
            credentials: [Kind::AccessToken, Kind::JsapiTicket].map(held).into(),
            calls_today: 12,
        }],
        calls_limit: 500,
        store: StoreView {
            shared: true,
            error: None,
            since: Duration::from_secs(90),
        },
        wechat: idle,
        images: (ImageStoreBackend::Local, idle),
        counts: Counts::default(),
        hour: Traffic::default().hour(Counts::default()),
        outcomes: Vec::new(),
        foreign: foreign.collect(),
        timeline: timeline::fold(entries.to_vec(), 100),
        journal_read: true,
        replica: "gw-1".to_owned(),
        replicas: Some(vec![replica("gw-1", now, 60), replica("gw-2", now, 7200)]),
        uptime: Duration::from_mins(1),
        actions_open: true,
    };
    view.judge(false);
    view
}

fn html(view: &View, language: Language) -> String {
    page(view, language).into_string()
}

#[test]
fn healthy_gateway_is_shown_as_healthy() {
    let view = view(&[]);
    assert_eq!(view.state, GatewayState::Fine);
    for language in BOTH {
        let page = html(&view, language);
        for text in [text::STATE_FINE, text::VALID, text::JOURNAL_EMPTY, text::OPERATOR_MORE] {
            assert!(page.contains(language.text(text)), "{page}");
        }
        assert!(page.contains(&format!("<html lang=\"{}\"", language.tag())));
        assert!(!page.contains(language.text(text::FOREIGN_TITLE)));
        assert!(page.contains(&language.format(text::CALLS_OF, &["12", "500"])));
    }
}

#[test]
fn every_replica_is_shown_with_version_and_age() {
    let mut view = view(&[]);
    for language in BOTH {
        let page = html(&view, language);
        let age = language.duration(Duration::from_hours(2));
        let shown = [
            "gw-2",
            "wxgate 0.2.60",
            "wxgate 0.2.7200",
            &age,
            language.text(text::REPLICA_OWN),
        ];
        assert!(shown.into_iter().all(|shown| page.contains(shown)), "{page}");
    }
    view.replicas = None;
    assert!(BOTH.map(|language| html(&view, language).contains(language.text(text::REPLICAS_UNREAD))) == [true; 2]);
}

#[test]
fn journal_facts_are_shown_in_both_languages() {
    let now = SystemTime::now();
    let view = view(&[
        entry(now, 50, "foreign_invalidation", &[("left_s", "5400")]),
        entry(now, 40, "renewed", &[("life_s", "7200")]),
        entry(
            now,
            30,
            "rejected",
            &[("errcode", "40001"), ("reason", "invalid credential")],
        ),
        entry(
            now,
            20,
            "renewal_failed",
            &[("errcode", "40164"), ("reason", "invalid ip")],
        ),
        entry(
            now,
            10,
            "handed_out",
            &[("client", "AppSecret"), ("address", "203.0.113.7")],
        ),
    ]);
    for language in BOTH {
        let page = html(&view, language);
        let two_hours = language.duration(Duration::from_hours(2));
        let ninety_minutes = language.duration(Duration::from_mins(90));
        let shown = [
            language.text(text::FOREIGN_ASK).to_owned(),
            language.format(text::FOREIGN_LOST, &[&ninety_minutes]),
            language.format(text::VALID_FOR, &[&two_hours]),
            language.format(text::REFUSED_WITH, &["40001"]),
            language.format(text::REFUSED_WITH, &["40164"]),
            language.format(text::HANDED_TO, &["AppSecret"]),
            language.format(text::WITH_APP_SECRET, &["203.0.113.7"]),
            "<span class=\"reason\" lang=\"en\">invalid ip</span>".to_owned(),
        ];
        for shown in shown {
            assert!(page.contains(&shown), "{shown}: {page}");
        }
    }
}

/// Version 0.1 wrote all facts into one English sentence.
#[test]
fn journal_entries_of_version_0_1_are_shown_as_written() {
    let now = SystemTime::now();
    let foreign = "rejected 5400 s before its end: another system fetched a token with this AppSecret";
    let refused = "WeChat refused: 40164 invalid ip 203.0.113.7";
    let asked = "asked for it with the AppSecret, from 203.0.113.7";
    let view = view(&[
        entry(now, 40, "renewed", &[("reason", "for 7199 s")]),
        entry(now, 30, "foreign_invalidation", &[("reason", foreign)]),
        entry(now, 20, "renewal_failed", &[("reason", refused)]),
        entry(now, 10, "handed_out", &[("client", "AppSecret"), ("reason", asked)]),
    ]);
    for language in BOTH {
        let page = html(&view, language);
        assert!(page.contains(language.text(text::FOREIGN_TITLE)), "{page}");
        for written in ["for 7199 s", foreign, refused, asked] {
            assert!(
                page.contains(&format!("lang=\"en\">{written}</span>")),
                "{written}: {page}"
            );
        }
    }
}

#[test]
fn untrusted_text_is_escaped() {
    let script = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>";
    let now = SystemTime::now();
    let mut entries = vec![
        entry(now, 9, script, &[("reason", script), ("client", script)]),
        entry(now, 8, "renewal_failed", &[("reason", script), ("errcode", "40164")]),
    ];
    entries[0].app_id = script.to_owned();
    entries[0].noted.kind = script.to_owned();
    entries[0].noted.fingerprint = script.to_owned();
    entries[0].noted.replica = script.to_owned();
    let mut view = view(&entries);
    view.store.error = Some(script.to_owned());
    view.outcomes = vec![(script.to_owned(), 1)];
    let failing = Unavailable {
        reason: script.to_owned(),
        errcode: None,
        retry_after: Duration::from_secs(1),
    };
    view.accounts[0].credentials[0].failing = Some(failing);
    for language in BOTH {
        let page = html(&view, language);
        assert!(page.matches("&lt;script&gt;alert").count() >= 9, "{page}");
        assert_eq!(page.matches("<script").count(), 1, "the page's own alone: {page}");
        assert!(!page.contains("<img src=x"), "{page}");
        assert!(!page.contains("style=") && !page.contains("javascript:"), "{page}");
    }
}

#[test]
fn banner_distinguishes_degraded_from_down() {
    let mut view = view(&[]);
    view.store.error = Some("connection refused".to_owned());
    view.accounts[0].calls_today = 450;
    view.judge(false);
    assert_eq!(view.state, GatewayState::Degraded);
    let nearly = GatewayProblem(text::PROBLEM_CALLS_NEARLY, vec![APP_ID.to_owned()]);
    assert_eq!(view.problems, [GatewayProblem(text::PROBLEM_STORE, Vec::new()), nearly]);
    view.judge(true);
    assert_eq!(view.state, GatewayState::Down);
}

#[test]
fn banner_counts_what_it_does_not_show() {
    let mut view = view(&[]);
    let spent = |number| GatewayProblem(text::PROBLEM_CALLS_SPENT, vec![format!("wx{number:016}")]);
    view.problems = (0..12).map(spent).collect();
    let page = html(&view, Language::English);
    assert!(
        page.contains("wx0000000000000009") && !page.contains("wx0000000000000010"),
        "{page}"
    );
    assert!(page.contains("And 2 more problems."), "{page}");
}
