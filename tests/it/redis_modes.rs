//! Redis standalone, with Sentinel and as a cluster, with TLS by a company's own authority and an ACL user with
//! only the permissions that the gateway needs.

use std::net::TcpListener;
use std::sync::Arc;

use wxgate::sandbox::{Api, SandboxConfig};

use crate::support::{
    Gateway, GatewayBuilder, GatewayProcess, RedisServer, SandboxHost, Sentinel, Tls, Traffic, free_address, lock_key,
    ticket_key, token_key, until,
};

/// Everything that the gateway's user may do.
const ACL: [&str; 7] = [
    "--user",
    "wxgate",
    "on",
    ">its-password",
    "~weChat*",
    "~wxgate:*",
    "+get +set +del +incr +pexpire +pttl +eval +xadd +xrevrange +ping +role +cluster|slots",
];

fn acl() -> Vec<&'static str> {
    let (commands, rest) = ACL.split_last().unwrap();
    rest.iter().copied().chain(commands.split(' ')).collect()
}

/// A gateway whose system trusts the authority.
fn builder(tls: &Tls) -> GatewayBuilder {
    user().variable("SSL_CERT_FILE", tls.authority().display())
}

/// A gateway that trusts the authority by its settings.
fn builder_with_ca_file(tls: &Tls) -> GatewayBuilder {
    user().set("http_client.ca_file", tls.authority().display())
}

/// A gateway that logs in as the user.
fn user() -> GatewayBuilder {
    Gateway::builder()
        .set("credentials.backend", "redis")
        .set("credentials.adopt_interval", "200ms")
        .set("redis.username", "wxgate")
        .set("redis.password", "its-password")
        .patient_with_redis()
}

async fn until_all_say(processes: &[GatewayProcess], status: &str) {
    for process in processes {
        process.until_it_says(status).await;
    }
}

#[tokio::test]
async fn standalone_redis_over_tls_serves_two_replicas() {
    let tls = Tls::new();
    let redis = RedisServer::start_with_tls(&tls, &acl()).await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let app_id = wechat.account().app_id;
    let processes = GatewayProcess::start_many(&builder(&tls).set("redis.url", redis.url()), &wechat, 2).await;
    until_all_say(&processes, "ready").await;
    for process in &processes {
        process.assert_signs().await;
        assert_eq!(process.upload_new_photo().await.code(), (200, 0));
        assert!(process.logged("NOPERM").is_empty());
    }
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 1);
    assert_eq!(wechat.sandbox.calls(Api::GetTicket), 1);
    assert!(redis.value(&token_key(&app_id)).await.is_some());
    until("the journal is written", || async {
        redis.journaled(&app_id, "issued").await == 2
    })
    .await;

    // A client that does not trust the authority does not connect.
    let another = Tls::new();
    let stranger = builder(&another).set("redis.url", redis.url());
    let stranger = GatewayProcess::start(&stranger, &wechat).await;
    stranger.until_it_says("degraded").await;
    let problem = stranger.internal_get("/readyz").await.body.to_string();
    assert!(
        problem.contains("certificate") || problem.contains("UnknownIssuer"),
        "{problem}"
    );
}

