//! Every error of WeChat's is logged with what to do about it.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use wxgate::sandbox::{Api, Fault, SandboxConfig};

use crate::support::{Gateway, GatewayBuilder, GatewayProcess, SandboxHost, TINY_PHOTO, account, until};

/// The codes in the first column of the documented table.
fn documented_codes() -> Vec<i64> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/troubleshooting.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once("\n## What WeChat answers\n").unwrap();
    let (table, _) = section.split_once("\n## ").unwrap();
    let cells = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let is_code = |word: &&str| word.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
    let words = cells.flat_map(|cell| cell.split([' ', ',', '(', ')']));
    let codes: BTreeSet<i64> = words
        .filter(|word| !word.is_empty())
        .filter(is_code)
        .filter_map(|word| word.parse().ok())
        // Codes of the gateway's own, as in "40007 (code 2005)".
        .filter(|code| !(1000..10_000).contains(code))
        .collect();
    assert!(codes.len() > 15, "{codes:?}");
    codes.into_iter().collect()
}

fn app_id(code: i64) -> String {
    format!("wx{:016}", code.unsigned_abs())
}

/// A gateway with an account per code, and a WeChat whose `api` answers each account with its code.
async fn refused_at(api: Api, codes: &[i64]) -> (Arc<SandboxHost>, GatewayProcess) {
    let accounts: Vec<_> = codes.iter().map(|code| account(&app_id(*code), "a-secret")).collect();
    let wechat = SandboxHost::start(SandboxConfig {
        accounts: accounts.clone(),
        ..SandboxConfig::default()
    })
    .await;
    let builder = Gateway::builder().accounts(&accounts);
    for (code, account) in codes.iter().zip(&accounts) {
        let rule = Fault::errcode(*code).on(api).for_account(account.app_id.clone());
        wechat.sandbox.inject(rule);
    }
    let process = GatewayProcess::start(&builder, &wechat).await;
    (wechat, process)
}

/// The lines about the account of `code` that name the code and say what to do.
fn advice(process: &GatewayProcess, code: i64) -> Vec<String> {
    let mut lines = process.logged(&app_id(code));
    lines.retain(|line| line.contains(&format!(" {code} ")) && line.contains("What to do: "));
    lines
}

async fn until_all_have_advice(process: &GatewayProcess, codes: &[i64]) {
    for code in codes {
        until(&format!("{code} is logged with what to do"), || async {
            !advice(process, *code).is_empty()
        })
        .await;
    }
}

#[tokio::test]
async fn refused_credential_is_logged_with_what_to_do_for_every_documented_code() {
    let codes = documented_codes();
    for api in [Api::StableToken, Api::GetTicket] {
        let (_wechat, process) = refused_at(api, &codes).await;
        until_all_have_advice(&process, &codes).await;
    }
}

#[tokio::test]
async fn refused_photo_is_logged_with_what_to_do_for_every_documented_code() {
    let codes = documented_codes();
    let (wechat, process) = refused_at(Api::MediaGet, &codes).await;
    process.until_it_says("ready").await;
    for (code, account) in codes.iter().zip(wechat.sandbox.config().accounts.clone()) {
        let photo = wechat_photo(&wechat, &account.app_id);
        let body = json!({ "mediaId": photo, "appId": account.app_id.as_str() });
        let request = process.request("POST", "/p/active/weChatOa/upload").json(&body);
        let answer = process.send(request).await;
        let unavailable = answer.code() == (503, 4001);
        assert!(answer.body["errcode"] == *code || unavailable, "{code}: {answer:?}");
    }
    until_all_have_advice(&process, &codes).await;
}

fn wechat_photo(wechat: &SandboxHost, app_id: &wxgate::account::AppId) -> String {
    let upload = wxgate::sandbox::Upload::new(TINY_PHOTO.to_vec());
    wechat.sandbox.upload_media(app_id, upload).unwrap()
}

fn refused_from(address: &str) -> Fault {
    let message = format!("invalid ip {address} ipv6 ::ffff:{address}, not in whitelist rid: 1-2-3");
    Fault::Errcode {
        code: 40164,
        message: Some(message),
    }
}

fn with_operator() -> GatewayBuilder {
    Gateway::builder().set("internal.operator_key", "an-operators-long-key")
}

#[tokio::test]
async fn changing_outgoing_address_is_reported_with_all_addresses() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let from_one = wechat.sandbox.inject(refused_from("203.0.113.7").on(Api::StableToken));
    let process = GatewayProcess::start(&with_operator(), &wechat).await;
    until("the first address is logged", || async {
        !process.logged("203.0.113.7").is_empty()
    })
    .await;
    let renew = async || process.operator_renews("access_token", "an-operators-long-key").await;
    renew().await;
    let log = process.log().join("\n");
    assert!(!log.contains("not fixed"), "one address only, so no change: {log}");

    wechat.sandbox.remove_fault(from_one);
    wechat.sandbox.inject(refused_from("198.51.100.9").on(Api::StableToken));
    renew().await;
    let names_both = |text: &str| text.contains("203.0.113.7, 198.51.100.9") && text.contains("not fixed");
    until("both addresses are logged", || async {
        process
            .logged("What to do: ")
            .iter()
            .any(|line| line.contains("ERROR") && names_both(line))
    })
    .await;
    let ready = process.internal_get("/readyz").await;
    assert!(names_both(&ready.body.to_string()), "{ready:?}");
    let public = process.get("/readyz").await;
    assert!(!public.body.to_string().contains("203.0.113"), "{public:?}");
}
