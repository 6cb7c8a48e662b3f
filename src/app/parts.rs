//! The gateway's parts, each built from the settings and from what the others share.

use std::sync::Arc;

use axum::Router;
use tokio_util::sync::CancellationToken;

use super::lifecycle::{Lifecycle, repeat};
use crate::credentials::{AccountCredentials, Journal, Parameters, Policy, Reports, Services, WeChatIssuer, turns};
use crate::directory::{Account, Directory};
use crate::http::internal::{self, Console};
use crate::http::public::{self, Auth, PublicState, RateLimit};
use crate::http::serve::Tls;
use crate::http::{ApiError, HttpMetrics, Listener, Stack};
use crate::image_store;
use crate::metrics::Metrics;
use crate::replicas::Replicas;
use crate::settings::{Backend, CurrentSettings, Settings, UnusableSetting};
use crate::store::{MemoryStore, RedisStore, SharedStore};
use crate::upload::{MediaRelay, RelayParts, WeChatMedia};
use crate::wechat::WeChatClient;

pub(super) struct Builder<'a> {
    pub(super) settings: &'a Settings,
    /// The same settings, for parts that use secrets, which may change.
    pub(super) current: CurrentSettings,
    pub(super) replica: String,
    pub(super) wechat: Arc<WeChatClient>,
    pub(super) metrics: Metrics,
    pub(super) lifecycle: &'a Lifecycle,
}

impl Builder<'_> {
    pub(super) fn public_state(&self, images: image_store::OpenStore) -> Result<PublicState, UnusableSetting> {
        let Lifecycle { tasks, cut_off, .. } = self.lifecycle;
        let settings = self.settings;
        let store = self.shared_store()?;
        Ok(PublicState {
            directory: self.directory(&store),
            relay: MediaRelay::new(RelayParts {
                media: settings.media.clone(),
                media_timeout: settings.wechat.media_timeout,
                images: images.store,
                shared: Arc::clone(&store),
                metrics: self.metrics.uploads.clone(),
                tasks: tasks.clone(),
                stop: cut_off.clone(),
            }),
            store,
            local: images.local,
            settings: Arc::clone(&self.current),
            auth: Auth::new(&self.current)?,
            jssdk_limit: RateLimit::new(settings.rate_limit.jssdk()),
            upload_limit: RateLimit::new(settings.rate_limit.upload()),
            stopping: CancellationToken::new(),
        })
    }

    fn shared_store(&self) -> Result<Arc<dyn SharedStore>, UnusableSetting> {
        Ok(match self.settings.credentials.backend {
            Backend::Memory => Arc::new(MemoryStore::default()),
            Backend::Redis => {
                let store = RedisStore::new(&self.settings.redis, &self.settings.http_client.ca_file)
                    .map_err(|error| UnusableSetting::new("redis", error))?;
                let (store, interval) = (Arc::new(store), self.settings.credentials.adopt_interval);
                let Lifecycle { background, stop, .. } = self.lifecycle;
                background.spawn(Arc::clone(&store).watch(interval, stop.clone()));
                store
            }
        })
    }

    fn directory(&self, store: &Arc<dyn SharedStore>) -> Directory {
        let lifecycle = self.lifecycle;
        let (background, tasks_done) = (&lifecycle.background, lifecycle.tasks_done.clone());
        let journal = Journal::start(Arc::clone(store), &self.replica, background, tasks_done);
        let services = Services {
            store: Arc::clone(store),
            tasks: lifecycle.tasks.clone(),
            cut_off: lifecycle.cut_off.clone(),
            turns: turns(),
        };
        let policy = Policy::new(&self.settings.credentials, &self.settings.wechat);
        let accounts = self.settings.accounts.iter().map(|account| {
            let (app_id, metrics) = (&account.app_id, self.metrics.credentials.clone());
            let credentials = AccountCredentials::new(&Parameters {
                app_id: app_id.clone(),
                issuer: Arc::new(WeChatIssuer {
                    client: Arc::clone(&self.wechat),
                    app_id: app_id.clone(),
                    settings: Arc::clone(&self.current),
                    token_api: account.token_api,
                }),
                signs_pages: account.jsapi,
                policy: policy.clone(),
                reports: Reports::new(app_id.clone(), journal.clone(), metrics),
                services: services.clone(),
            });
            Account {
                media: Arc::new(WeChatMedia::new(Arc::clone(&self.wechat), Arc::clone(&credentials))),
                credentials,
                js_domains: account.js_domains.clone(),
            }
        });
        Directory(accounts.collect())
    }

    pub(super) fn stack(&self) -> prometheus::Result<Stack> {
        Ok(Stack {
            listener: Listener::Public,
            failure: ApiError::envelope,
            headers: public::add_security_headers,
            cors: public::cors(&self.settings.server),
            trusted_proxies: self.settings.server.trusted_proxies.clone().into(),
            metrics: HttpMetrics::register(&self.metrics.registry)?,
        })
    }

    pub(super) fn internal_routes(self, state: &Arc<PublicState>, stack: &Stack) -> prometheus::Result<Router> {
        let Lifecycle { stop, background, .. } = self.lifecycle;
        let replicas = Arc::new(Replicas::new(Arc::clone(&state.store), &self.replica));
        let holders = Arc::clone(state);
        let mark_tokens_again = async move || {
            for account in holders.directory.all() {
                account.credentials.mark_again().await?;
            }
            Ok(())
        };
        let end = self.lifecycle.tasks_done.clone();
        background.spawn(Arc::clone(&replicas).keep_marked(end, mark_tokens_again));
        let console = Arc::new(Console::new(Arc::clone(state), self.metrics.registry.clone(), replicas));
        let sampled = Arc::clone(&console);
        background.spawn(repeat(Console::SAMPLE_INTERVAL, stop.clone(), move || sampled.sample()));
        internal::routes(Arc::clone(state), self.metrics, self.wechat, console, stack)
    }
}

pub(super) fn internal_tls(settings: &Settings) -> Result<Option<Tls>, UnusableSetting> {
    let Some(files) = &settings.resolved.internal_tls else {
        return Ok(None);
    };
    let tls = Tls::new(files.certified_key(&files.read())?)
        .map_err(|error| UnusableSetting::new("internal.tls_certificate_file", error))?;
    Ok(Some(tls))
}
