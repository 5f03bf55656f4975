//! Ed25519 keys: make, sign, verify strictly; with feature `files` also keep
//! them in PEM files that only their owner can read.
//!
//! It is not a place for records or trust: who may sign what is decided by
//! `weft-record`.

pub mod domain;
#[cfg(feature = "files")]
mod files;
#[cfg(feature = "files")]
mod guard;
mod hex;
#[cfg(feature = "files")]
mod invitations;
#[cfg(feature = "files")]
mod ledger;
#[cfg(feature = "files")]
mod openssh;
#[cfg(feature = "files")]
mod passphrase;
mod public;
mod secret;
#[cfg(feature = "files")]
mod secret_file;
mod signature;
#[cfg(feature = "files")]
pub mod sshsig;

#[cfg(feature = "files")]
pub use files::{
    KeyFileError, SecretFile, load_public, load_secret, public_pem, save_encrypted, save_public,
    save_secret,
};
#[cfg(feature = "files")]
pub use guard::{Guard, GuardError, MAX_PROMISES, Place, Series};
#[cfg(feature = "files")]
pub use invitations::{
    InvitationId, Invitations, InvitationsError, IssuedInvitation, MAX_INVITATIONS, MAX_ISSUE_BYTES,
};
#[cfg(feature = "files")]
pub use ledger::LedgerError;
#[cfg(feature = "files")]
pub use openssh::{OpensshError, allowed_signer_line, parse_public, public_line};
#[cfg(feature = "files")]
pub use passphrase::{Passphrase, PassphraseError};
pub use public::{KeyError, PublicKey};
pub use secret::SecretKey;
pub use signature::Signature;
