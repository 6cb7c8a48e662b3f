//! The commands of `wxgate`.

mod address;
mod check;
mod explain;
mod health;
mod sandbox;
mod serve;
mod sign;
mod signal;

use std::io::Write;
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use serde::Serialize;
use tokio::runtime::Builder;

use crate::http;
use crate::http_client;
use crate::settings::{Problems, Settings, Sources};
use crate::telemetry;

/// How long disk operations may continue once everything else has ended.
const LAST_WORK_LIMIT: Duration = Duration::from_secs(1);

/// The gateway between a company's H5 pages and WeChat: it signs pages for `wx.config`, brings photos
/// from WeChat into the company's image store, and keeps the account's one `access_token`.
#[derive(Parser)]
#[command(name = "wxgate", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Arguments of `wxgate` without a command, which serves.
    #[command(flatten)]
    serve: serve::ServeArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway (the default command)
    Serve(serve::ServeArgs),
    /// Run the WeChat sandbox alone, so that other programs can be tested against it
    Sandbox(sandbox::SandboxArgs),
    /// Check everything that the gateway depends on, and say what to do about each failure
    ///
    /// One line each: the settings, Redis (latency, permissions, eviction), WeChat, this host's clock, each
    /// account, the image store. It is safe to run: no token in use is replaced, and it removes what it writes.
    ///
    /// Exit code: 0 if all is well, warnings included; 1 if something failed; 2 if the settings or the
    /// command line are wrong.
    Check(check::CheckArgs),
    /// Sign a page offline and show how, as WeChat's own signature checker does
    Sign(sign::SignArgs),
    /// Say why WeChat answers `invalid signature`: find the mistake that produces this signature
    ///
    /// Tries the known mistakes (fragment kept, encoded once too often, http for https, a slash, share
    /// parameters, another ticket …), alone and in pairs. The ticket is --ticket, or with the gateway's settings
    /// the one that its cluster signs with. No ticket is ever printed.
    ///
    /// With --request, it also says what differs between the URL that the page had signed and the page's own, byte by
    /// byte; the signature may then be left out.
    ///
    /// Exit code: 0 if the signature is right or explained, or the URLs were compared; 1 if no known mistake produces it, or
    /// no ticket is available; 2 if the command line or the settings are wrong.
    Explain(explain::ExplainArgs),
    /// Print the OpenAPI document
    Openapi,
    /// Print the effective settings as TOML, secrets masked
    ///
    /// If they are incomplete or wrong, it prints what there is, then the problems to standard error. The values
    /// of a file that is not valid TOML are left out.
    ///
    /// Exit code: 0 if the settings are complete and right; 2 if not.
    Config(ConfigArgs),
    /// Ask a gateway or a sandbox for its health (for container health checks)
    ///
    /// Exit code: 0 if it answers /healthz; 1 if not; 2 if there is no address to ask.
    Health(health::HealthArgs),
}

/// Where the settings come from.
#[derive(Args)]
struct ConfigArgs {
    /// Settings file (TOML); settings in the environment, `WXGATE__SECTION__KEY`, override it
    #[arg(long, value_name = "FILE", env = "WXGATE_CONFIG", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    fn sources(&self) -> Sources {
        // Compose passes an unset variable as an empty one.
        Sources::of_process(self.config.clone().filter(|path| !path.as_os_str().is_empty()))
    }
}

/// Why a command fails.
#[derive(Debug, thiserror::Error)]
enum CommandFailure {
    /// The settings or the command line are wrong: exit code 2.
    #[error("{0}")]
    Settings(String),
    /// It failed while running: exit code 1.
    #[error("{0}")]
    Running(String),
}

impl From<Problems> for CommandFailure {
    fn from(problems: Problems) -> Self {
        Self::Settings(problems.to_string())
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let end_of_log = FlushLog;
    let outcome = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve::run(&args),
        Command::Sandbox(args) => sandbox::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Sign(args) => print(&sign::run(args)),
        Command::Explain(args) => explain::run(&args),
        Command::Openapi => print_json(&http::openapi()),
        Command::Config(args) => config(&args),
        Command::Health(args) => health::run(&args),
    };
    drop(end_of_log);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // If that fails (`2>&1 | head`), the exit code still tells; `eprintln!` would panic.
            let _ = writeln!(std::io::stderr(), "wxgate: {failure}");
            match failure {
                CommandFailure::Settings(_) => ExitCode::from(2),
                CommandFailure::Running(_) => ExitCode::from(1),
            }
        }
    }
}

/// Writes the rest of the log on drop, also after a panic.
struct FlushLog;

impl Drop for FlushLog {
    fn drop(&mut self) {
        telemetry::flush_log();
    }
}

/// Prints `text` and a newline. A reader that has closed its end (`| head`) is not an error.
fn print(text: &str) -> Result<(), CommandFailure> {
    match writeln!(std::io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CommandFailure::Running(error.to_string())),
        _ => Ok(()),
    }
}

/// Prints `value` as JSON, indented.
fn print_json(value: &impl Serialize) -> Result<(), CommandFailure> {
    let json = serde_json::to_string_pretty(value);
    print(&json.map_err(|error| CommandFailure::Running(error.to_string()))?)
}

fn config(args: &ConfigArgs) -> Result<(), CommandFailure> {
    let partial = Settings::load_partial(&args.sources());
    print(&partial.to_masked_toml())?;
    Ok(partial.problems.map_or_else(|| check_client(&partial.settings), Err)?)
}

/// Whether a client for outgoing connections can be built: the environment's proxies are only read at that point.
fn check_client(settings: &Settings) -> Result<(), Problems> {
    http_client::build(&settings.http_client, settings.wechat.connect_timeout)?;
    Ok(())
}

/// Runs `work` on a runtime until it ends.
///
/// On a single processor, as in most containers, it is tokio's single-threaded runtime: there the multi-threaded one has
/// no threads to balance between, and makes an upload a fifth slower.
fn block_on<T>(work: impl Future<Output = Result<T, CommandFailure>>) -> Result<T, CommandFailure> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut runtime = if processors == 1 {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    let runtime = runtime
        .enable_all()
        // For files and DNS look-ups. Each thread costs memory, and more would not make a disk faster.
        .max_blocking_threads(16)
        .build();
    let runtime = runtime.map_err(|error| CommandFailure::Running(format!("the runtime did not start: {error}")))?;
    let outcome = runtime.block_on(work);
    // A disk that does not answer keeps its threads busy: they must not keep the process alive.
    runtime.shutdown_timeout(LAST_WORK_LIMIT);
    outcome
}
