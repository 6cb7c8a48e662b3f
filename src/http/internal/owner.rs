//! Whose a token is that comes back.

use super::state::Internal;
use crate::credentials::Ours;
use crate::directory::Account;
use crate::secret::Secret;

impl Internal {
    /// The account that `token` belongs to, if any replica uses it, or handed it out and the life that was promised
    /// with it is not over. What this replica knows comes first, so that the current token of no account costs a look
    /// at the shared store.
    pub(super) async fn owner_of(&self, token: &Secret) -> Option<(&Account, Ours)> {
        let accounts = || self.api.directory.all();
        let here = accounts().find_map(|account| Some((account, account.credentials.recognise_here(token)?)));
        if here.is_some() {
            return here;
        }
        for account in accounts() {
            if let Some(ours) = account.credentials.recognise_elsewhere(token).await {
                return Some((account, ours));
            }
        }
        None
    }
}
