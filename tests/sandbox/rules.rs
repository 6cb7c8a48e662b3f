//! WeChat's rules.

use std::time::Duration;

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use wxgate::sandbox::{Api, Kill, SandboxConfig, TokenKind, Upload};

use crate::{APP, Desk, JPEG, OTHER_APP, SECRET, app, errcode, text, token_path, two_accounts};

#[tokio::test]
async fn a_token_answer_has_two_fields_and_no_errcode() {
    let desk = Desk::new().await;
    for answer in [desk.classic().await, desk.stable(false).await] {
        assert_eq!(answer.as_object().unwrap().len(), 2, "{answer}");
        assert_eq!(answer["expires_in"], 7200);
        let token = text(&answer, "access_token");
        let (number, rest) = token.split_once('_').unwrap();
        assert!(number.parse::<u32>().is_ok());
        assert_eq!(rest.len(), 136);
    }
}

#[tokio::test]
async fn parameters_of_the_token_call_are_checked_in_wechats_order() {
    let desk = Desk::new().await;
    for (query, code) in [
        ("appid=wxnone", 40013),
        ("", 40002),
        (&format!("appid={APP}"), 40002),
        (&format!("appid={APP}&grant_type=x"), 40002),
        ("grant_type=client_credential", 41002),
        (&format!("grant_type=client_credential&appid={APP}"), 41004),
        (&format!("grant_type=client_credential&appid={APP}&secret=wrong"), 40125),
    ] {
        let answer = desk.get_json(&format!("/cgi-bin/token?{query}")).await;
        assert_eq!(errcode(&answer), code, "{query}");
        let mut body = json!({});
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            body[name] = value.into();
        }
        let answer = desk.post_json("/cgi-bin/stable_token", body).await;
        assert_eq!(errcode(&answer), code, "{query}");
        assert!(text(&answer, "errmsg").contains(" rid: "), "{answer}");
    }
    let answer = desk.get_json("/cgi-bin/stable_token").await;
    assert_eq!(errcode(&answer), 43002);
    assert_eq!(errcode(&desk.post_json("/cgi-bin/token", json!({})).await), 43001);
    for (body, code) in [
        ("", 44002),
        ("no json", 47001),
        ("[]", 47001),
        (r#"{"force_refresh":"yes"}"#, 47001),
    ] {
        let sent = desk
            .client
            .post(desk.url("/cgi-bin/stable_token"))
            .body(body)
            .send()
            .await;
        let answer: Value = sent.unwrap().json().await.unwrap();
        assert_eq!(errcode(&answer), code, "{body}");
    }
}

#[tokio::test]
async fn a_classic_call_supersedes_the_token_before_after_the_overlap() {
    let desk = Desk::new().await;
    let first = text(&desk.classic().await, "access_token").to_owned();
    let second = text(&desk.classic().await, "access_token").to_owned();
    assert_ne!(first, second);
    assert_eq!(desk.errcode_of(&first).await, 0);
    desk.sandbox.advance(Duration::from_mins(5));
    assert_eq!(desk.errcode_of(&first).await, 40001);
    assert_eq!(desk.errcode_of(&second).await, 0);
    desk.sandbox.advance(Duration::from_mins(115));
    assert_eq!(desk.errcode_of(&second).await, 42001);
}

#[tokio::test]
async fn a_stable_call_answers_the_same_token_with_what_is_left() {
    let desk = Desk::new().await;
    let first = desk.stable(false).await;
    desk.sandbox.advance(Duration::from_secs(6800));
    let second = desk.stable(false).await;
    assert_eq!(second["access_token"], first["access_token"]);
    let left = second["expires_in"].as_u64().unwrap();
    assert!((390..=400).contains(&left), "{left}");
    desk.sandbox.advance(Duration::from_secs(200));
    let third = desk.stable(false).await;
    assert_ne!(third["access_token"], first["access_token"]);
    assert_eq!(
        desk.errcode_of(text(&first, "access_token")).await,
        0,
        "it stays valid until its end"
    );
    assert_eq!(desk.stable(true).await["expires_in"], 7200);
    for old in [first, third] {
        assert_eq!(
            desk.errcode_of(text(&old, "access_token")).await,
            40001,
            "force_refresh kills"
        );
    }
    let fourth = desk.stable(false).await;
    assert_eq!(
        desk.stable(true).await["access_token"],
        fourth["access_token"],
        "too soon to force again"
    );
}

