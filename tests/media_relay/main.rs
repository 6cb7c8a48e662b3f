//! The relay between WeChat and the image store, over a WeChat and a store that do as they are told.

mod checks;
mod failures;
mod fakes;
mod once;
