//! The command line: arguments in, library called, exit code out.

use std::process::ExitCode;

use wxgate::cli;

/// The system's allocator holds on to memory of bursts and is slower with many small requests.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
