//! The command line: arguments in, library called, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    wxgate::allocator::fix_thresholds();
    wxgate::cli::main()
}
