//! Pages that are signed, and photos that are posted until they are stored.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use wxgate::sandbox::Upload;

use crate::model::{Excuse, Model};
use crate::pictures;
use crate::sdk::{Kind, Sdk};
use crate::support::encode_uri_component;
use crate::world::{GATEWAYS, World};

const PAGES: u64 = 3;
const PHOTOGRAPHERS: u64 = 4;

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
    next: usize,
}

/// The status and the JSON of an answer.
pub type Answered = (u16, Value, Option<u64>);

impl Load {
    pub fn start(world: &Arc<World>, model: &Arc<Model>, seed: u64) -> Self {
        let stop = CancellationToken::new();
        let mut callers = Vec::new();
        for number in 0..PAGES + PHOTOGRAPHERS {
            let mut client = Client::new(world, model, seed ^ (number << 32));
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
        let kinds = [Kind::Classic, Kind::Classic, Kind::Stable, Kind::Stable, Kind::Uploader];
        for (number, kind) in (PAGES + PHOTOGRAPHERS..).zip(kinds) {
            let client = Client::new(world, model, seed ^ (number << 32));
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

    /// Waits until every photo that was begun is stored.
    pub async fn end(self) {
        self.stop.cancel();
        for caller in self.callers {
            caller.await.unwrap();
        }
    }
}

impl Client {
    fn new(world: &Arc<World>, model: &Arc<Model>, seed: u64) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(12));
        Self {
            world: Arc::clone(world),
            model: Arc::clone(model),
            http: http.build().unwrap(),
            rng: StdRng::seed_from_u64(seed),
            next: usize::try_from(seed % GATEWAYS as u64).unwrap(),
        }
    }

    /// Sends what `request` makes for the gateways in turn, until one of them answers, as a load balancer would.
    pub async fn sends(
        &mut self,
        what: &str,
        request: impl Fn(&World, usize) -> reqwest::RequestBuilder,
    ) -> Option<Answered> {
        let begun = Instant::now();
        for _ in 0..GATEWAYS {
            self.next = (self.next + 1) % GATEWAYS;
            let tried = Instant::now();
            match answer(request(&self.world, self.next)).await {
                Ok(answered) => return Some(answered),
                Err(error) => {
                    let what = format!("{what} at gateway {}: {:?}", self.next, error.without_url());
                    self.model.failed(&[Excuse::GatewayGone], tried, &what);
                }
            }
        }
        let took = begun.elapsed().as_secs_f64();
        self.model.broke(&format!("{what}: no gateway answered in {took:.1} s"));
        None
    }

    async fn signs_a_page(&mut self) {
        let page = format!("https://h5.example.com/p?from=singlemessage&n={}", self.rng.next_u32());
        let query = format!("/wechat/jsSDK?url={}", encode_uri_component(&page));
        let (begun, http) = (Instant::now(), self.http.clone());
        let sent = self.sends("a page", |world, index| {
            http.get(world.gateways[index].caller.url(&query))
                .timeout(Duration::from_secs(3))
        });
        let Some((status, body, _)) = sent.await else { return };
        let Some(config) = body["data"].as_object().filter(|_| status == 200) else {
            return self
                .model
                .failed(&[Excuse::WeChatFails], begun, &format!("a page: {status} {body}"));
        };
        let mut config = config.clone();
        config.insert("url".to_owned(), page.into());
        let checked = self.world.wechat.sandbox.verify(&config);
        if !checked.is_ok() {
            self.model.broke(&format!("a signature: {}", checked.err_msg));
        }
        self.model.counts.signatures.fetch_add(1, Ordering::Relaxed);
    }

    async fn takes_a_photo(&mut self) {
        let length = self.rng.random_range(5_000..60_000);
        let mut bytes = vec![0; length];
        self.rng.fill_bytes(&mut bytes);
        bytes[..4].copy_from_slice(b"\xFF\xD8\xFF\xE0");
        let sum = pictures::sum(&bytes);
        let app_id = self.world.wechat.account().app_id;
        let media_id = self
            .world
            .wechat
            .sandbox
            .upload_media(&app_id, Upload::new(bytes))
            .unwrap();
        let begun = Instant::now();
        // Now and then the page posts it twice, as impatient users do.
        let posts = if self.rng.random_bool(0.25) { 2 } else { 1 };
        let mut urls = Vec::new();
        for posted in futures_util::future::join_all((0..posts).map(|_| self.posts(&media_id, begun))).await {
            urls.extend(posted);
        }
        let Some(url) = urls.first() else { return };
        if urls.iter().any(|other| other != url) {
            self.model
                .failed(&[Excuse::StoredTwice], begun, &format!("one photo got {urls:?}"));
        }
        self.model.stored(sum, url, begun);
    }

    /// Posts a photo until it is stored; its URL.
    async fn posts(&self, media_id: &str, begun: Instant) -> Option<String> {
        let mut index: usize = rand::random_range(0..GATEWAYS);
        let mut last = String::new();
        while begun.elapsed() < PATIENCE {
            let url = self.world.gateways[index].caller.url("/p/active/weChatOa/upload");
            let request = self.http.post(url).json(&json!({ "mediaId": media_id }));
            let pause = match answer(request).await {
                Ok((200, body, _)) => return body["data"].as_str().map(str::to_owned),
                Ok((status @ 400..=499, body, _)) if status != 429 => {
                    self.model.broke(&format!("a photo: {status} {body}"));
                    return None;
                }
                Ok((status, body, retry_after)) => {
                    last = format!("{status} {body}");
                    Duration::from_secs(retry_after.unwrap_or(1).min(3))
                }
                Err(error) => {
                    last = format!("{:?}", error.without_url());
                    Duration::from_millis(300)
                }
            };
            self.model.counts.photo_retries.fetch_add(1, Ordering::Relaxed);
            index = (index + 1) % GATEWAYS;
            sleep(pause).await;
        }
        self.model
            .broke(&format!("a photo was never stored; the last answer was {last}"));
        None
    }
}

async fn answer(request: reqwest::RequestBuilder) -> reqwest::Result<Answered> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get("retry-after")
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok((status, body, retry_after))
}