#[tokio::test]
async fn sentinel_failover_under_traffic_fails_no_request() {
    let tls = Tls::new();
    let mut master = RedisServer::start_with_tls(&tls, &acl()).await;
    let port = master.address.port().to_string();
    let replica_of = [acl(), vec!["--replicaof", "127.0.0.1", &port]].concat();
    let replica = RedisServer::start_with_tls(&tls, &replica_of).await;
    until("the replica follows the master", || async {
        let replication: String = replica.command("INFO replication").await;
        replication.contains("master_link_status:up")
    })
    .await;
    let sentinel = Sentinel::start(&master, &tls).await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let app_id = wechat.account().app_id;
    // Of the sentinels in the settings one is down, and one accepts connections but never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nodes = format!(
        "{},{},{}",
        silent.local_addr().unwrap(),
        free_address(),
        sentinel.address
    );
    let builder = builder_with_ca_file(&tls)
        .set("redis.mode", "sentinel")
        .set("redis.url", "rediss://127.0.0.1/0")
        .set("redis.connect_timeout", "1s")
        .set("redis.nodes", nodes);
    let processes = GatewayProcess::start_many(&builder, &wechat, 2).await;
    until_all_say(&processes, "ready").await;
    let token = master.value(&token_key(&app_id)).await.unwrap();
    until("the replica has the token", || async {
        replica.value(&token_key(&app_id)).await.as_ref() == Some(&token)
    })
    .await;

    let signing = Traffic::signing(processes.iter().map(|process| &**process));
    let uploading = Traffic::uploading(processes.iter().map(|process| &**process));
    master.kill();
    until_all_say(&processes, "degraded").await;
    until_all_say(&processes, "ready").await;
    uploading.goes_on(20).await;
    signing.goes_on(20).await;
    signing.end().await.assert_flawless();
    uploading.end().await.assert_flawless();
    assert_eq!(replica.value(&token_key(&app_id)).await, Some(token));
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 1);
    assert_eq!(wechat.sandbox.calls(Api::GetTicket), 1);
    let photo = wechat.takes_photo(crate::support::TINY_PHOTO);
    processes[0].upload(&photo).await;
    let url = replica.value(&format!("wxgate:media:{app_id}:{photo}")).await;
    assert!(url.is_some(), "the new master is written to");
}

/// Three masters, a third of the slots each.
async fn cluster(tls: &Arc<Tls>) -> Vec<RedisServer> {
    let options = [
        acl(),
        vec![
            "--cluster-enabled",
            "yes",
            "--tls-cluster",
            "yes",
            "--cluster-node-timeout",
            "1000",
        ],
    ];
    let options = options.concat();
    let mut nodes = Vec::new();
    for slots in ["0 5460", "5461 10922", "10923 16383"] {
        let node = RedisServer::start_with_tls(tls, &options).await;
        node.command::<()>(&format!("CLUSTER ADDSLOTSRANGE {slots}")).await;
        nodes.push(node);
    }
    for node in &nodes[1..] {
        let address = node.address;
        nodes[0]
            .command::<()>(&format!("CLUSTER MEET {} {}", address.ip(), address.port()))
            .await;
    }
    until_cluster_is_up(&nodes).await;
    nodes
}

async fn until_cluster_is_up(nodes: &[RedisServer]) {
    for node in nodes {
        until("the cluster is up", || async {
            let info: String = node.command("CLUSTER INFO").await;
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        })
        .await;
    }
}

/// The node that has `key`.
async fn home(nodes: &[RedisServer], key: &str) -> Option<usize> {
    for (at, node) in nodes.iter().enumerate() {
        if node.keys().await.iter().any(|held| held == key) {
            return Some(at);
        }
    }
    None
}

#[tokio::test]
async fn cluster_serves_through_the_loss_of_a_node() {
    let tls = Tls::new();
    let mut nodes = cluster(&tls).await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let app_id = wechat.account().app_id;
    // Two nodes are enough to find the others, and a silent address is skipped.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap();
    let builder = builder_with_ca_file(&tls)
        .set("redis.mode", "cluster")
        .set("redis.url", "rediss://127.0.0.1")
        .set("redis.connect_timeout", "1s")
        .set(
            "redis.nodes",
            format!("{silent},{},{}", nodes[0].address, nodes[1].address),
        );
    let processes = GatewayProcess::start_many(&builder, &wechat, 2).await;
    until_all_say(&processes, "ready").await;
    for process in &processes {
        process.assert_signs().await;
        assert_eq!(process.upload_new_photo().await.code(), (200, 0));
        assert!(process.logged("NOPERM").is_empty());
    }
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 1);
    assert_eq!(wechat.sandbox.calls(Api::GetTicket), 1);
    let elsewhere = SandboxHost::start(SandboxConfig::default()).await;
    let check = builder.run(&elsewhere, &["check"]).await;
    assert!(
        check.code == 0 && check.out.contains("the cluster 127.0.0.1:"),
        "{check:?}"
    );
    let homes = [
        home(&nodes, &token_key(&app_id)).await,
        home(&nodes, &ticket_key(&app_id)).await,
    ];
    assert!(homes.iter().all(Option::is_some), "{homes:?}");
    until("the lock is released", || async {
        home(&nodes, &lock_key(&app_id)).await.is_none()
    })
    .await;

    // The node that has the token is lost, and comes back empty.
    let lost = homes[0].unwrap();
    let token = nodes[lost].value(&token_key(&app_id)).await;
    let signing = Traffic::signing(processes.iter().map(|process| &**process));
    nodes[lost].kill();
    until_all_say(&processes, "degraded").await;
    signing.goes_on(50).await;
    nodes[lost].revive().await;
    until_cluster_is_up(&nodes).await;
    until_all_say(&processes, "ready").await;
    until("the token is published again", || async {
        nodes[lost].value(&token_key(&app_id)).await == token
    })
    .await;
    signing.end().await.assert_flawless();
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 1);
    assert_eq!(wechat.sandbox.calls(Api::GetTicket), 1);
}

