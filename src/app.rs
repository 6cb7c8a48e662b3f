//! Builds a gateway from settings, runs it and drains it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::allocator;
use crate::credentials::{AccountCredentials, Journal, Parameters, Policy, Services, WeChatIssuer, keep_fresh};
use crate::directory::{Account, Directory};
use crate::http::public::{self, Api, Auth, RateLimit};
use crate::http::serve::{Server, Tls};
use crate::http::{ApiError, HttpMetrics, Listener, Stack, internal};
use crate::image_store;
use crate::metrics::Metrics;
use crate::replicas::Replicas;
use crate::rotation;
use crate::settings::{Backend, CurrentSettings, Settings};
use crate::store::{MemoryStore, RedisStore, SharedStore};
use crate::upload::{MediaRelay, WeChatMedia};
use crate::wechat::WeChatClient;

/// How long what is cut off may take to clean up, and then how long the journal and the traces may take to end.
const LAST_WORK_LIMIT: Duration = Duration::from_secs(2);

/// Why a gateway can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener could not be opened.
    #[error("{key} = \"{address}\": can't listen there: {source}")]
    Listen {
        /// The setting.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// A setting is well-formed but can't be used.
    #[error("{key}: {problem}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A bug.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl StartError {
    fn setting(key: &'static str, problem: impl std::fmt::Display) -> Self {
        Self::Setting {
            key,
            problem: problem.to_string(),
        }
    }
}

/// What a gateway is made from.
pub struct AppParts {
    /// What the operator chose.
    pub settings: Settings,
    /// This process's name, in the journal and on the console.
    pub replica: String,
    /// Routes that only some gateways have: the sandbox's page.
    pub sandbox: Router,
}

/// A gateway whose listeners are open, and which serves once it is run.
pub struct App {
    public: TcpListener,
    internal: Option<TcpListener>,
    internal_tls: Option<Tls>,
    public_routes: Router,
    internal_routes: Router,
    api: Arc<Api>,
    settings: Arc<Settings>,
    lifecycle: Lifecycle,
    server: Server,
}

/// What ends when, and what is waited for.
#[derive(Clone, Default)]
struct Lifecycle {
    /// Cancelled to begin the drain.
    stop: CancellationToken,
    /// Cancelled to cut off the renewals and uploads that outlive the drain.
    cut_off: CancellationToken,
    /// Cancelled once all renewals and uploads have ended, so that the journal hears of them.
    tasks_done: CancellationToken,
    /// Renewals and uploads.
    tasks: TaskTracker,
    /// Refreshing, the journal's writer, sweeps.
    background: TaskTracker,
}

impl App {
    /// Builds the gateway that `parts` describe, and opens its listeners.
    pub async fn build(parts: AppParts) -> Result<Self, StartError> {
        let AppParts {
            settings,
            replica,
            sandbox,
        } = parts;
        let current = Arc::new(ArcSwap::from_pointee(settings));
        let settings = current.load_full();
        let lifecycle = Lifecycle::default();
        let metrics = Metrics::new(settings.credentials.backend == Backend::Redis)?;
        let images = image_store::open(&settings.resolved.image_store, &settings.http_client, &lifecycle.tasks)
            .await
            .map_err(|error| StartError::setting(error.key, error.problem))?;
        let wechat = WeChatClient::new(&settings.wechat, &settings.http_client, metrics.wechat.clone())
            .map_err(|error| StartError::setting(error.key(), error))?;
        let builder = Builder {
            settings: &settings,
            current,
            replica,
            wechat: Arc::new(wechat),
            metrics,
            lifecycle: &lifecycle,
        };
        let api = Arc::new(builder.api(images)?);
        let stack = builder.stack()?;
        let public_routes = public::Routes {
            api: Arc::clone(&api),
            docs: settings.server.docs,
            base_path: settings.server.base_path.clone(),
            sandbox,
            request_timeout: settings.server.request_timeout,
        };
        Ok(Self {
            public: listen("server.listen", settings.server.listen).await?,
            internal: match settings.internal.listen {
                Some(address) => Some(listen("internal.listen", address).await?),
                None => None,
            },
            internal_tls: internal_tls(&settings)?,
            public_routes: public_routes.around(&stack),
            internal_routes: builder.internal_routes(&api).around(&stack)?,
            api,
            settings,
            lifecycle,
            server: Server {
                malformed: Some(stack.metrics.malformed()),
                ..Server::default()
            },
        })
    }

    /// The public listener's address.
    pub fn public_address(&self) -> io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// What the public listener serves, for callers without a socket.
    pub fn service(&self) -> Router {
        self.public_routes.clone()
    }

