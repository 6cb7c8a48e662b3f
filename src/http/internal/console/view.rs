//! The data that the page shows. It contains no secret.

use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, timeout, timeout_at};

use super::state::Console;
use super::text;
use super::timeline::{self, TimelineEntry, TimelineRow};
use super::traffic::{self, Counts, Hour, Outcomes, Recent};
use crate::credentials::{Event, Kind, Status};
use crate::directory::Account;
use crate::http::public::health::Readiness;
use crate::replicas::Replica;
use crate::settings::{ImageStoreBackend, TokenApi};
use crate::store::{Health, keys};
use crate::words::Words;

pub(super) struct View {
    pub(super) now: SystemTime,
    pub(super) state: Readiness,
    pub(super) problems: Vec<GatewayProblem>,
    pub(super) accounts: Vec<AccountView>,
    /// `credentials.daily_token_calls`; 0 means no limit.
    pub(super) calls_limit: u64,
    pub(super) store_is_shared: bool,
    pub(super) store: Health,
    pub(super) wechat: Recent,
    pub(super) images: (ImageStoreBackend, Recent),
    pub(super) counts: Counts,
    pub(super) hour: Hour,
    pub(super) outcomes: Outcomes,
    pub(super) foreign: Vec<TimelineEntry>,
    pub(super) timeline: Vec<TimelineRow>,
    /// False if the journal of some account could not be read.
    pub(super) journal_read: bool,
    /// This process.
    pub(super) own: Replica,
    /// All running replicas; `None` if the shared store can't be read.
    pub(super) replicas: Option<Vec<Replica>>,
    /// Whether `internal.operator_key` is set.
    pub(super) actions_open: bool,
}

/// A problem that needs an operator's attention: its text, and the values of its placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GatewayProblem(pub(super) Words, pub(super) Vec<String>);

pub(super) struct AccountView {
    pub(super) app_id: String,
    pub(super) token_api: TokenApi,
    pub(super) credentials: Vec<CredentialView>,
    pub(super) calls_today: u64,
}

pub(super) struct CredentialView {
    pub(super) kind: Kind,
    pub(super) status: Status,
    /// The journal entry of its issue by WeChat, if it still exists.
    pub(super) origin: Option<TimelineEntry>,
}

/// How long the page waits for the shared store.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// How many journal entries are read, divided among the accounts.
const ENTRIES: usize = 20_000;
/// Each account gets at least the first number of them, and at most the second.
const SHARE: (usize, usize) = (50, 400);

/// How many journals are read at once. More would keep Redis from other commands.
const JOURNALS_AT_ONCE: usize = 16;

/// The maximum number of lines in the timeline.
const LINES: usize = 120;

/// How long foreign invalidations are shown in the warning.
const WEEK: Duration = Duration::from_hours(168);

/// How long a foreign invalidation counts as a problem in the banner.
const DAY: Duration = Duration::from_hours(24);

impl View {
    pub(super) async fn gather(console: &Console) -> Self {
        let (now, settings) = (SystemTime::now(), console.public.settings.load_full());
        let until = Instant::now() + STORE_TIMEOUT;
        let share = (ENTRIES / settings.accounts.len().max(1)).clamp(SHARE.0, SHARE.1);
        // Both are in the same order.
        let accounts = console.public.directory.all().zip(&settings.accounts);
        let accounts: Vec<_> = accounts
            .map(|(account, settings)| gather_account(console, account, settings.token_api, share, until))
            .collect();
        let accounts = stream::iter(accounts).buffered(JOURNALS_AT_ONCE);
        let replicas = timeout(STORE_TIMEOUT, console.replicas.running());
        let (gathered, replicas) = tokio::join!(accounts.collect::<Vec<_>>(), replicas);
        let journal_read = gathered.iter().all(|(_, journal)| journal.is_some());
        let (accounts, journals): (Vec<_>, Vec<_>) = gathered.into_iter().unzip();
        let entries: Vec<TimelineEntry> = journals.into_iter().flatten().flatten().collect();
        let foreign = entries.iter().filter(|entry| {
            entry.noted.event() == Some(Event::ForeignInvalidation) && age(entry.noted.time, now) < WEEK
        });
        let families = console.registry.gather();
        let counts = Counts::read(&families);
        let hour = console.traffic.hour(counts);
        let mut view = Self {
            now,
            state: Readiness::Ready,
            problems: Vec::new(),
            accounts,
            calls_limit: settings.credentials.daily_token_calls.into(),
            store_is_shared: console.public.store.is_shared(),
            store: console.public.store.health(),
            wechat: hour.recent(|counts| counts.wechat_answered, |counts| counts.wechat_failed),
            images: (
                settings.image_store.backend,
                hour.recent(|counts| counts.stored, |counts| counts.not_stored),
            ),
            counts,
            hour,
            outcomes: traffic::outcomes(&families),
            foreign: foreign.cloned().collect(),
            timeline: timeline::fold(entries, LINES),
            journal_read,
            own: console.replicas.own.clone(),
            replicas: replicas.ok().and_then(Result::ok),
            actions_open: !settings.internal.operator_key.is_blank(),
        };
        view.judge(console.public.stopping.is_cancelled());
        view
    }

