//! The documents say what the code does: their tables, commands and settings. The page that they show is opened in `tests/browser`.

mod commands;
mod dependencies;
mod house;
mod imports;
pub mod markdown;
mod recipes;
mod references;
mod tables;
mod workflows;
