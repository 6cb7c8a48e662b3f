//! Pages that are signed, and photos that are posted until they are stored.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use wxgate::sandbox::Upload;

use crate::model::{Excuse, Model};
use crate::pictures;
use crate::sdk::{Kind, Sdk};
use crate::support::{Answer, encode_uri_component};
use crate::world::{CLASSIC, GATEWAYS, STABLE, World};

const PAGES: u64 = 3;
const PHOTOGRAPHERS: u64 = 4;

/// One photo in so many is larger than one part of an upload to S3.
const LARGE: f64 = 1.0 / 60.0;

/// How long before its end a credential is renewed: a quarter of its life.
const MARGIN: Duration = Duration::from_secs(15);
/// How long a page waits for one post of a photo: longer than `server.request_timeout`.
const POST_LIMIT: Duration = Duration::from_secs(35);
/// How long a page goes on posting a photo.
const PATIENCE: Duration = Duration::from_secs(75);

pub struct Load {
    stop: CancellationToken,
    callers: Vec<JoinHandle<()>>,
}

/// What one caller works with.
pub struct Client {
    pub world: Arc<World>,
    pub model: Arc<Model>,
    pub http: reqwest::Client,
    pub rng: StdRng,
    /// Which of the accounts it is for.
    pub account: usize,
    next: usize,
}

impl Load {
    pub fn start(world: &Arc<World>, model: &Arc<Model>, seed: u64) -> Self {
        let stop = CancellationToken::new();
        let mut callers = Vec::new();
        for number in 0..PAGES + PHOTOGRAPHERS {
            let last = number == PAGES - 1 || number == PAGES + PHOTOGRAPHERS - 1;
            let account = if last { CLASSIC } else { STABLE };
            let mut client = Client::new(world, model, seed ^ (number << 32), account);
            let stop = stop.clone();
            callers.push(tokio::spawn(async move {
                while !stop.is_cancelled() {
                    if number < PAGES {
                        client.signs_a_page().await;
                        sleep(Duration::from_millis(30)).await;
                    } else {
                        client.takes_a_photo().await;
                        sleep(Duration::from_millis(300)).await;
                    }
                }
            }));
        }
        let sdks = [
            (Kind::Repeating, STABLE),
            (Kind::Repeating, CLASSIC),
            (Kind::Once, STABLE),
            (Kind::Once, STABLE),
            (Kind::Uploader, STABLE),
        ];
        for (number, (kind, account)) in (PAGES + PHOTOGRAPHERS..).zip(sdks) {
            let client = Client::new(world, model, seed ^ (number << 32), account);
            let (mut sdk, stop) = (Sdk::new(client, kind), stop.clone());
            callers.push(tokio::spawn(async move {
                while !stop.is_cancelled() {
                    sdk.calls_wechat().await;
                    sleep(Duration::from_millis(200)).await;
                }
            }));
        }
        Self { stop, callers }
    }

    /// Fails if one of the callers has failed.
    pub fn assert_running(&self) {
        let failed = self.callers.iter().position(JoinHandle::is_finished);
        assert!(failed.is_none(), "caller {failed:?} has failed");
    }

    /// Waits until every photo that was begun is stored.
    pub async fn end(self) {
        self.stop.cancel();
        for caller in self.callers {
            caller.await.unwrap();
        }
    }
}