#[tokio::test]
async fn tokens_are_checked_before_anything_else() {
    let desk = Desk::new().await;
    let long = "x".repeat(513);
    for (token, code) in [
        ("", 41001),
        ("never-issued", 40001),
        ("a%20b", 40014),
        ("%E4%B8%AD", 40014),
        (&long, 40014),
    ] {
        for path in [
            "/cgi-bin/ticket/getticket?type=none",
            "/cgi-bin/media/get?media_id=",
            "/cgi-bin/get_api_domain_ip?",
            "/cgi-bin/getcallbackip?",
        ] {
            let answer = desk.get_json(&format!("{path}&access_token={token}")).await;
            assert_eq!(errcode(&answer), code, "{path} {token}");
        }
        let path = format!("/cgi-bin/message/custom/send?access_token={token}");
        assert_eq!(errcode(&desk.post_json(&path, json!({})).await), code);
    }
    let body = json!({"access_token": desk.token().await});
    let answer = desk.post_json("/cgi-bin/message/custom/send", body).await;
    assert_eq!(errcode(&answer), 41001, "a token in the body does not count");
}

#[tokio::test]
async fn a_ticket_stays_the_same_and_always_claims_its_full_life() {
    let desk = Desk::new().await;
    let token = desk.token().await;
    let first = desk.ticket(&token, "jsapi").await;
    assert_eq!((errcode(&first), text(&first, "errmsg")), (0, "ok"));
    assert_eq!(text(&first, "ticket").len(), 86);
    desk.sandbox.advance(Duration::from_mins(100));
    let classic = desk.classic().await;
    let second = desk.ticket(text(&classic, "access_token"), "jsapi").await;
    assert_eq!(second, first, "by another token, 6000 s later");
    assert_ne!(desk.ticket(&token, "wx_card").await["ticket"], first["ticket"]);
    assert_eq!(errcode(&desk.ticket(&token, "x").await), 40097);
    assert_eq!(errcode(&desk.ticket(&token, "").await), 40097);
    desk.sandbox.advance(Duration::from_mins(20));
    let third = desk.ticket(text(&classic, "access_token"), "jsapi").await;
    assert_ne!(third["ticket"], first["ticket"]);
}

