//! The load benchmark: the release binary beside the simplest servers that do the same work, on loopback.
//!
//! `scripts/bench` (or `cargo bench --bench load -- [start] [signing] [uploads]`) runs it. Each server
//! is a process of its own on the first processor; the load, and what the server calls, is on the second.
//! The servers take turns, each turn a new process's. Rates, times and processor time are medians over the rounds,
//! so that the ratios hold on a machine that others use too; memory is the largest of all rounds. The same binary
//! plays the other parts; see [`ROLES`].

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "the references have clients of their own")]
#![allow(clippy::print_stderr, reason = "it shows its progress")]
#![allow(missing_docs, reason = "a benchmark has no public API")]

mod processes;
mod references;
mod report;
mod scenarios;
mod steady;
mod world;
mod wrk;

use std::os::unix::process::CommandExt;

use report::Report;

/// Runs a role with its argument.
type Role = fn(&str);

const PINNED: &str = "BENCH_PINNED";

/// The roles of this binary other than the benchmark: servers that print their address.
const ROLES: [(&str, Role); 5] = [
    ("world", world::run),
    ("constant", references::run_constant),
    ("plain-signing", references::run_plain_signing),
    ("pipe", references::run_pipe),
    ("pipe-once", references::run_pipe_once),
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let Some((_, run)) = args.first().and_then(|name| ROLES.iter().find(|role| role.0 == name)) {
        return run(args.get(1).map_or("", String::as_str));
    }
    if std::env::var_os(PINNED).is_none() {
        // The steady load is made in this process; it must not take the servers' processor.
        let installed = processes::installed(&std::env::current_exe().unwrap(), "load");
        let mut again = processes::pinned(processes::OTHER_CPU, installed);
        panic!("{}", again.args(args).env(PINNED, "1").exec());
    }
    let wanted = |name: &str| args.is_empty() || args.iter().any(|arg| arg == name);
    let mut report = Report::default();
    if wanted("start") {
        scenarios::start(&mut report);
    }
    if wanted("signing") {
        scenarios::signing(&mut report);
    }
    if wanted("uploads") {
        scenarios::uploads(&mut report);
    }
    report.print_and_save();
}
