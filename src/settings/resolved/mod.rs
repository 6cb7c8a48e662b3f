//! The sections that come in several kinds, as the program gets them: only the kind that is chosen, its values
//! checked and parsed. Loading makes them; code that uses them has nothing left to check.

pub(super) mod auth;
pub(super) mod image_store;
pub(super) mod tls;

pub use auth::{Auth, JwtKeys};
pub use image_store::{HttpStore, ImageStore, S3Store};
pub use tls::{TlsFiles, TlsPem};

use super::sections::LocalStore;

/// The resolved sections, with secrets in types that print them.
#[derive(Clone)]
pub struct Resolved {
    /// Where pictures go.
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