async fn upload(desk: &Desk, token: &str, kind: &str, bytes: &'static [u8]) -> Value {
    let form = Form::new().part("media", Part::bytes(bytes).file_name("a.jpg"));
    let path = format!("/cgi-bin/media/upload?access_token={token}&type={kind}");
    let sent = desk.client.post(desk.url(&path)).multipart(form).send().await;
    sent.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn media_comes_back_as_it_was_uploaded() {
    let desk = Desk::new().await;
    let token = desk.token().await;
    let answer = upload(&desk, &token, "image", JPEG).await;
    assert_eq!(answer["type"], "image");
    assert!(
        answer["created_at"]
            .as_u64()
            .unwrap()
            .abs_diff(desk.sandbox.unix_time())
            < 5
    );
    let id = text(&answer, "media_id").to_owned();
    assert_eq!(id.len(), 64);
    let path = format!("/cgi-bin/media/get?access_token={token}&media_id={id}");
    let file = desk.get(&path).await;
    assert_eq!(file.headers()["content-type"], "image/jpeg");
    assert_eq!(
        file.headers()["content-disposition"],
        format!("attachment; filename=\"{id}.jpg\"")
    );
    assert_eq!(file.headers()["cache-control"], "no-cache, must-revalidate");
    assert_eq!(file.headers()["connection"], "close");
    assert_eq!(file.bytes().await.unwrap(), JPEG);

    desk.sandbox.advance(Duration::from_hours(72));
    let token = desk.token().await;
    let path = format!("/cgi-bin/media/get?access_token={token}&media_id={id}");
    assert_eq!(errcode(&desk.get_json(&path).await), 40007, "after three days");
}

#[tokio::test]
async fn media_belongs_to_its_account_and_must_be_named() {
    let desk = Desk::new().await;
    let token = desk.token().await;
    let theirs = desk.sandbox.upload_media(&app(OTHER_APP), Upload::new(JPEG)).unwrap();
    let video = Upload::new("....ftypmp42").content_type("video/mp4");
    let video = desk.sandbox.upload_media(&app(APP), video).unwrap();
    let get = async |id: &str| {
        desk.get_json(&format!("/cgi-bin/media/get?access_token={token}&media_id={id}"))
            .await
    };
    assert_eq!(errcode(&get("").await), 41006);
    let none = get("none").await;
    assert!(
        errcode(&none) == 40007 && text(&none, "errmsg").contains(" hint: ["),
        "{none}"
    );
    assert_eq!(errcode(&get(&theirs).await), 40007);
    assert!(text(&get(&video).await, "video_url").starts_with("http"));
}

#[tokio::test]
async fn uploads_are_checked() {
    let desk = Desk::new().await;
    let token = desk.token().await;
    assert_eq!(errcode(&upload(&desk, &token, "picture", JPEG).await), 40004);
    assert_eq!(errcode(&upload(&desk, &token, "image", b"").await), 41005);
    assert_eq!(errcode(&upload(&desk, &token, "image", b"plain text").await), 40005);
    let path = format!("/cgi-bin/media/upload?access_token={token}&type=image");
    assert_eq!(errcode(&desk.post_json(&path, json!({})).await), 41005);
    assert!(upload(&desk, &token, "thumb", JPEG).await["thumb_media_id"].is_string());
    assert_eq!(upload(&desk, &token, "voice", b"#!AMR").await["type"], "voice");
}

#[tokio::test]
async fn only_listed_addresses_may_fetch_tokens() {
    let desk = Desk::with(SandboxConfig {
        allowed_ips: vec![[10, 0, 0, 1].into()],
        ..two_accounts()
    })
    .await;
    for answer in [desk.classic().await, desk.stable(false).await] {
        assert_eq!(errcode(&answer), 40164);
        let start = "invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist rid: ";
        assert!(text(&answer, "errmsg").starts_with(start), "{answer}");
    }
    let desk = Desk::with(SandboxConfig {
        allowed_ips: vec!["::ffff:127.0.0.1".parse().unwrap()],
        ..two_accounts()
    })
    .await;
    assert_eq!(errcode(&desk.classic().await), 0);
}

#[tokio::test]
async fn quotas_are_counted_by_account_and_day_and_can_be_cleared() {
    let desk = Desk::with(SandboxConfig {
        daily_calls: [(Api::Token, 2)].into(),
        ..two_accounts()
    })
    .await;
    assert_eq!(errcode(&desk.get_json("/cgi-bin/token?appid=wxnone").await), 40013);
    assert_eq!(errcode(&desk.classic().await), 0);
    assert_eq!(errcode(&desk.classic().await), 0);
    let answer = desk.classic().await;
    assert_eq!(errcode(&answer), 45009);
    assert!(text(&answer, "errmsg").contains("getStableAccessToken"));
    assert_eq!(errcode(&desk.get_json(&token_path(OTHER_APP)).await), 0);

    let token = desk.token().await;
    let quota = async |path: &str| {
        let url = format!("/cgi-bin/openapi/quota/get?access_token={token}");
        desk.post_json(&url, json!({"cgi_path": path})).await
    };
    let expected = json!({"daily_limit": 2, "used": 2, "remain": 0});
    assert_eq!(quota("/cgi-bin/token").await["quota"], expected);
    assert_eq!(errcode(&quota("/cgi-bin/none").await), 76021);
    assert_eq!(errcode(&quota("/sns/oauth2/access_token").await), 76022);

    let clear = format!("/cgi-bin/clear_quota?access_token={token}");
    assert_eq!(
        errcode(&desk.post_json(&clear, json!({"appid": OTHER_APP})).await),
        40013
    );
    assert_eq!(errcode(&desk.post_json(&clear, json!({"appid": APP})).await), 0);
    assert_eq!(errcode(&desk.classic().await), 0);
    let clear = format!("/cgi-bin/clear_quota/v2?appid={APP}&appsecret={SECRET}");
    for _ in 1..10 {
        assert_eq!(errcode(&desk.post_json(&clear, json!({})).await), 0);
    }
    assert_eq!(errcode(&desk.post_json(&clear, json!({})).await), 48006);
    for (body, code) in [
        (json!({}), 41002),
        (json!({"appid": "wxnone"}), 40013),
        (json!({"appid": APP}), 41004),
        (json!({"appid": APP, "appsecret": "wrong"}), 40125),
        (json!({"appid": OTHER_APP, "appsecret": SECRET}), 0),
    ] {
        assert_eq!(errcode(&desk.post_json("/cgi-bin/clear_quota/v2", body).await), code);
    }

    while errcode(&desk.classic().await) == 0 {}
    desk.sandbox.advance(Duration::from_hours(24));
    assert_eq!(errcode(&desk.classic().await), 0, "the next day");
}

#[tokio::test]
async fn the_other_apis_want_a_good_token() {
    let desk = Desk::new().await;
    let token = desk.token().await;
    let ips = desk
        .get_json(&format!("/cgi-bin/get_api_domain_ip?access_token={token}"))
        .await;
    assert!(ips["ip_list"][0].is_string(), "{ips}");
    let ips = desk
        .get_json(&format!("/cgi-bin/getcallbackip?access_token={token}"))
        .await;
    assert!(ips["ip_list"][0].as_str().unwrap().contains('/'), "{ips}");
    let send = format!("/cgi-bin/message/custom/send?access_token={token}");
    let answer = desk.post_json(&send, json!({"touser": "o1"})).await;
    assert_eq!(answer, json!({"errcode": 0, "errmsg": "ok"}));
    let empty = desk.client.post(desk.url(&send)).send().await.unwrap();
    assert_eq!(errcode(&empty.json().await.unwrap()), 44002);
    let unknown = desk.get("/cgi-bin/user/get").await;
    assert_eq!(unknown.status(), 404);
    assert_eq!(unknown.bytes().await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_foreign_system_and_invalidations_can_be_simulated() {
    let desk = Desk::new().await;
    let ours = text(&desk.classic().await, "access_token").to_owned();
    let stable = desk.token().await;
    let theirs = desk.sandbox.foreign_token(&app(APP)).unwrap();
    assert_eq!(desk.sandbox.current_token(&app(APP), TokenKind::Classic), Some(theirs));
    assert_eq!(desk.sandbox.calls(Api::Token), 1);
    desk.sandbox.advance(Duration::from_mins(5));
    assert_eq!(desk.errcode_of(&ours).await, 40001);
    let kill = Kill {
        kind: Some(TokenKind::Stable),
        expired: true,
        still_answered: true,
    };
    desk.sandbox.kill_token(&app(APP), kill).unwrap();
    assert_eq!(desk.errcode_of(&stable).await, 42001);
    assert_eq!(desk.token().await, stable, "WeChat goes on answering it");
    assert_eq!(desk.sandbox.current_token(&app(APP), TokenKind::Stable), None);
    let forced = desk.stable(true).await;
    assert_ne!(forced["access_token"], *stable);
    assert_eq!(desk.stable(false).await["access_token"], forced["access_token"]);
    desk.sandbox.kill_token(&app(APP), Kill::default()).unwrap();
    assert_ne!(desk.stable(false).await["access_token"], forced["access_token"]);
    assert!(desk.sandbox.foreign_token(&app("wxnone")).is_err());
}

#[tokio::test]
async fn calls_are_counted_by_api_and_account() {
    let desk = Desk::new().await;
    desk.classic().await;
    desk.get_json(&token_path(OTHER_APP)).await;
    desk.get_json(&token_path("wxnone")).await;
    desk.errcode_of("unknown").await;
    desk.get("/nowhere").await;
    assert_eq!(desk.sandbox.calls(Api::Token), 3);
    assert_eq!(desk.sandbox.calls_for(&app(OTHER_APP), Api::Token), 1);
    assert_eq!(desk.sandbox.calls(Api::GetTicket), 1);
    assert_eq!(desk.sandbox.calls(Api::Other), 1);
    let log = desk.sandbox.log();
    let outcomes: Vec<&str> = log.iter().map(|call| call.outcome.as_str()).collect();
    assert_eq!(outcomes, ["ok", "ok", "errcode 40013", "errcode 40001", "status 404"]);
}
