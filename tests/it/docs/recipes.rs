//! The documents' examples of calls without a token, run as they are shown.

use std::time::Duration;

use tokio::process::Command;
use wxgate::sandbox::Api;

use super::markdown::Document;
use crate::support::Gateway;
use crate::support::packages::run;

const SECRET: &str = "the-crm-knows-this-one";

/// The longest that an example may take; Java compiles its own first.
const LIMIT: Duration = Duration::from_mins(1);

#[tokio::test]
async fn calls_without_a_token_work_as_documented() {
    let client = format!("[[internal.clients]]\nname = \"crm\"\nsecret = \"{SECRET}\"\n");
    let gateway = Gateway::builder().file(&client).start().await;
    let directory = tempfile::tempdir().unwrap();
    let mut sent = 0;
    for document in Document::both("sdks") {
        for (language, name, program) in [
            ("bash", "send.sh", "bash"),
            ("js", "send.mjs", "node"),
            ("python", "send.py", "python3"),
            ("java", "Send.java", "java"),
        ] {
            let example = document.blocks_in(language).remove(0);
            let example = example.replace("wxgate.internal:9090", &gateway.internal.to_string());
            let file = directory.path().join(name);
            std::fs::write(&file, example).unwrap();
            let mut command = Command::new(program);
            command
                .arg(file)
                .env("WXGATE_SECRET", SECRET)
                .env("NO_PROXY", "127.0.0.1")
                .env_remove("http_proxy");
            let said = run(LIMIT, &format!("{name} of {} failed", document.name), &mut command).await;
            assert!(said.contains("{\"errcode\":0,\"errmsg\":\"ok\"}"), "{name}: {said}");
            sent += 1;
            assert_eq!(gateway.wechat.sandbox.calls(Api::CustomSend), sent, "{name}");
        }
    }
}
