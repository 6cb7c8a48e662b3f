//! The client's JavaScript is compiled from its TypeScript.

use tokio::process::Command;

use crate::support::packages::{INSTALLATION, npm, run, sources};

#[tokio::test]
async fn client_script_is_compiled_from_the_typescript() {
    let installed = npm("h5").await;
    let client = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/h5");
    for (file, from) in [
        ("tsconfig.json", sources("h5").join("tsconfig.json")),
        ("usage.ts", sources("h5").join("usage.ts")),
        ("wxgate.ts", format!("{client}/wxgate.ts").into()),
    ] {
        std::fs::copy(from, installed.join(file)).unwrap();
    }
    let mut compiler = Command::new("node");
    compiler
        .args(["node_modules/typescript/bin/tsc", "--outDir", "compiled"])
        .current_dir(&installed);
    run(INSTALLATION, "the client does not compile", &mut compiler).await;
    let made = installed.join("compiled/wxgate.js");
    let is = std::fs::read_to_string(format!("{client}/wxgate.js")).unwrap();
    assert!(
        is == std::fs::read_to_string(&made).unwrap(),
        "examples/h5/wxgate.js is not made from wxgate.ts: cp {} examples/h5/",
        made.display()
    );
}
