//! What runs together lies together in the binary, and `hot.ld` names what there is.

use std::collections::BTreeSet;
use std::process::Command;

use crate::docs::markdown::read;

/// What `program` says of the binary.
fn told(program: &str, option: &str) -> String {
    let mut command = Command::new(program);
    let output = command.args([option, env!("CARGO_BIN_EXE_wxgate")]).output().unwrap();
    assert!(output.status.success(), "{program}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a name of `functions` fits `pattern`, in which `*` is anything.
fn is_among(functions: &BTreeSet<&str>, pattern: &str) -> bool {
    let first = pattern.split('*').next().unwrap();
    let mut with_first = functions.range(first..).take_while(|name| name.starts_with(first));
    with_first.any(|name| {
        let mut pieces = pattern.split('*');
        let end = pieces.try_fold(*name, |rest, piece| rest.split_once(piece).map(|(_, rest)| rest));
        end.is_some()
    })
}

/// Nothing but speed would be lost, so nothing else would tell of a linker that was told nothing, or of names
/// that other compilers or crates have changed.
#[test]
fn what_runs_together_lies_together() {
    let sections = told("readelf", "--section-headers");
    assert!(
        sections.contains(" .text.hot "),
        "the linker was not given hot.ld (build.rs), or is neither lld nor GNU's"
    );
    let symbols = told("nm", "--defined-only");
    let functions: BTreeSet<&str> = symbols.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    let script = read("hot.ld");
    let named = script
        .lines()
        .filter_map(|line| line.trim().strip_prefix("*(.text.")?.strip_suffix(')'));
    let (there, gone): (Vec<&str>, Vec<&str>) = named.partition(|pattern| is_among(&functions, pattern));
    assert!(
        there.len() >= 9 * gone.len().max(20),
        "scripts/hot writes hot.ld anew; it names what is gone: {gone:#?}"
    );
}
