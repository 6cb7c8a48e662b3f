//! Error texts as WeChat sends them, with their variable parts, so that nothing can match a whole text.

use std::net::IpAddr;

use super::api::Api;
use super::random;

const ADVERTISEMENT: &str =
    ", could get access_token by getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r";

/// The `errmsg` of `code`, answered by `api` to `peer` at `unix`.
pub(super) fn errmsg(code: i64, api: Api, peer: IpAddr, unix: u64) -> String {
    let rid = random::rid(unix);
    match code {
        0 => "ok".to_owned(),
        40001 => format!("{}{ADVERTISEMENT} rid: {rid}", text(code)),
        45009 if api == Api::Token => format!("{}{ADVERTISEMENT} rid: {rid}", text(code)),
        40164 => format!("{} rid: {rid}", not_in_whitelist(peer)),
        -1 | 40007 | 50002 => format!("{} hint: {} rid: {rid}", text(code), random::hint()),
        _ => format!("{} rid: {rid}", text(code)),
    }
}

/// WeChat names an IPv4 address twice, the second time mapped into IPv6.
fn not_in_whitelist(peer: IpAddr) -> String {
    match peer.to_canonical() {
        IpAddr::V4(ip) => format!("invalid ip {ip} ipv6 ::ffff:{ip}, not in whitelist"),
        IpAddr::V6(ip) => format!("invalid ip {ip} ipv6 {ip}, not in whitelist"),
    }
}

fn text(code: i64) -> &'static str {
    match code {
        -1 => "system error",
        40001 => "invalid credential, access_token is invalid or not latest",
        40002 => "invalid grant_type",
        40004 => "invalid media type",
        40005 => "invalid file type",
        40007 => "invalid media_id",
        40009 => "invalid image size",
        40013 => "invalid appid",
        40014 => "invalid access_token",
        40097 => "invalid args",
        40125 => "invalid appsecret",
        40243 => "AppSecret已被冻结，请解冻后再次调用",
        41001 => "access_token missing",
        41002 => "appid missing",
        41004 => "appsecret missing",
        41005 => "media data missing",
        41006 => "media_id missing",
        42001 => "access_token expired",
        42007 => "access_token and refresh_token exception",
        43001 => "require GET method",
        43002 => "require POST method",
        44002 => "empty post data",
        45009 => "reach max api daily quota limit",
        45011 => "api minute-quota reach limit, must slower, retry next minute",
        47001 => "data format error",
        48001 => "api unauthorized",
        48004 => "api forbidden for irregularities, view detail on mp.weixin.qq.com",
        48006 => "forbid to clear quota because of reaching the limit",
        50001 => "api unauthorized or user unauthorized",
        50002 => "user limited",
        50004 => "user not allow to use accesstoken, maybe for punishment",
        50007 => "账号已冻结",
        61024 => "must use api(api_component_token) to get token for component acct",
        76021 => "cgi_path not found, please check",
        76022 => "could not use this cgi_path，no permission",
        89501 => "公众号有未处理的确认请求，请稍候重试",
        89503 => "此次调用需要管理员确认，请耐心等候",
        89506 => "24小时内该IP被管理员拒绝调用两次，24小时内不可再使用该IP调用",
        89507 => "1小时内该IP被管理员拒绝调用一次，1小时内不可再使用该IP调用",
        _ => "unknown error",
    }
}