    /// The internal listener's address, if there is one.
    #[must_use]
    pub fn internal_address(&self) -> Option<SocketAddr> {
        self.internal.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Does `work` at the end of the drain, when all renewals and uploads have ended. It has two seconds.
    pub fn at_end(&self, work: impl Future<Output = ()> + Send + 'static) {
        let tasks_done = self.lifecycle.tasks_done.clone();
        self.lifecycle.background.spawn(async move {
            tasks_done.cancelled().await;
            work.await;
        });
    }

    /// Serves until `stop` is cancelled and `server.shutdown_delay` has passed, then drains: no new connections,
    /// requests, renewals and uploads under way end within `server.shutdown_grace`, held locks are released.
    pub async fn run(self, stop: CancellationToken) {
        self.start_background();
        let (lifecycle, grace) = (&self.lifecycle, self.settings.server.shutdown_grace);
        // One budget of connections for both listeners.
        let server = self.server;
        let public = server.clone();
        let tls = self.internal_tls;
        let server = Server { tls, ..server };
        let public = public.serve(self.public, self.public_routes, lifecycle.stop.clone(), grace);
        let internal = async {
            if let Some(listener) = self.internal {
                let stop = lifecycle.stop.clone();
                server.serve(listener, self.internal_routes, stop, grace).await;
            }
        };
        let drain = async {
            stop.cancelled().await;
            self.api.stopping.cancel();
            let delay = self.settings.server.shutdown_delay;
            if !delay.is_zero() {
                tracing::info!(?delay, "told to stop; still serving for server.shutdown_delay");
                sleep(delay).await;
            }
            tracing::info!("draining");
            lifecycle.stop.cancel();
            Instant::now() + grace
        };
        let ((), (), end_of_grace) = tokio::join!(public, internal, drain);
        lifecycle.drain_tasks(end_of_grace).await;
        tracing::info!("drained");
    }

    fn start_background(&self) {
        let Lifecycle { stop, background, .. } = &self.lifecycle;
        for account in self.api.directory.all() {
            background.spawn(keep_fresh(Arc::clone(&account.credentials), stop.clone()));
        }
        if let Some(keys) = self.api.auth.load().key_set() {
            background.spawn(Arc::clone(keys).keep_fresh(stop.clone()));
        }
        if let Some(local) = &self.api.local {
            background.spawn(Arc::clone(local).watch(stop.clone()));
        }
        background.spawn(repeat(allocator::TRIM_INTERVAL, stop.clone(), allocator::trim));
        let take_over_secrets = rotation::take_over_secrets(Arc::clone(&self.api));
        background.spawn(stop.clone().run_until_cancelled_owned(take_over_secrets));
        if let (Some(files), Some(tls)) = (self.settings.resolved.internal_tls.clone(), self.internal_tls.clone()) {
            background.spawn(
                stop.clone()
                    .run_until_cancelled_owned(rotation::take_over_certificate(files, tls)),
            );
        }
        let api = Arc::clone(&self.api);
        background.spawn(repeat(RateLimit::SWEEP_INTERVAL, stop.clone(), move || {
            api.jssdk_limit.sweep();
            api.upload_limit.sweep();
        }));
    }
}

impl Lifecycle {
    /// Waits for the renewals and uploads until `end_of_grace`, then for the rest of the background tasks.
    async fn drain_tasks(&self, end_of_grace: Instant) {
        self.tasks.close();
        self.background.close();
        if timeout_at(end_of_grace, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                left = self.tasks.len(),
                "renewals or uploads were still under way when server.shutdown_grace ended"
            );
            self.cut_off.cancel();
            // What they began is removed, and their locks are released.
            let _ = timeout(LAST_WORK_LIMIT, self.tasks.wait()).await;
        }
        self.tasks_done.cancel();
        let _ = timeout(LAST_WORK_LIMIT, self.background.wait()).await;
    }
}

/// Calls `work` every `interval` until `stop` is cancelled.
async fn repeat(interval: Duration, stop: CancellationToken, work: impl Fn()) {
    let mut ticks = tokio::time::interval(interval);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        work();
    }
}

/// Builds the parts of a gateway that need the same things.
struct Builder<'a> {
    settings: &'a Settings,
    /// The same, for what uses secrets that may change.
    current: CurrentSettings,
    replica: String,
    wechat: Arc<WeChatClient>,
    metrics: Metrics,
    lifecycle: &'a Lifecycle,
}

