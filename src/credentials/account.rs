//! One account's credentials, as the rest of the gateway sees them.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::credential::{Credential, Kind, Policy, TokenCallError, Trigger, Unavailable};
use super::parameters::Parameters;
use super::probe::Probe;
use super::remembered::Promises;
use super::report::Reports;
use super::slot::{ForeignEntry, Slot};
use super::ticket::Ticket;
use super::token::Token;
use crate::account::AppId;
use crate::secret::Secret;
use crate::store::SharedStore;
use crate::wechat::CallError;

/// One account's token and tickets.
pub(crate) struct AccountCredentials {
    pub(super) app_id: AppId,
    pub(super) policy: Policy,
    pub(super) token: Arc<Token>,
    /// Whether the account signs pages and so keeps a jsapi_ticket.
    signs_pages: bool,
    page_ticket: Arc<Ticket>,
    card_ticket: Arc<Ticket>,
    pub(super) probe: Arc<Probe>,
    pub(super) store: Arc<dyn SharedStore>,
    pub(super) reports: Reports,
    pub(super) tasks: TaskTracker,
    pub(super) turns: Arc<Semaphore>,
    pub(super) promises: Promises,
}

/// A credential's state, for the console and the health checks.
#[derive(Debug)]
pub(crate) struct Status {
    /// The credential in use, unless it has expired.
    pub(crate) credential: Option<Arc<Credential>>,
    /// Why no credential can be obtained at present.
    pub(crate) failing: Option<Unavailable>,
    /// Why it is not shared with the other replicas, if another program's value is at its key.
    pub(crate) foreign_entry: Option<Arc<ForeignEntry>>,
}

impl AccountCredentials {
    pub(crate) fn new(parameters: &Parameters) -> Arc<Self> {
        let token = Arc::new(Token::new(parameters));
        let ticket = |kind| Arc::new(Ticket::new(parameters, kind, Arc::clone(&token)));
        Arc::new(Self {
            app_id: parameters.app_id.clone(),
            policy: parameters.policy.clone(),
            signs_pages: parameters.signs_pages,
            page_ticket: ticket(Kind::JsapiTicket),
            card_ticket: ticket(Kind::CardTicket),
            probe: Arc::new(Probe::new(parameters, Arc::clone(&token))),
            store: parameters.store(),
            reports: parameters.reports.clone(),
            tasks: parameters.services.tasks.clone(),
            turns: Arc::clone(&parameters.services.turns),
            promises: Promises::default(),
            token,
        })
    }

    pub(crate) fn app_id(&self) -> &AppId {
        &self.app_id
    }

    /// The kinds that are always kept. The token comes first because tickets are obtained with it.
    pub(crate) fn kinds(&self) -> &'static [Kind] {
        if self.signs_pages {
            &[Kind::AccessToken, Kind::JsapiTicket]
        } else {
            &[Kind::AccessToken]
        }
    }

    /// The ticket for pages; waits for it if there is none. `None` if the account signs no pages.
    pub(crate) async fn ticket(&self) -> Option<Result<Arc<Credential>, Unavailable>> {
        let ticket = self.signs_pages.then_some(&self.page_ticket)?;
        Some(ticket.get().await)
    }

    /// The ticket for cards; waits for it if there is none. It is kept for some hours after each request.
    pub(crate) async fn card_ticket(&self) -> Result<Arc<Credential>, Unavailable> {
        self.card_ticket.get_and_keep().await
    }

    /// The tickets that the refresher keeps.
    pub(super) fn kept_tickets(&self) -> impl Iterator<Item = &Arc<Ticket>> {
        let page_ticket = self.signs_pages.then_some(&self.page_ticket);
        let card_ticket = Some(&self.card_ticket).filter(|ticket| ticket.is_asked_for());
        page_ticket.into_iter().chain(card_ticket)
    }

    /// The token; waits for it if there is none.
    pub(crate) async fn token(&self) -> Result<Arc<Credential>, Unavailable> {
        self.token.get().await
    }

    /// See [`Token::lend`].
    pub(crate) async fn with_token<T, F, Fut>(&self, call: F) -> Result<T, TokenCallError>
    where
        F: Fn(Arc<Credential>) -> Fut + Send,
        Fut: Future<Output = Result<T, CallError>> + Send,
    {
        self.token.lend(call).await
    }

    /// The token, for a client that suspects that the token is dead: probed, unless a probe was made recently, and
    /// replaced if WeChat rejects it (C12).
    pub(crate) async fn verified_token(&self) -> Result<Arc<Credential>, Unavailable> {
        self.probe.verified_token().await
    }

    /// Renews a credential now, whatever the back-off, because an operator asks for it.
    pub(crate) async fn renew_now(&self, kind: Kind) -> Result<Arc<Credential>, Unavailable> {
        match self.ticket_of(kind) {
            None => self.token.renew(Trigger::Operator).await,
            Some(ticket) => ticket.renew(Trigger::Operator).await,
        }
    }

    /// Ends the back-off: what made calls fail may have changed.
    pub(crate) fn retry_now(&self) {
        self.token.renewals.backoff.clear();
        self.page_ticket.renewals.backoff.clear();
        self.card_ticket.renewals.backoff.clear();
        let token = Arc::clone(&self.token);
        self.tasks.spawn(async move { token.end_wait_for_rejections().await });
    }

    pub(crate) fn status(&self, kind: Kind) -> Status {
        let credential = self.slot(kind).usable();
        let (renewals, refusal) = match self.ticket_of(kind) {
            None => (&self.token.renewals, self.token.refusal()),
            // A ticket in use needs no token.
            Some(ticket) if credential.is_some() => (&ticket.renewals, ticket.renewals.backoff.refusal()),
            Some(ticket) => (&ticket.renewals, ticket.refusal()),
        };
        // A credential in use was obtained after that failure, perhaps by another replica.
        let last_failure = || renewals.last_failure().filter(|_| credential.is_none());
        Status {
            failing: refusal.or_else(last_failure),
            credential,
            foreign_entry: self.slot(kind).shared.foreign(),
        }
    }

    /// The values that were in use here earlier.
    pub(crate) fn former(&self, kind: Kind) -> Vec<Secret> {
        let former = self.slot(kind).history.credentials();
        former.iter().map(|former| former.value.clone()).collect()
    }

    /// How many token calls the whole cluster has made today (Beijing time).
    pub(crate) async fn token_calls_today(&self) -> u64 {
        self.token.budget.spent_by_all().await
    }

    fn slot(&self, kind: Kind) -> &Slot {
        self.ticket_of(kind).map_or(&self.token.slot, |ticket| &ticket.slot)
    }

    /// `None` for the token.
    fn ticket_of(&self, kind: Kind) -> Option<&Arc<Ticket>> {
        match kind {
            Kind::AccessToken => None,
            Kind::JsapiTicket => Some(&self.page_ticket),
            Kind::CardTicket => Some(&self.card_ticket),
        }
    }
}
