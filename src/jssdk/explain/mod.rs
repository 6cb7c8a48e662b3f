//! Why WeChat says `invalid signature`: which known mistake produces the page's signature.
//!
//! A mistake is data: its name, its explanation, and what it turns the right string into. SHA-1 can't be reversed, so
//! mistakes are found by trial: first each one alone, then pairs.

mod claim;
mod compare;
mod marked;
mod mistakes;
#[cfg(test)]
mod tests;
mod urls;

pub use claim::{CandidateTickets, Claim, Signed};
pub use compare::{Comparison, Difference, compare, refusal};
pub use marked::Marked;
pub use mistakes::{MISTAKES, Mistake, OTHER_CAUSES, REMAINING_CAUSES, cures};

#[derive(Debug)]
pub enum Verdict {
    /// The signature is right for this URL.
    Right,
    /// It is the signature of another string, which known mistakes explain.
    Explained {
        /// One mistake, or two in this order.
        mistakes: Vec<&'static Mistake>,
        /// What was signed.
        signed: Box<Signed>,
    },
    /// No known mistake produces this signature.
    Unexplained,
}

/// Finds out what was signed instead of `claim` with `tickets.current`.
pub fn explain(claim: &Claim, tickets: &CandidateTickets) -> Verdict {
    let right = claim.right(&tickets.current);
    let is_found = |signed: &Signed| signed.signature() == claim.signature;
    if is_found(&right) {
        return Verdict::Right;
    }
    let variants = |mistake: &Mistake, signed: &Signed| mistake.variants(signed, claim, tickets);
    let found = find_mistakes(&right, variants, is_found);
    found.map_or(Verdict::Unexplained, |(mistakes, signed)| Verdict::Explained {
        mistakes,
        signed: Box::new(signed),
    })
}

/// The known mistakes that turn `right` into something that `is_found` accepts, and the result: one mistake if one is enough,
/// otherwise two different ones in the order in which they were made. `variants` returns what a mistake may turn a value into.
fn find_mistakes<T>(
    right: &T,
    variants: impl Fn(&Mistake, &T) -> Vec<T>,
    is_found: impl Fn(&T) -> bool,
) -> Option<(Vec<&'static Mistake>, T)> {
    let all = |from: &T| -> Vec<(&'static Mistake, T)> {
        let of_one = |mistake| variants(mistake, from).into_iter().map(move |made| (mistake, made));
        MISTAKES.iter().flat_map(of_one).collect()
    };
    let mut alone = all(right);
    if let Some(at) = alone.iter().position(|(_, made)| is_found(made)) {
        let (mistake, made) = alone.swap_remove(at);
        return Some((vec![mistake], made));
    }
    alone.iter().find_map(|(first, made)| {
        let mut seconds = all(made).into_iter();
        let (second, made) = seconds.find(|(second, made)| second.name != first.name && is_found(made))?;
        Some((vec![*first, second], made))
    })
}
