//! The command line: arguments in, library called, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    wxgate::cli::main()
}
