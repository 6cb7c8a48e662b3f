//! Checks that Redis answers, its latency, that we may write, and that it keeps what we write.

use std::time::Duration;

use futures_util::{StreamExt, TryFutureExt, TryStreamExt, stream};
use tokio::time::{Instant, timeout};

use super::{AT_ONCE, Finding};
use crate::settings::values::HostPort;
use crate::settings::{Account, RedisMode, Settings, TokenApi};
use crate::store::{RedisStore, SharedStore, StoreError, keys};

const CHECK: &str = "redis";

/// The time limit for all commands to a slow Redis.
const LIMIT: Duration = Duration::from_secs(10);
/// How many pings are sent; the median counts.
const PINGS: usize = 5;
/// With a slower Redis, every renewal and every first upload of a picture is slow.
const SLOW: Duration = Duration::from_millis(50);

pub(super) async fn run(settings: &Settings, store: Option<&RedisStore>) -> Vec<Finding> {
    let Some(store) = store else {
        return vec![not_used(settings)];
    };
    let mut findings = Vec::new();
    let check = async {
        findings.push(reach(settings, store).await?);
        findings.extend(rights(settings, store).await?);
        Ok(())
    };
    let last = match timeout(LIMIT, check).await {
        Ok(Ok(())) => memory(store).await,
        Ok(Err(failure)) => failure,
        Err(_) => {
            let message = format!("{} took longer than {LIMIT:?} in total", place(settings));
            Finding::failed(CHECK, message).cure("check its load (SLOWLOG GET) and the network in between")
        }
    };
    findings.push(last);
    findings
}

fn not_used(settings: &Settings) -> Finding {
    let classic = settings.accounts.iter().any(|it| it.token_api == TokenApi::Classic);
    let otherwise = if classic {
        "invalidate the others' classic tokens"
    } else {
        "fetch credentials and store pictures for itself"
    };
    let message = format!("not used: credentials.backend is \"memory\", so each of several replicas would {otherwise}");
    Finding::warning(CHECK, message)
        .cure("no action needed for one replica; for more, set credentials.backend = \"redis\"")
}

/// Where Redis is, with its password masked.
fn place(settings: &Settings) -> String {
    let redis = &settings.redis;
    let nodes: Vec<_> = redis.nodes.iter().map(HostPort::as_str).collect();
    let nodes = nodes.join(", ");
    match redis.mode {
        RedisMode::Standalone => format!("{} (standalone)", redis.url.masked()),
        RedisMode::Sentinel => format!("the master \"{}\" of the sentinels {nodes}", redis.sentinel_service),
        RedisMode::Cluster => format!("the cluster {nodes}"),
    }
}

fn failure(what: &str, settings: &Settings, error: &StoreError) -> Finding {
    let finding = Finding::failed(CHECK, format!("{what} {}: {error}", place(settings)));
    finding.cure(error.cure.clone())
}

/// Whether it answers, and its latency.
async fn reach(settings: &Settings, store: &RedisStore) -> Result<Finding, Finding> {
    let failed = |error: StoreError| failure("no answer from", settings, &error);
    // The first one also makes the connection.
    store.ping().await.map_err(failed)?;
    let mut times = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let asked = Instant::now();
        store.ping().await.map_err(failed)?;
        times.push(asked.elapsed());
    }
    times.sort_unstable();
    let median = times[PINGS / 2];
    let message = format!("{} answers in {:.1} ms", place(settings), median.as_secs_f64() * 1000.0);
    Ok(if median > SLOW {
        Finding::warning(CHECK, message).cure("move Redis closer to the gateway, or check its load")
    } else {
        Finding::ok(CHECK, message)
    })
}

/// Whether everything that the gateway does is allowed, for each of its keys.
async fn rights(settings: &Settings, store: &RedisStore) -> Result<Vec<Finding>, Finding> {
    let failed = |error: StoreError| failure("some operations are not allowed at", settings, &error);
    let key = keys::check(rand::random());
    let written = store.try_operations(&key).await.map_err(failed)?;
    if !written {
        let message = format!("a value written to {} disappeared immediately", place(settings));
        return Err(Finding::failed(CHECK, message).cure("check its memory limit, and what else removes keys"));
    }
    let text = "may write, read and remove all of the gateway's keys";
    let mut findings = vec![Finding::ok(CHECK, text)];
    let accounts = stream::iter(&settings.accounts).map(|account| {
        let rights = rights_of(account, settings, store, &key);
        rights.map_err(failed)
    });
    let accounts: Vec<Vec<Finding>> = accounts.buffered(AT_ONCE).try_collect().await?;
    findings.extend(accounts.into_iter().flatten());
    Ok(findings)
}

/// The same for the keys of one account. No key has the value `unused`.
async fn rights_of(
    account: &Account,
    settings: &Settings,
    store: &RedisStore,
    unused: &str,
) -> Result<Vec<Finding>, StoreError> {
    let (app_id, credentials) = (&account.app_id, &settings.credentials);
    let mut tried = Vec::new();
    let names = [
        (credentials.token_key.fill(app_id), true),
        (credentials.ticket_key.fill(app_id), true),
        (credentials.lock_key.fill(app_id), false),
    ];
    for (name, is_credential) in names {
        // Removes nothing, but requires permission to.
        let removed = store.compare_and_delete(&name, unused).await;
        let of_another_type = removed.as_ref().is_err_and(StoreError::is_about_value);
        // A credential's key with another program's value is reported by `CredentialProbe::foreign_entries`.
        if !(is_credential && of_another_type) {
            tried.push(removed.map(drop));
        }
    }
    tried.push(store.newest(&keys::JOURNAL.of_account(app_id), 1).await.map(drop));
    let mut findings = Vec::new();
    for error in tried.into_iter().filter_map(Result::err) {
        if !error.is_about_value() {
            return Err(error);
        }
        let finding = Finding::warning(CHECK, error.to_string()).about(app_id);
        findings.push(finding.cure(error.cure));
    }
    Ok(findings)
}

/// Whether it may evict keys.
async fn memory(store: &RedisStore) -> Finding {
    let servers = match store.servers().await {
        Ok(servers) => servers,
        Err(error) => {
            let message = format!("this user may not read its eviction policy ({error})");
            return Finding::ok(CHECK, message).cure("make sure that maxmemory-policy is noeviction");
        }
    };
    let versions = servers
        .iter()
        .filter_map(|server| server.get::<String>("redis_version"));
    let version = versions.min().unwrap_or_else(|| "of unknown version".to_owned());
    let evicting = servers.iter().find_map(|server| {
        let policy: String = server.get("maxmemory_policy")?;
        (policy != "noeviction").then_some((server, policy))
    });
    let Some((server, policy)) = evicting else {
        return Finding::ok(CHECK, format!("Redis {version} evicts no keys (noeviction)"));
    };
    let when = match server.get::<u64>("maxmemory") {
        Some(0) => "once maxmemory is set (it is not now)",
        _ => "when its memory is full",
    };
    let message = format!("Redis {version} has maxmemory-policy {policy}: it may evict credentials and locks {when}");
    Finding::warning(CHECK, message).cure("give the gateway a Redis of its own, or set maxmemory-policy noeviction")
}
