//! All texts of the page, in both languages side by side. Each `{}` is filled in order; both languages have the same
//! number of them.

use crate::words::Words;

macro_rules! texts {
    ($($name:ident: $zh:literal, $en:literal;)*) => {
        $(pub(super) const $name: Words = Words { zh: $zh, en: $en };)*

        #[cfg(test)]
        const ALL: &[(&str, Words)] = &[$((stringify!($name), $name)),*];
    };
}

texts! {
    TITLE: "控制台", "console";
    SKIP: "跳到正文", "Skip to the content";
    OTHER_LANGUAGE: "语言", "Language";
    UPDATED: "更新于 {}（北京时间）", "Updated {} (Beijing time)";
    PAUSE: "暂停", "Pause";
    RESUME: "继续", "Resume";
    STALE: "无法连接网关，以下是此前的状态。", "The gateway can't be reached; this is its last known state.";
    REPLICA: "副本", "Replica";
    UPTIME: "已运行 {}", "up {}";

    STATE_FINE: "一切正常", "All is well";
    STATE_FINE_MORE: "凭证有效，依赖的服务均正常。", "Credentials are valid, and everything they depend on works.";
    STATE_DEGRADED: "服务中，但有问题需要处理", "Serving, but something needs attention";
    STATE_DOWN: "无法服务", "Out of service";

    PROBLEM_DRAINING: "网关正在停机，不再接受新请求。", "The gateway is draining and accepts no new requests.";
    PROBLEM_NO_CREDENTIAL: "{}：没有可用的 {}。", "{} has no usable {}.";
    PROBLEM_FAILING: "{}：{} 刷新失败，现有的仍可用。", "{}: the {} can't be renewed; the one in use still works.";
    PROBLEM_STORE: "Redis 无法连接：内存中的凭证照常使用，但各副本之间无法同步。", "Redis is down: credentials in memory are still used, but replicas can't see each other.";
    PROBLEM_WECHAT: "最近对微信的调用失败。", "The latest calls to WeChat failed.";
    PROBLEM_IMAGES: "最近的照片未能存入图片库。", "The latest photos could not be stored.";
    PROBLEM_CALLS_SPENT: "{}：今天获取 token 的次数已达上限，北京时间零点前不再调用微信。", "{}: today's token calls are used up; WeChat is not called again before midnight in Beijing.";
    PROBLEM_CALLS_NEARLY: "{}：今天获取 token 的次数已超过上限的八成。", "{}: over 80 % of today's token calls are used up.";
    PROBLEM_FOREIGN: "{}：过去 24 小时内，token 曾被其他系统作废。", "{}: another system invalidated the token within the last 24 hours.";
    PROBLEMS_MORE: "另有 {} 个问题。", "And {} more problems.";

    ACCOUNTS: "账号与凭证", "Accounts";
    API_STABLE: "稳定版接口", "stable token API";
    API_CLASSIC: "普通接口", "classic token API";
    VALID: "有效", "valid";
    RETRYING: "刷新失败", "renewal fails";
    NONE: "无", "none";
    UNTIL: "后到期（{}）", "left, until {}";
    LIFETIME_BAR: "{} 的剩余有效期：{} %", "Remaining lifetime of the {}: {} %";
    FINGERPRINT: "指纹", "Fingerprint";
    RENEWED_BY: "获取者", "Renewed by";
    ORIGIN_UNKNOWN: "未知，本副本自 {} 起使用", "unknown; in use here since {}";
    NEXT_RENEWAL: "下次刷新", "Next renewal";
    IN_SPAN: "{}后", "in {}";
    ANY_MOMENT: "即将", "any moment";
    FETCHING: "正在获取，还没有可用的凭证。", "Being fetched; none has arrived yet.";
    FAILING_BECAUSE: "原因", "Reason";
    RETRY_IN: "{}后重试", "retrying in {}";
    WHAT_TO_DO: "如何处理", "What to do";
    CALLS_TODAY: "今天获取 token 的次数（整个集群）", "Token calls today, whole cluster";
    CALLS_OF: "{} / {}", "{} of {}";
    CALLS_UNLIMITED: "{}，不设上限", "{}, no limit set";

    FOREIGN_TITLE: "token 被其他系统作废", "Another system invalidates your token";
    FOREIGN_COUNT: "{} 的 access_token 在过去 7 天里被作废 {} 次，最近一次：{}。", "Invalidations of the access_token of {} in the last 7 days: {}, the last at {}.";
    FOREIGN_WHY: "有系统用同一个 AppSecret 自行获取了 token，使网关的 token 提前失效。网关已更换 token，但双方会不断使对方的 token 失效。", "Another system fetched its own token with the same AppSecret, which invalidated the gateway's. The gateway has obtained a new one, but the two will keep invalidating each other's.";
    FOREIGN_FIND: "找到该系统：对照下面的时间，查看哪个系统当时获取过 token。", "Find it: check which system fetched a token at the times below.";
    FOREIGN_ASK: "让它改用本网关：把基础地址（base URL）改为网关内部监听端口的地址，其余代码不变；并在 internal.clients 里为它配置单独的密钥。", "Point it at wxgate: change only its base URL, to this internal listener's, and give it a secret of its own in internal.clients.";
    FOREIGN_RESET: "无法找到或修改时：在公众平台重置 AppSecret，只提供给 wxgate。", "If it can't be found or changed: reset the AppSecret in WeChat's console and give the new one to wxgate alone.";
    FOREIGN_LOST: "距到期还有 {}", "{} before its end";

    DEPENDENCIES: "依赖的服务", "Dependencies";
    UP: "正常", "up";
    DOWN: "异常", "down";
    QUIET: "空闲", "idle";
    REDIS: "Redis", "Redis";
    MEMORY: "内存存储", "Memory store";
    MEMORY_MORE: "凭证只保存在本进程中；多个副本请使用 Redis。", "Credentials are kept in this process only; use Redis for several replicas.";
    SINCE_SPAN: "已持续 {}", "for {}";
    WECHAT: "微信接口", "WeChat";
    IMAGE_STORE: "图片库", "Image store";
    STORE_LOCAL: "本地目录", "local folder";
    STORE_HTTP: "HTTP 上传服务", "HTTP upload service";
    STORE_S3: "S3", "S3";
    LAST_HOUR: "近一小时：成功 {}，失败 {}", "last hour: {} succeeded, {} failed";
    NOT_CALLED: "近一小时没有调用", "not called in the last hour";

    REPLICAS: "副本", "Replicas";
    REPLICA_OWN: "本副本", "this one";
    REPLICAS_UNREAD: "当前无法列出其他副本：它们的标记在 Redis 中。", "The other replicas can't be listed now: the list is in Redis.";

    TRAFFIC: "流量", "Traffic";
    TRAFFIC_MORE: "本副本启动以来的统计；图表为近一小时内每分钟的次数。", "This replica since it started; the charts are per minute over the last hour.";
    SIGNATURES: "签名", "Signatures";
    UPLOADS: "上传", "Uploads";
    ERRORS: "服务端错误", "Server errors";
    NOT_SIGNED: "{} 次被拒绝（4xx）", "{} refused (4xx)";
    NOT_UPLOADED: "{} 次未成功", "{} did not succeed";
    ERRORS_MORE: "返回 5xx 的请求", "requests answered with 5xx";
    CHART: "{}，近一小时每分钟：峰值 {}，合计 {}", "{} per minute over the last hour: {} at most, {} in all";
    PEAK: "峰值 {}/分", "peak {}/min";
    OUTCOMES: "上传结果", "Upload outcomes";
    NO_UPLOADS: "还没有上传。", "No uploads yet.";
    OUTCOME_STORED: "已存入", "stored";
    OUTCOME_REMEMBERED: "此前已存入", "already stored";
    OUTCOME_JOINED: "合并到进行中的上传", "joined one in progress";
    OUTCOME_REJECTED: "类型或大小不允许", "kind or size not allowed";
    OUTCOME_NOT_FOUND: "serverId 无效或已过期", "serverId invalid or expired";
    OUTCOME_WECHAT: "微信出错", "WeChat failed";
    OUTCOME_UNAVAILABLE: "没有凭证", "no credential";
    OUTCOME_STORE: "图片库出错", "image store failed";
    OUTCOME_OVERLOADED: "并发已满", "too many at once";
    OUTCOME_TIMEOUT: "超时", "timed out";
    OUTCOME_LOST: "内部中断", "lost";

    JOURNAL: "凭证流水", "Journal";
    JOURNAL_MORE: "时间为北京时间，最新的在前。", "Beijing time, newest first.";
    JOURNAL_EMPTY: "还没有记录。", "Nothing has happened yet.";
    JOURNAL_UNREAD: "流水保存在 Redis 中，当前无法读取。", "The journal is in Redis, which can't be read now.";
    TODAY: "今天", "Today";
    EVENT_ISSUED: "获取", "issued";
    EVENT_RENEWED: "刷新", "renewed";
    EVENT_ADOPTED: "接管", "adopted";
    EVENT_HANDED_OUT: "发放", "handed out";
    EVENT_REJECTED: "被微信拒绝", "rejected by WeChat";
    EVENT_FOREIGN: "被其他系统作废", "invalidated by another system";
    EVENT_FAILED: "刷新失败", "renewal failed";
    ADOPTED_MORE: "由其他副本或服务获取", "obtained by another replica or service";
    HANDED_TO: "给 {}", "to {}";
    VALID_FOR: "有效 {}", "for {}";
    REFUSED_WITH: "微信返回 errcode {}", "WeChat answered errcode {}";
    WITH_APP_SECRET: "使用 AppSecret 获取，来自 {}", "with the AppSecret, from {}";
    TIMES: "{} 次，自 {} 起", "{} times since {}";

    OPERATOR: "运维操作", "Operator";
    OPERATOR_MORE: "立即向微信刷新，忽略退避时间。密钥只保留在当前标签页中。", "Renew at WeChat now, ignoring any back-off. The key stays in this tab.";
    OPERATOR_CLOSED: "设置 internal.operator_key 后，可以在这里立即刷新 token 和 ticket。", "Set internal.operator_key to renew tokens and tickets from here.";
    OPERATOR_SCRIPT: "这些按钮需要 JavaScript。", "These buttons need JavaScript.";
    KEY: "运维密钥（internal.operator_key）", "Operator's key (internal.operator_key)";
    FORGET: "清除", "Forget";
    RENEW_TOKEN: "刷新 token", "Renew token now";
    RENEW_TICKET: "刷新 ticket", "Renew ticket now";
    ACTION_WORKING: "进行中…", "Working…";
    ACTION_DONE: "完成", "Done";
    ACTION_UNCHANGED: "微信返回的是同一个凭证，它仍然有效", "WeChat returned the same credential; it is still valid";
    ACTION_WRONG_KEY: "密钥错误", "The key is wrong";
    ACTION_FAILED: "刷新失败", "Renewal failed";
    ACTION_UNREACHABLE: "无法连接网关", "The gateway can't be reached";

    EXPLAIN: "为什么报 invalid signature", "Why invalid signature?";
    EXPLAIN_MORE: "填写页面 URL 和页面传给 wx.config 的值，网关会用当前的 ticket 逐一尝试，找出签名错在哪里；ticket 不会显示。也可以只填写页面 URL 和签名请求的 URL，逐字节比较两者。", "Paste the page's URL and what the page passed to wx.config: the gateway tries the known mistakes with the ticket in use, which is not shown. Or paste only the page's URL and the signing call to have the two compared byte by byte.";
    EXPLAIN_ALONE: "在单独的页面里填写", "Open this form on its own page";
    EXPLAIN_ASK: "查找原因", "Find the mistake";
    FIELD_URL: "页面 URL（地址栏里的完整地址）", "The page's URL, as in the address bar";
    FIELD_NONCE: "随机串 nonceStr", "nonceStr";
    FIELD_TIMESTAMP: "时间戳 timestamp", "timestamp";
    FIELD_SIGNATURE: "签名 signature", "signature";
    FIELD_REQUEST: "签名请求的 URL（浏览器“网络”面板里的 …/wechat/jsSDK?url=…，选填）", "The signing call's URL, as in the browser's network tab: …/wechat/jsSDK?url=… (optional)";
    REQUEST_SAME: "签名请求里的 URL 与页面 URL 逐字节一致", "The signing call asks for the page's own URL, byte for byte";
    REQUEST_DIFFERS: "签名请求里的 URL 与页面 URL 不一致", "The signing call asks for a different URL from the page's";
    REQUEST_REFUSED: "签名请求里的 URL 无法签名", "The URL in the signing call can't be signed";
    REQUEST_SIGNED: "请求里的 URL", "asked for";
    REQUEST_PAGE: "页面 URL", "the page's";
    LIST_COMMA: "、", ", ";
    BACK: "返回控制台", "Back to the console";
    EXPLAIN_UNREADABLE: "无法读取表单，请重新填写。", "The form could not be read: please fill it in again.";
    EXPLAIN_BUSY: "正在查找的签名过多，请稍后重试。", "Too many signatures are being checked: try again in a moment.";
    EXPLAIN_NO_TICKET: "当前没有可用的 ticket，无法比较；原因见控制台。", "No ticket is available to compare with; the console says why.";
    EXPLAIN_RIGHT: "这个 URL 的签名是正确的", "The signature is right for this URL";
    EXPLAIN_STILL: "如果微信仍报 invalid signature：", "If WeChat still says invalid signature:";
    EXPLAIN_FOUND: "已找到原因：签名的内容不正确", "Found: a different string was signed";
    EXPLAIN_NOTHING: "没有已知的错误能得出这个签名", "No known mistake produces this signature";
    EXPLAIN_REMAINING: "其他可能的原因：", "Remaining causes:";
    EXPLAIN_TRIED: "已逐个和两两组合尝试过的错误", "What was tried, alone and in pairs";
    EXPLAIN_SIGNED: "实际内容", "signed";
    EXPLAIN_EXPECTED: "正确内容", "should be";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that are the same in both languages.
    const NAMES: [&str; 4] = ["REDIS", "STORE_S3", "CALLS_OF", "LIST_COMMA"];

    #[test]
    fn every_text_is_there_in_both_languages() {
        let is_chinese = |text: &str| text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        assert!(ALL.len() > 100);
        for (name, text) in ALL {
            assert!(!text.zh.trim().is_empty() && !text.en.trim().is_empty(), "{name}");
            let places = |text: &str| text.matches("{}").count();
            assert_eq!(places(text.zh), places(text.en), "{name}");
            if !NAMES.contains(name) {
                assert!(is_chinese(text.zh), "{name}: {}", text.zh);
            }
        }
    }
}
