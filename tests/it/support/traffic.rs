//! Callers that never stop calling while things break around them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Answer, Caller, until};

/// Requests to several gateways, one at a time to each, until [`Traffic::end`].
pub struct Traffic {
    stop: CancellationToken,
    callers: Vec<JoinHandle<()>>,
    tally: Arc<Mutex<Tally>>,
}

/// Their results.
#[derive(Default)]
pub struct Tally {
    pub answered: usize,
    /// The first few answers that were not a success.
    pub failures: Vec<String>,
    pub slowest: Duration,
}

impl Traffic {
    /// Pages ask to be signed, and the WeChat app checks each signature.
    pub fn signing<'a>(gateways: impl IntoIterator<Item = &'a Caller>) -> Self {
        Self::start(gateways, |gateway| async move {
            let page = "https://a.cn/p?from=singlemessage";
            let answer = gateway.sign(page).await;
            let good = answer.code() == (200, 0) && gateway.wechat_accepts(&answer, page);
            (good, answer)
        })
    }

    /// Users take photos, and the pages upload them.
    pub fn uploading<'a>(gateways: impl IntoIterator<Item = &'a Caller>) -> Self {
        Self::start(gateways, |gateway| async move {
            let answer = gateway.upload_new_photo().await;
            (answer.code() == (200, 0), answer)
        })
    }

    fn start<'a, C, F>(gateways: impl IntoIterator<Item = &'a Caller>, call: C) -> Self
    where
        C: Fn(Caller) -> F + Copy + Send + 'static,
        F: Future<Output = (bool, Answer)> + Send,
    {
        let (stop, tally) = (CancellationToken::new(), Arc::new(Mutex::new(Tally::default())));
        let callers = gateways.into_iter().map(|gateway| {
            let (gateway, stop, tally) = (gateway.clone(), stop.clone(), Arc::clone(&tally));
            tokio::spawn(async move {
                while !stop.is_cancelled() {
                    let asked = Instant::now();
                    let (good, answer) = call(gateway.clone()).await;
                    tally.lock().unwrap().note(asked.elapsed(), good, &answer);
                    // Leaves processor time to the gateways.
                    sleep(Duration::from_millis(5)).await;
                }
            })
        });
        Self {
            callers: callers.collect(),
            stop,
            tally,
        }
    }

    /// Waits for `more` answers, so that the last change has had its effect.
    pub async fn goes_on(&self, more: usize) {
        let enough = self.tally.lock().unwrap().answered + more;
        until("the traffic goes on", || async {
            self.tally.lock().unwrap().answered >= enough
        })
        .await;
    }

    pub async fn end(mut self) -> Tally {
        self.stop.cancel();
        for caller in std::mem::take(&mut self.callers) {
            caller.await.unwrap();
        }
        std::mem::take(&mut self.tally.lock().unwrap())
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Tally {
    fn note(&mut self, took: Duration, good: bool, answer: &Answer) {
        self.answered += 1;
        self.slowest = self.slowest.max(took);
        if !good && self.failures.len() < 5 {
            self.failures.push(format!("{answer:?}"));
        }
    }

    pub fn assert_flawless(&self) -> &Self {
        assert!(self.answered > 0 && self.failures.is_empty(), "{:#?}", self.failures);
        self
    }
}
