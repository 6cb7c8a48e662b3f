//! The documents say what the code does: their tables, commands, settings and the page that they show.

mod commands;
mod dependencies;
mod house;
pub mod markdown;
mod page;
mod tables;
