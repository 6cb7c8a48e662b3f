//! The sections with several kinds, as the program uses them: only the chosen kind, with its values checked and parsed.
//! The loader makes them; code that uses them has nothing left to check.

pub(super) mod auth;
pub(super) mod image_store;
pub(super) mod tls;

pub use auth::{Auth, JwtKeys};
pub use image_store::{HttpStore, ImageStore, S3Store};
pub use tls::{TlsFiles, TlsPem};

use super::sections::LocalStore;

/// The resolved sections. Not `Debug`, since some of their types would print secrets.
#[derive(Clone)]
pub struct Resolved {
    /// Where pictures are stored.
    pub image_store: ImageStore,
    /// Who may use the upload route.
    pub auth: Auth,
    /// The certificate of the internal listener, if it speaks TLS.
    pub internal_tls: Option<TlsFiles>,
}

/// What the default settings resolve to.
impl Default for Resolved {
    fn default() -> Self {
        Self {
            image_store: ImageStore::Local(LocalStore::default()),
            auth: Auth::None,
            internal_tls: None,
        }
    }
}
