//! The program. Everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    wxgate::allocator::fix_thresholds();
    wxgate::cli::main()
}
