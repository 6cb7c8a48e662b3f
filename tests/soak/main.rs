//! The cluster keeps its promises under changing faults: three gateways, Redis with a replica under a sentinel, WeChat
//! with token lives of a minute, an upload service and an S3 server, pages, photos and other systems' SDKs. Faults are
//! drawn from a seed; a model checks after each minute and at the end what must be true.
//!
//! Two minutes, with the faults of one seed, belong to `scripts/test`; `scripts/soak` runs longer ones with others.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(
    clippy::disallowed_methods,
    reason = "the tests' clients are not part of the gateway"
)]

#[path = "../it/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the tests of `it`")]
mod support;

mod checks;
mod faults;
mod load;
mod model;
mod pictures;
mod replica;
mod sdk;
mod store_proxy;
mod token_calls;
mod wechat_faults;
mod world;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use checks::Checks;
use faults::Faults;
use load::Load;
use model::Model;
use world::{CLASSIC, STABLE, World};

/// How long the load goes on after the last fault, until its effects have ended.
const SETTLING: Duration = Duration::from_secs(25);

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_keeps_its_promises_while_faults_come_and_go() {
    let minutes = number("WXGATE_SOAK_MINUTES").unwrap_or(2).max(1);
    let seed = number("WXGATE_SOAK_SEED").unwrap_or(1);
    println!("soak: {minutes} minutes, seed {seed}");
    let model = Arc::new(Model::new());
    let world = Arc::new(World::start().await);
    let calls = [STABLE, CLASSIC].map(|account| token_calls::made(&world, account));
    assert_eq!(calls, [1, 1], "three gateways share what one has fetched");
    model.watch_the_machine();
    let load = Load::start(&world, &model, seed);
    let faults = Faults::start(&world, &model, seed, Duration::from_mins(minutes));
    let mut checks = Checks::new(&world, &model);
    let begun = Instant::now();
    let until = async |end: Duration| sleep(end.saturating_sub(begun.elapsed())).await;
    for minute in 1..minutes {
        until(Duration::from_mins(minute)).await;
        println!("{}", checks.minute(minute).await);
        checks.assert_kept(seed);
        faults.assert_being_played();
        load.assert_running();
    }
    let end = Duration::from_mins(minutes);
    until(end.saturating_sub(SETTLING)).await;
    faults.end().await;
    sleep(SETTLING).await;
    load.end().await;
    println!("{}", checks.minute(minutes).await);
    println!("{}", checks.end(minutes).await);
    println!("{}", model.report());
    checks.assert_kept(seed);
}
