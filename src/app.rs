//! From settings to a running gateway, and from there to a drained one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Layer;
use tower::util::option_layer;

use crate::allocator;
use crate::credentials::{AccountCredentials, Journal, Parameters, Policy, Services, WeChatIssuer, keep_fresh};
use crate::directory::{Account, Directory};
use crate::http::middleware::{Listener, Stack};
use crate::http::public::{self, Api, Auth, RateLimit};
use crate::http::serve::Server;
use crate::http::{ApiError, HttpMetrics, internal};
use crate::image_store;
use crate::metrics::Metrics;
use crate::settings::{Backend, Settings};
use crate::store::{MemoryStore, RedisStore, SharedStore};
use crate::upload::{MediaRelay, WeChatMedia};
use crate::wechat::WeChatClient;

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
        /// What the system said.
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

/// A gateway whose listeners are open, and which serves once it is run.
pub struct App {
    public: TcpListener,
    internal: Option<TcpListener>,
    public_routes: Router,
    internal_routes: Router,
    api: Arc<Api>,
    settings: Settings,
    /// Cancelled to begin the drain.
    stop: CancellationToken,
    /// Cancelled to cut off the renewals and uploads that outlive the drain.
    cut_off: CancellationToken,
    /// Cancelled once all renewals and uploads have ended, so that the journal hears of them.
    tasks_done: CancellationToken,
    /// Renewals and uploads.
    tasks: TaskTracker,
    /// Refreshers, the journal's writer, sweeps.
    background: TaskTracker,
}

impl App {
    /// Builds the gateway that `settings` describe, and opens its listeners. `sandbox` are routes that
    /// only some gateways have: the sandbox's page.
    pub async fn build(settings: Settings, sandbox: Router) -> Result<Self, StartError> {
        let metrics = Metrics::new(settings.credentials.backend == Backend::Redis)?;
        let (stop, tasks_done) = (CancellationToken::new(), CancellationToken::new());
        let cut_off = CancellationToken::new();
        let (tasks, background) = (TaskTracker::new(), TaskTracker::new());
        let store = shared_store(&settings)?;
        let client = Arc::new(
            WeChatClient::new(&settings.wechat, &settings.http_client, metrics.wechat.clone())
                .map_err(|error| StartError::setting(error.key(), error))?,
        );
        let replica = replica_name();
        let journal = Journal::start(Arc::clone(&store), &replica, &background, tasks_done.clone());
        let services = Services {
            store: Arc::clone(&store),
            journal,
            metrics: metrics.credentials.clone(),
            tasks: tasks.clone(),
            cut_off: cut_off.clone(),
        };
        let images = image_store::open(&settings.resolved.image_store, &settings.http_client, &tasks)
            .map_err(|error| StartError::setting(error.key, error.problem))?;
        let api = Arc::new(Api {
            directory: Arc::new(directory(&settings, &client, &services)?),
            relay: MediaRelay::new(
                &settings.media,
                settings.wechat.media_timeout,
                images.store,
                Arc::clone(&store),
                metrics.uploads.clone(),
                tasks.clone(),
                cut_off.clone(),
            ),
            store,
            auth: Auth::new(&settings.resolved.auth),
            jssdk_limit: RateLimit::new(settings.rate_limit.jssdk()),
            upload_limit: RateLimit::new(settings.rate_limit.upload()),
            stopping: CancellationToken::new(),
        });
        let console = internal::ConsoleParts {
            settings: &settings,
            api: Arc::clone(&api),
            metrics: metrics.clone(),
            replica,
        };
        let console = internal::Console::start(console, &background, stop.clone());
        let server = &settings.server;
        let stack = Stack {
            listener: Listener::Public,
            failure: ApiError::envelope,
            headers: public::add_security_headers,
            trusted_proxies: server.trusted_proxies.clone().into(),
            metrics: HttpMetrics::register(metrics.registry())?,
        };
        let public_routes = public::Routes {
            api: Arc::clone(&api),
            local: images.local,
            docs: server.docs,
            sandbox,
            request_timeout: server.request_timeout,
        };
        let internal_routes = internal::Routes {
            settings: &settings,
            api: Arc::clone(&api),
            metrics,
            wechat: client,
            console,
        };
        Ok(Self {
            public: listen("server.listen", server.listen).await?,
            internal: match settings.internal.listen {
                Some(address) => Some(listen("internal.listen", address).await?),
                None => None,
            },
            public_routes: public_routes.around(&stack),
            internal_routes: internal_routes.around(&stack)?,
            api,
            settings,
            stop,
            cut_off,
            tasks_done,
            tasks,
            background,
        })
    }

