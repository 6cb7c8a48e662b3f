//! Has the linker put the functions that signatures and uploads run through side by side; see `hot.ld`.

use std::env::var;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=hot.ld");
    if takes_scripts() {
        let root = var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo:rustc-link-arg-bins=-Wl,-T,{root}/hot.ld");
    }
}

/// Whether the linker reads GNU's scripts: lld and GNU's own do, which rustc uses on Linux unless it is told otherwise.
fn takes_scripts() -> bool {
    let told = var("RUSTC_LINKER").is_ok() || var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("link"));
    !told && var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux")
}
