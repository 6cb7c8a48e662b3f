//! `wxgate check`: checks everything that the gateway depends on.

use clap::Args;

use super::{CommandFailure, ConfigArgs, block_on, check_client, print, print_json};
use crate::check::{self, CheckState, Finding, name_some};
use crate::http::serve::raise_open_files;
use crate::settings::Settings;

#[derive(Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
    /// Post a tiny picture to an upload service too; it stays there
    #[arg(long)]
    upload: bool,
}

pub(super) fn run(args: &CheckArgs) -> Result<(), CommandFailure> {
    let loaded = Settings::load(&args.config.sources());
    let settings = match loaded.and_then(|settings| check_client(&settings).map(|()| settings)) {
        Ok(settings) => settings,
        Err(problems) => {
            if args.json {
                print_json(&check::refused(&problems))?;
            }
            return Err(problems.into());
        }
    };
    raise_open_files();
    let report = block_on(async { Ok(check::run(&settings, args.upload).await) })?;
    if args.json {
        print_json(&report)?;
    } else {
        print(&report.to_string())?;
    }
    let failed: Vec<String> = report.in_state(CheckState::Failed).map(Finding::subject).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(CommandFailure::Running(format!(
        "the check has failed: {}",
        name_some(&failed)
    )))
}