    /// The public listener's address.
    pub fn public_address(&self) -> io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// What the public listener serves, for whoever asks it without a socket.
    pub fn service(&self) -> Router {
        self.public_routes.clone()
    }

    /// The internal listener's address, where there is one.
    #[must_use]
    pub fn internal_address(&self) -> Option<SocketAddr> {
        self.internal.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Does `work` at the end of the drain, when all renewals and uploads have ended. It has two seconds.
    pub fn at_end(&self, work: impl Future<Output = ()> + Send + 'static) {
        let tasks_done = self.tasks_done.clone();
        self.background.spawn(async move {
            tasks_done.cancelled().await;
            work.await;
        });
    }

    /// Serves until `stop` is cancelled and `server.shutdown_delay` has passed, then drains: no new connections,
    /// requests, renewals and uploads under way end within `server.shutdown_grace`, held locks are released.
    pub async fn run(self, stop: CancellationToken) {
        self.start_background();
        let grace = self.settings.server.shutdown_grace;
        // One budget of connections for both listeners.
        let server = Server::default();
        let cors = option_layer(public::cors(&self.settings.server.cors_allowed_origins));
        let public = cors.layer(self.public_routes);
        let public = server.clone().serve(self.public, public, self.stop.clone(), grace);
        let internal = async {
            if let Some(listener) = self.internal {
                server
                    .serve(listener, self.internal_routes, self.stop.clone(), grace)
                    .await;
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
            self.stop.cancel();
            Instant::now() + grace
        };
        let ((), (), end_of_grace) = tokio::join!(public, internal, drain);
        self.tasks.close();
        self.background.close();
        if timeout_at(end_of_grace, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                left = self.tasks.len(),
                "renewals or uploads were still under way when server.shutdown_grace ended"
            );
            self.cut_off.cancel();
            // What they began is removed, and their locks are released.
            let _ = timeout(Duration::from_secs(2), self.tasks.wait()).await;
        }
        self.tasks_done.cancel();
        let _ = timeout(Duration::from_secs(2), self.background.wait()).await;
        tracing::info!("drained");
    }

    fn start_background(&self) {
        for account in self.api.directory.all() {
            let refresher = keep_fresh(Arc::clone(&account.credentials), self.stop.clone());
            self.background.spawn(refresher);
        }
        let stop = self.stop.clone();
        self.background.spawn(async move {
            let mut ticks = tokio::time::interval(allocator::TRIM_INTERVAL);
            while stop.run_until_cancelled(ticks.tick()).await.is_some() {
                allocator::trim();
            }
        });
        let (api, stop) = (self.api.clone(), self.stop.clone());
        self.background.spawn(async move {
            let mut ticks = tokio::time::interval(RateLimit::SWEEP_INTERVAL);
            while stop.run_until_cancelled(ticks.tick()).await.is_some() {
                api.jssdk_limit.sweep();
                api.upload_limit.sweep();
            }
        });
    }
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { key, address, source })
}

fn shared_store(settings: &Settings) -> Result<Arc<dyn SharedStore>, StartError> {
    Ok(match settings.credentials.backend {
        Backend::Memory => Arc::new(MemoryStore::default()),
        Backend::Redis => Arc::new(
            RedisStore::new(&settings.resolved.redis, &settings.http_client.ca_file)
                .map_err(|error| StartError::setting("redis", error))?,
        ),
    })
}

fn directory(settings: &Settings, client: &Arc<WeChatClient>, services: &Services) -> Result<Directory, StartError> {
    let policy = Policy::new(&settings.credentials, &settings.wechat);
    let accounts = settings.accounts.iter().map(|account| {
        let credentials = AccountCredentials::new(&Parameters {
            app_id: account.app_id.clone(),
            issuer: Arc::new(WeChatIssuer::new(Arc::clone(client), account)),
            settings: &settings.credentials,
            policy: policy.clone(),
            services: services.clone(),
        });
        Account {
            media: Arc::new(WeChatMedia::new(Arc::clone(client), Arc::clone(&credentials))),
            credentials,
            js_domains: account.js_domains.clone(),
        }
    });
    Directory::new(accounts.collect()).ok_or_else(|| StartError::setting("accounts", "there is none"))
}

/// A name for this process, in the journal and in traces: the host's, and something that tells its processes apart.
#[must_use]
pub fn replica_name() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "wxgate".to_owned());
    format!("{host}-{:04x}", rand::random::<u16>())
}
