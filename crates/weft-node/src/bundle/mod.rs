//! Bundles: releases as files. A bundle that is taken in acts as one more peer
//! of the core, so that a stick passes the same checks as a neighbour.

mod contents;
mod error;
mod export;
mod import;
mod index;
mod peer;
mod pipe;
mod wants;

pub use error::{ExportError, ImportError};
use export::all_files;
pub(crate) use export::{Opened, all_records, export_from_store, plan_export, stream};
pub(crate) use import::{Import, Reply, Source, Surroundings};
pub(crate) use index::OpenBundle;
pub(crate) use peer::FromBundle;
pub(crate) use pipe::{Pieces, PipeBundle};
pub(crate) use wants::{plan_wants, wants, wants_from_store};
