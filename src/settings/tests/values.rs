//! What single settings accept and refuse, and how they are serialised.

use toml::{Table, Value};

use crate::settings::Settings;

/// A key (with `[]` for a list), texts that it accepts, and texts that it refuses. `␣` stands for a space; `→` precedes
/// the serialised form, if that differs.
const TEXTS: [(&str, &str, &str); 19] = [
    (
        "server.request_timeout",
        "1ms 1500ms 1s␣500us→1000500000ns 300s 5m→300s 24h 1day→24h",
        " 0s 5 -5s s 25h",
    ),
    (
        "media.remember_for",
        "0s 5s 72h 3days→72h 1h␣30m→5400s 365days→8760h",
        " 5 -5s s 366days 99999999999999999999days",
    ),
    (
        "media.max_bytes",
        "20MiB 1GiB 1.5KiB→1536B 10␣kB→10000B 20971521→20971521B",
        " 0 0MiB -1MiB MiB 1␣furlong 0.1B",
    ),
    (
        "server.base_path",
        " /wxgate /a/b-c_d.e~f",
        "/ wxgate /wxgate/ //a /a//b /a/../b /a?b /{a} /%61 https://a.cn /a␣b",
    ),
    (
        "internal.allowed_hosts[]",
        "ops.example.com Ops.example.com *.example.com console",
        " * a.*.cn *a.cn https://a.cn a.cn:80 a..cn a.cn/ 例.cn",
    ),
    (
        "http_client.no_proxy[]",
        "files .corp.example.com a.cn 10.1.2.3 10.0.0.0/8 ::1 fd00::/8",
        " . * *.a.cn http://a.cn a.cn:80 a.cn,b.cn 10.0.0.0/33 [::1] a␣b",
    ),
    (
        "http_client.proxy",
        " none http://proxy:3128→http://proxy:3128/ https://hunter2@[::1]:1/→https://********@[::1]:1/ \
         http://user:hunter2%40@proxy:3128→http://user:********@proxy:3128/ \
         socks5h://u:hunter2@p:1080→socks5h://u:********@p:1080",
        "proxy:3128 None ftp://proxy socks5://proxy:1080 socks4://proxy:1080 http:// http:///proxy http://proxy/path \
         http://proxy?x http://proxy#x http://proxy:port http://user:pa/ss@proxy socks5h:// http://pro␣xy",
    ),
    (
        "credentials.token_key",
        "token token:{app_id}:{app_id}",
        " a␣b a\n {appid} {app_id a} {{app_id}}",
    ),
    (
        "telemetry.log_level",
        "info OFF wxgate=debug,info warn,hyper=off wxgate[span{field=1}]=trace",
        " inof info, wxgate wxgate=loud a=b=c warn,␣hyper=off",
    ),
    (
        "redis.nodes[]",
        "redis-1:6379 10.0.0.1:1 [::1]:7 redis.a.cn.:1",
        " redis redis: redis..a:1 :6379 redis:0 redis:65536 ::1:7 [x]:7 redis://r:1 u:p@r:1 a␣b:1",
    ),
    (
        "redis.url",
        "redis://127.0.0.1:6379/0 redis://:hunter2@r→redis://:********@r redis://hunter2@r→redis://********@r \
         rediss://u:hunter2@r:1/2?protocol=resp3→rediss://u:********@r:1/2?protocol=resp3 \
         redis://:pa%23%2Fss@r:6379/0→redis://:********@r:6379/0",
        " r:6379 http://r unix:///r redis:// redis://r/x redis://r:x redis://r?pass=p",
    ),
    (
        "image_store.http.success_pointer",
        " /data/0/url /a~1b",
        "data /a~ /a~2 $.data",
    ),
    (
        "image_store.http.url_pointer",
        " body header:location header:Location→header:location /data/url",
        "Body header: header:a␣b header data /a~",
    ),
    (
        "image_store.local.public_base_url",
        "/images /a/b/ https://img.example.com http://h:1/images/",
        " / images //a.cn/images /a//b /../etc /{id} /a?b https://a.cn/#x https://u:p@a.cn/x ftp://a/b /a␣b",
    ),
    (
        "server.cors_allowed_origins[]",
        "* http://a.cn:8080 https://H5.example.com:443→https://h5.example.com",
        " a.cn https://a.cn/ https://a.cn/x https://u@a.cn https://a.cn?x https:a.cn ftp://a.cn https://*.a.cn null",
    ),
    (
        "wechat.api_base_url",
        "https://api.weixin.qq.com https://a.cn/→https://a.cn http://127.0.0.1:1/wx/→http://127.0.0.1:1/wx",
        " api.weixin.qq.com https://a.cn?x=1 https://a.cn#x https://u:p@a.cn https://@a.cn https:///a.cn redis://a https://a\n.cn",
    ),
    (
        "auth.jwt_jwks_url",
        " https://a.cn/jwks.json?tenant=a→https://a.cn/jwks.json?******** http://127.0.0.1:8081/jwks.json \
         http://[::1]/k http://localhost/k",
        "http://a.cn/jwks.json http://localhost.a.cn/k http://10.0.0.1/k https://user:word@a.cn/k file:///etc/keys",
    ),
    ("auth.jwt_cookie", " sso_token __Host-sso", "a␣b a; a="),
    ("server.cors_allowed_headers[]", "X-Tenant", " * a␣b a:"),
];

/// How `text`, given for `key`, is serialised; `None` if it is refused.
fn written(key: &str, text: &str) -> Option<String> {
    let (path, list) = key.strip_suffix("[]").map_or((key, false), |path| (path, true));
    let (open, close) = if list { ("[", "]") } else { ("", "") };
    let given = format!("{path} = {open}{text:?}{close}");
    let settings: Settings = toml::from_str(&given).ok()?;
    let document = Value::Table(Table::try_from(settings).unwrap());
    let value = path.split('.').fold(&document, |table, key| &table[key]);
    let value = if list { &value[0] } else { value };
    Some(value.as_str().unwrap().to_owned())
}

#[test]
fn texts_are_taken_and_written_again_or_refused() {
    for (key, taken, refused) in TEXTS {
        let words = |text: &'static str| text.split(' ').map(|word| word.replace('␣', " "));
        for word in words(taken) {
            let (text, again) = word.split_once('→').unwrap_or((&word, &word));
            assert_eq!(written(key, text).as_deref(), Some(again), "{key} = {text:?}");
            assert_eq!(written(key, again).as_deref(), Some(again), "{key} = {again:?}");
        }
        for text in words(refused) {
            assert_eq!(written(key, &text), None, "{key} = {text:?}");
        }
    }
    let too_long = format!("socks5h://u:{}@p", "x".repeat(256));
    assert_eq!(written("http_client.proxy", &too_long), None);
}
