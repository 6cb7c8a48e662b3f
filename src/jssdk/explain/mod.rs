//! Why WeChat says `invalid signature`: which of the known mistakes gives the signature that the page has.
//!
//! A mistake is data: its name, what to say about it, and what it makes of the right string. SHA-1 can't be reversed, so
//! the mistakes that fit are found by trying.

mod causes;
mod claim;
mod compare;
mod escapes;
mod marked;
mod mistakes;
mod search;
mod signed;
#[cfg(test)]
mod tests;
mod urls;

pub use causes::{OTHER_CAUSES, REMAINING_CAUSES};
pub use claim::{Claim, ClaimProblem, Tickets};
pub use compare::{Comparison, Difference, compare, refusal};
pub use marked::Marked;
pub use mistakes::{MISTAKES, Mistake};
pub use search::{Verdict, explain};
pub use signed::Signed;
