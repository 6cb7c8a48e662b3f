//! What causes a renewal.

/// What caused a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trigger {
    /// There is no credential.
    Missing,
    /// Its end is near.
    Expiring,
    /// A ticket about which WeChat was not asked for `ticket_max_age`.
    Aged,
    /// WeChat rejected the one before.
    Rejected,
    /// A token call went unanswered, so the token may have been replaced.
    Unanswered,
    /// An operator wants it.
    Operator,
}

impl Trigger {
    /// Its name in metrics, the journal and traces.
    pub(super) fn label(self) -> &'static str {
        match self {
            Trigger::Missing => "missing",
            Trigger::Expiring => "expiring",
            Trigger::Aged => "aged",
            Trigger::Rejected => "rejected",
            Trigger::Unanswered => "in_doubt",
            Trigger::Operator => "operator",
        }
    }
}
