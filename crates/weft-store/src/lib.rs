//! What a node keeps on its disk: records, blobs, files of models, slots.
//!
//! [`Store`] carries out the core's [`weft_core::Disk`] operations and answers
//! each with a [`weft_core::Outcome`]. It computes digests and never judges them
//! towards the core. It knows no network and starts no fetch. The layout is
//! drawn in `docs/store.md`.

mod bitmap;
mod deltas;
mod entries;
mod error;
mod files;
mod garbage;
mod layout;
mod meta;
mod real;
mod room;
mod sled_meta;
mod slots;
mod store;
mod vfs;

pub use error::{OpenError, StoreError};
pub use garbage::Collected;
pub use meta::{Batch, Meta, MetaError, Pair};
pub use real::RealVfs;
pub use room::Room;
pub use sled_meta::SledMeta;
pub use store::{FORMAT, HeldContent, RESERVE_BYTES, Store, Usage};
pub use vfs::{DirEntry, Lock, LockError, SyncPoint, Vfs, VfsFile};
