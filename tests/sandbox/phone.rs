//! The phone's side.
