//! The documents agree with the code: tables, commands, settings. The example page is tested in `tests/browser`.

mod commands;
mod dependencies;
mod house;
mod imports;
pub mod markdown;
mod metrics;
mod recipes;
mod references;
mod tables;
mod workflows;