/// A Redis and a sentinel, each with a password of its own.
async fn two_logins(lines: &str, sentinel_login: &str) -> (RedisServer, Sentinel) {
    let redis = RedisServer::start_with(&["--requirepass", "of-redis"]).await;
    let lines = format!("sentinel auth-pass mymaster of-redis\n{lines}");
    let sentinel = Sentinel::start_with(&redis, &lines, sentinel_login).await;
    (redis, sentinel)
}

fn with_sentinel(sentinel: &Sentinel) -> GatewayBuilder {
    Gateway::builder()
        .set("credentials.backend", "redis")
        .set("redis.mode", "sentinel")
        .set("redis.nodes", sentinel.address)
        .set("redis.password", "of-redis")
        .set("credentials.adopt_interval", "200ms")
        .patient_with_redis()
}

#[tokio::test]
async fn sentinels_with_a_password_of_their_own_are_asked() {
    let (_redis, sentinel) = two_logins("requirepass of-sentinels", ":of-sentinels").await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, "of-sentinels\n").unwrap();
    let builder = with_sentinel(&sentinel).set("redis.sentinel_password_file", file.display());
    let process = GatewayProcess::start(&builder, &wechat).await;
    process.until_it_says("ready").await;
    assert_eq!(process.upload_new_photo().await.code(), (200, 0));
    let check = builder.run(&wechat, &["check"]).await;
    assert!(check.code == 0 && check.out.contains("of the sentinels"), "{check:?}");
    assert!(!format!("{check:?}{:?}", process.log()).contains("of-sentinels"));
    let config = builder.run(&wechat, &["config"]).await;
    assert!(!config.out.contains("of-sentinels"), "{config:?}");
}

#[tokio::test]
async fn sentinels_with_an_acl_user_are_asked() {
    let lines = "user default off\nuser gate on >of-the-user ~* &* +@all";
    let (_redis, sentinel) = two_logins(lines, "gate:of-the-user").await;
    let builder = with_sentinel(&sentinel)
        .set("redis.sentinel_username", "gate")
        .set("redis.sentinel_password", "of-the-user")
        .start()
        .await;
    builder.until_it_says("ready").await;
}

#[tokio::test]
async fn check_says_which_of_the_two_logins_failed() {
    let (_redis, sentinel) = two_logins("requirepass of-sentinels", ":of-sentinels").await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let (good, wrong) = ("redis.sentinel_password", "not-this-one");
    for (builder, refused, cure) in [
        (with_sentinel(&sentinel), "the sentinels refused the login", good),
        (
            with_sentinel(&sentinel).set(good, wrong),
            "the sentinels refused the login",
            good,
        ),
        (
            with_sentinel(&sentinel)
                .set(good, "of-sentinels")
                .set("redis.password", wrong),
            "Redis refused the login",
            "redis.username and redis.password",
        ),
    ] {
        let check = builder.run(&wechat, &["check"]).await;
        assert!(
            check.code == 1 && check.out.contains(refused) && check.out.contains(cure),
            "{check:?}"
        );
        assert!(!check.out.contains(wrong), "{check:?}");
    }
}