    /// Determines the problems, and from them the overall state.
    fn judge(&mut self, draining: bool) {
        let mut problems = Vec::new();
        let mut add = |exists: bool, text: Words, names: &[&str]| {
            let problem = || GatewayProblem(text, names.iter().copied().map(str::to_owned).collect());
            problems.extend(exists.then(problem));
        };
        // Problems of all accounts come first, since only the first few are shown.
        add(draining, text::PROBLEM_DRAINING, &[]);
        add(self.store.error.is_some(), text::PROBLEM_STORE, &[]);
        add(self.wechat.working == Some(false), text::PROBLEM_WECHAT, &[]);
        add(self.images.1.working == Some(false), text::PROBLEM_IMAGES, &[]);
        for account in &self.accounts {
            let app_id = account.app_id.as_str();
            for credential in &account.credentials {
                let (held, failing) = (&credential.status.credential, &credential.status.failing);
                let names = [app_id, credential.kind.label()];
                add(held.is_none(), text::PROBLEM_NO_CREDENTIAL, &names);
                add(held.is_some() && failing.is_some(), text::PROBLEM_FAILING, &names);
            }
            let is_recent = |entry: &TimelineEntry| entry.app_id == app_id && age(entry.noted.time, self.now) < DAY;
            add(self.foreign.iter().any(is_recent), text::PROBLEM_FOREIGN, &[app_id]);
            let (calls, limit) = (account.calls_today, self.calls_limit);
            let spent = limit > 0 && calls >= limit;
            add(spent, text::PROBLEM_CALLS_SPENT, &[app_id]);
            let nearly = limit > 0 && !spent && calls * 10 >= limit * 8;
            add(nearly, text::PROBLEM_CALLS_NEARLY, &[app_id]);
        }
        // As in `/readyz`: the last credential is the ticket, if the account signs pages.
        let is_held = |credential: &CredentialView| credential.status.credential.is_some();
        let serves = |account: &AccountView| account.credentials.last().is_some_and(is_held);
        self.state = if draining || !self.accounts.iter().any(serves) {
            Readiness::Unready
        } else if problems.is_empty() {
            Readiness::Ready
        } else {
            Readiness::Degraded
        };
        self.problems = problems;
    }
}

pub(super) fn age(since: SystemTime, now: SystemTime) -> Duration {
    // Another replica's clock may be ahead.
    now.duration_since(since).unwrap_or_default()
}

/// An account, and the newest `entries` of its journal if they can be read.
async fn gather_account(
    console: &Console,
    account: &Account,
    token_api: TokenApi,
    entries: usize,
    until: Instant,
) -> (AccountView, Option<Vec<TimelineEntry>>) {
    let app_id = account.app_id().to_string();
    let key = keys::JOURNAL.of_account(account.app_id());
    let journal = console.public.store.newest(&key, entries);
    let asked = async { tokio::join!(journal, account.credentials.token_calls_today()) };
    // A slow store is not asked for what would arrive too late.
    let in_time = Instant::now() < until;
    let answers = if in_time {
        timeout_at(until, asked).await.ok()
    } else {
        None
    };
    let (journal, calls) = answers.unzip();
    let journal = journal.and_then(Result::ok);
    let journal = journal.map(|entries| -> Vec<TimelineEntry> {
        entries
            .iter()
            .filter_map(|fields| TimelineEntry::read(&app_id, fields))
            .collect()
    });
    let known = journal.as_deref().unwrap_or_default();
    let view = AccountView {
        token_api,
        credentials: (account.credentials.kinds().iter())
            .map(|kind| credential(account, *kind, known))
            .collect(),
        calls_today: calls.unwrap_or_default(),
        app_id,
    };
    (view, journal)
}

fn credential(account: &Account, kind: Kind, journal: &[TimelineEntry]) -> CredentialView {
    let status = account.credentials.status(kind);
    let issued = |entry: &&TimelineEntry| {
        let fingerprint = status.credential.as_ref().map(|held| &held.fingerprint);
        entry.is_from_wechat() && entry.noted.kind == kind.label() && Some(&entry.noted.fingerprint) == fingerprint
    };
    let origin = journal.iter().find(issued).cloned();
    CredentialView { kind, status, origin }
}