impl<'a> Builder<'a> {
    fn api(&self, images: image_store::OpenStore) -> Result<Api, StartError> {
        let Lifecycle { tasks, cut_off, .. } = self.lifecycle;
        let settings = self.settings;
        let store = self.shared_store()?;
        Ok(Api {
            directory: Arc::new(self.directory(&store)?),
            relay: MediaRelay::new(
                &settings.media,
                settings.wechat.media_timeout,
                images.store,
                Arc::clone(&store),
                self.metrics.uploads.clone(),
                tasks.clone(),
                cut_off.clone(),
            ),
            store,
            local: images.local,
            settings: Arc::clone(&self.current),
            auth: ArcSwap::from_pointee(Auth::new(settings).map_err(|error| StartError::setting(error.key(), error))?),
            jssdk_limit: RateLimit::new(settings.rate_limit.jssdk()),
            upload_limit: RateLimit::new(settings.rate_limit.upload()),
            stopping: CancellationToken::new(),
        })
    }

    fn shared_store(&self) -> Result<Arc<dyn SharedStore>, StartError> {
        Ok(match self.settings.credentials.backend {
            Backend::Memory => Arc::new(MemoryStore::default()),
            Backend::Redis => {
                let store = RedisStore::new(&self.settings.resolved.redis, &self.settings.http_client.ca_file)
                    .map_err(|error| StartError::setting("redis", error))?;
                let (store, interval) = (Arc::new(store), self.settings.credentials.adopt_interval);
                let Lifecycle { background, stop, .. } = self.lifecycle;
                background.spawn(Arc::clone(&store).watch(interval, stop.clone()));
                store
            }
        })
    }

    fn directory(&self, store: &Arc<dyn SharedStore>) -> Result<Directory, StartError> {
        let Lifecycle {
            cut_off,
            tasks_done,
            tasks,
            background,
            ..
        } = self.lifecycle;
        let services = Services {
            store: Arc::clone(store),
            journal: Journal::start(Arc::clone(store), &self.replica, background, tasks_done.clone()),
            metrics: self.metrics.credentials.clone(),
            tasks: tasks.clone(),
            cut_off: cut_off.clone(),
        };
        let policy = Policy::new(&self.settings.credentials, &self.settings.wechat);
        let accounts = self.settings.accounts.iter().map(|account| {
            let credentials = AccountCredentials::new(&Parameters {
                app_id: account.app_id.clone(),
                issuer: Arc::new(WeChatIssuer::new(
                    Arc::clone(&self.wechat),
                    account,
                    Arc::clone(&self.current),
                )),
                settings: &self.settings.credentials,
                signs_pages: account.jsapi,
                policy: policy.clone(),
                services: services.clone(),
            });
            Account {
                media: Arc::new(WeChatMedia::new(Arc::clone(&self.wechat), Arc::clone(&credentials))),
                credentials,
                js_domains: account.js_domains.clone(),
            }
        });
        Directory::new(accounts.collect()).ok_or_else(|| StartError::setting("accounts", "there is none"))
    }

    fn stack(&self) -> Result<Stack, StartError> {
        Ok(Stack {
            listener: Listener::Public,
            failure: ApiError::envelope,
            headers: public::add_security_headers,
            cors: public::cors(&self.settings.server),
            trusted_proxies: self.settings.server.trusted_proxies.clone().into(),
            metrics: HttpMetrics::register(self.metrics.registry())?,
        })
    }

    fn internal_routes(self, api: &Arc<Api>) -> internal::Routes<'a> {
        let Lifecycle { stop, background, .. } = self.lifecycle;
        let replicas = Arc::new(Replicas::new(Arc::clone(&api.store), &self.replica));
        background.spawn(Arc::clone(&replicas).keep_marked(self.lifecycle.tasks_done.clone()));
        let console = internal::Console::start(
            self.settings,
            Arc::clone(api),
            self.metrics.clone(),
            replicas,
            background,
            stop.clone(),
        );
        internal::Routes {
            settings: self.settings,
            api: Arc::clone(api),
            metrics: self.metrics,
            wechat: self.wechat,
            console,
        }
    }
}

fn internal_tls(settings: &Settings) -> Result<Option<Tls>, StartError> {
    let Some(files) = &settings.resolved.internal_tls else {
        return Ok(None);
    };
    let certificate = files.certified_key(&files.read());
    let certificate = certificate.map_err(|(key, problem)| StartError::setting(key, problem))?;
    let tls = Tls::new(certificate).map_err(|error| StartError::setting("internal.tls_certificate_file", error))?;
    Ok(Some(tls))
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { key, address, source })
}

/// A name for this process, in the journal and in traces: the host's, and a random part, since a host may run several.
#[must_use]
pub fn replica_name() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "wxgate".to_owned());
    format!("{host}-{:04x}", rand::random::<u16>())
}
