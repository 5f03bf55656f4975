//! Ed25519 keys: make, sign, verify strictly; with feature `files` also keep
//! them in PEM files that only their owner can read.
//!
//! It is not a place for records or trust: who may sign what is decided by
//! `weft-record`.

pub mod domain;
#[cfg(feature = "files")]
mod files;
mod hex;
mod public;
mod secret;
mod signature;

#[cfg(feature = "files")]
pub use files::{KeyFileError, load_public, load_secret, save_public, save_secret};
pub use public::{KeyError, PublicKey};
pub use secret::SecretKey;
pub use signature::Signature;
