//! Loading.
/// Placeholder.
pub struct Problem;
/// Placeholder.
pub struct Problems;
/// Placeholder.
pub struct Sources;