impl Client {
    fn new(world: &Arc<World>, model: &Arc<Model>, seed: u64, account: usize) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(12));
        Self {
            world: Arc::clone(world),
            model: Arc::clone(model),
            http: http.build().unwrap(),
            rng: StdRng::seed_from_u64(seed),
            account,
            next: usize::try_from(seed % GATEWAYS as u64).unwrap(),
        }
    }

    /// Sends what `request` makes for the gateways in turn, until one of them answers, as a load balancer would.
    pub async fn send_to_any(
        &mut self,
        what: &str,
        request: impl Fn(&World, usize) -> reqwest::RequestBuilder,
    ) -> Option<Answer> {
        let begun = Instant::now();
        for _ in 0..GATEWAYS {
            self.next = (self.next + 1) % GATEWAYS;
            if let Ok(answer) = self.send_to(what, self.next, request(&self.world, self.next)).await {
                return Some(answer);
            }
        }
        let took = begun.elapsed().as_secs_f64();
        self.model.failed(
            self.model.excuses(Excuse::MachineStalls, begun),
            &format!("{what}: no gateway answered in {took:.1} s"),
        );
        None
    }

    /// The answer of gateway number `index`. A 500 is a violation, and so is a missing answer that no fault excuses.
    async fn send_to(&self, what: &str, index: usize, request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
        let sent = Instant::now();
        let answered = async { Answer::of(request.send().await?).await }.await;
        match &answered {
            Ok(answer) if answer.status == 500 => self.model.violation(&format!("{what}: {answer:?}")),
            Ok(_) => {}
            Err(error) => {
                let now = |excuse| self.model.excuses(excuse, sent);
                // A gateway without credentials in memory waits for Redis and WeChat.
                let waits = [Excuse::RedisFails, Excuse::WeChatFails, Excuse::WeChatSlow].map(now);
                let late = error.is_timeout() && now(Excuse::Fresh(index)) && waits.contains(&true);
                let excused = now(Excuse::GatewayGone(index)) || late;
                self.model
                    .failed(excused, &format!("{what} at gateway {index}: {error:?}"));
            }
        }
        answered.map_err(reqwest::Error::without_url)
    }

    async fn signs_a_page(&mut self) {
        let page = format!("https://h5.example.com/p?from=singlemessage&n={}", self.rng.next_u32());
        let app_id = self.world.account(self.account).app_id;
        let query = format!("/wechat/jsSDK?appId={app_id}&url={}", encode_uri_component(&page));
        let (begun, http) = (Instant::now(), self.http.clone());
        let sent = self.send_to_any("a page", |world, index| {
            http.get(world.gateways[index].caller.url(&query))
                .timeout(Duration::from_secs(3))
        });
        let Some(answer) = sent.await else { return };
        let Some(config) = answer.body["data"].as_object().filter(|_| answer.status == 200) else {
            self.model.counts.unsigned_pages.fetch_add(1, Ordering::Relaxed);
            // Tickets can't be renewed while WeChat fails, classic tokens not while Redis fails either. After that,
            // renewals may still be backed off.
            let before = begun.checked_sub(MARGIN).unwrap_or(begun);
            let hindered = self.model.excuses(Excuse::WeChatFails, before)
                || (self.account == CLASSIC && self.model.excuses(Excuse::RedisFails, before));
            let excused = answer.status == 503 && hindered;
            return self.model.failed(excused, &format!("a page: {answer:?}"));
        };
        if config["appId"] != app_id.as_str() {
            self.model
                .violation(&format!("a page of {app_id} is signed for another account"));
        }
        let mut config = config.clone();
        config.insert("url".to_owned(), page.into());
        let checked = self.world.wechat.sandbox.verify(&config);
        if !checked.is_ok() {
            self.model.violation(&format!("a signature: {}", checked.err_msg));
        }
        self.model.counts.signatures.fetch_add(1, Ordering::Relaxed);
    }

    async fn takes_a_photo(&mut self) {
        let bytes = self.photo();
        let sum = pictures::sum(&bytes);
        self.model.sent(sum);
        let (app_id, sandbox) = (self.world.account(self.account).app_id, &self.world.wechat.sandbox);
        let media_id = sandbox.upload_media(&app_id, Upload::new(bytes)).unwrap();
        let begun = Instant::now();
        // Sometimes the page posts it twice at once, or again, as impatient users do.
        let (posts, again) = (
            1 + usize::from(self.rng.random_bool(0.2)),
            usize::from(self.rng.random_bool(0.2)),
        );
        let first = self.rng.random_range(0..GATEWAYS);
        let posted = (first..first + posts).map(|gateway| self.post_until_stored(&media_id, gateway, begun));
        let posted = futures_util::future::join_all(posted).await;
        let mut urls: Vec<String> = posted.into_iter().flatten().collect();
        for _ in 0..again {
            urls.extend(self.post_until_stored(&media_id, first + 1, Instant::now()).await);
        }
        urls.dedup();
        if urls.len() > 1 {
            let excused = self.model.excuses(Excuse::StoredTwice, begun);
            self.model.failed(excused, &format!("one photo got {urls:?}"));
        }
        for url in urls {
            self.model.stored(sum, &url, begun);
        }
    }

    fn photo(&mut self) -> Vec<u8> {
        let large = self.rng.random_bool(LARGE);
        let lengths = if large { 5_500_000..8_000_000 } else { 5_000..60_000 };
        let length = self.rng.random_range(lengths);
        // A repeated pattern, for speed; its period shows any part that is in the wrong place.
        let mut bytes = vec![0; 4093];
        self.rng.fill_bytes(&mut bytes);
        while bytes.len() < length {
            bytes.extend_from_within(..bytes.len().min(length - bytes.len()));
        }
        bytes[..4].copy_from_slice(b"\xFF\xD8\xFF\xE0");
        bytes
    }

    /// Posts a photo to one gateway after the other until it is stored; its URL.
    async fn post_until_stored(&self, media_id: &str, first: usize, begun: Instant) -> Option<String> {
        let app_id = self.world.account(self.account).app_id;
        let mut index = first % GATEWAYS;
        let mut last = String::new();
        while begun.elapsed() < PATIENCE {
            let url = self.world.gateways[index].caller.url("/p/active/weChatOa/upload");
            let request = self
                .http
                .post(url)
                .timeout(POST_LIMIT)
                .json(&json!({ "mediaId": media_id, "appId": app_id.as_str() }));
            let pause = match self.send_to("a photo", index, request).await {
                Ok(answer) if answer.status == 200 && answer.body["data"].is_string() => {
                    self.model.counts.photos.fetch_add(1, Ordering::Relaxed);
                    return answer.body["data"].as_str().map(str::to_owned);
                }
                Ok(answer) if answer.status < 500 && answer.status != 429 => {
                    self.model.violation(&format!("a photo: {answer:?}"));
                    return None;
                }
                Ok(answer) => {
                    last = format!("{} {}", answer.status, answer.body);
                    Duration::from_secs(answer.retry_after().clamp(1, 3))
                }
                Err(error) => {
                    last = format!("{error:?}");
                    Duration::from_millis(300)
                }
            };
            self.model.counts.photo_retries.fetch_add(1, Ordering::Relaxed);
            index = (index + 1) % GATEWAYS;
            sleep(pause).await;
        }
        self.model
            .violation(&format!("a photo was never stored; the last answer was {last}"));
        None
    }
}
