//! The shelf of a node's folder: records that this folder signed or was handed, and that
//! its node has not taken in, since signatures are still lacking. A record lies here
//! before it is signed, so that one that was signed is never lost.

use std::path::PathBuf;

use weft_node::Home;
use weft_record::{Envelope, Trust};

use super::file::{self, SignedFile};
use crate::failure::Failure;

/// Records kept: as many as a verifier keeps half-signed; the newest stay.
const RECORDS: usize = 64;

/// What lies on the shelf.
pub(crate) fn read(home: &Home) -> Result<Vec<Envelope>, Failure> {
    let path = path(home);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let file = SignedFile::open(&path)?;
    Ok(if file.mesh_id == home.settings().mesh_id {
        file.records
    } else {
        Vec::new()
    })
}

/// Leaves these records on the shelf, and nothing else.
pub(crate) fn write(home: &Home, trust: &Trust, records: &[Envelope]) -> Result<(), Failure> {
    let path = path(home);
    if records.is_empty() {
        return match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::file(path.display().to_string(), &error))
            }
            _ => Ok(()),
        };
    }
    let newest = &records[records.len().saturating_sub(RECORDS)..];
    let empty = Trust::new(trust.mesh_id());
    file::replace(&path, |out| file::write(out, &empty, newest, &[]))
}

fn path(home: &Home) -> PathBuf {
    home.directory().join("waiting.weft")
}
