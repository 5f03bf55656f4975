//! What a site has already, as a list that travels: who writes a bundle for it leaves that
//! out.

use weft_core::{Disk, Outcome};
use weft_record::{ChunkMap, MeshId, Release, Trust};
use weft_store::Store;

use super::{ExportError, export::Opened};
use crate::{
    home::Home,
    report::{SCHEMA, WantsReport},
};

/// What to list.
pub(crate) enum WantsPlan {
    /// What this node has.
    Here(MeshId),
    /// What a node that runs one of these releases has.
    Of(MeshId, Vec<Release>),
}

/// Chooses what to list: what is here or, with a version, what a site that runs it has.
pub(crate) fn plan_wants(trust: &Trust, version: Option<&str>) -> Result<WantsPlan, ExportError> {
    let mesh_id = trust.mesh_id();
    let Some(version) = version else {
        return Ok(WantsPlan::Here(mesh_id));
    };
    let named = trust
        .releases()
        .filter(|release| release.version == version);
    let named: Vec<Release> = named.map(|release| (**release).clone()).collect();
    if named.is_empty() {
        return Err(ExportError::NoSuchRelease(version.to_owned()));
    }
    Ok(WantsPlan::Of(mesh_id, named))
}

/// Reads the list. Blocks.
pub(crate) fn wants(plan: WantsPlan, store: &Store) -> WantsReport {
    let (mesh_id, mut files, mut chunks) = match plan {
        WantsPlan::Here(mesh_id) => {
            let held = store.content();
            (mesh_id, held.files, held.chunks)
        }
        WantsPlan::Of(mesh_id, releases) => {
            let (mut files, mut chunks) = (Vec::new(), Vec::new());
            for file in releases.iter().flat_map(Release::files) {
                files.push(file.blake3);
                // without its chunk map, what of it is in another file cannot be told
                if let Outcome::Blob(Some(map)) = store.execute(Disk::ReadBlob(file.chunk_map))
                    && let Ok(map) = ChunkMap::decode(&map, file.length)
                {
                    chunks.extend(map.chunks.iter().map(|chunk| chunk.hash));
                }
            }
            (mesh_id, files, chunks)
        }
    };
    for hashes in [&mut files, &mut chunks] {
        hashes.sort_unstable();
        hashes.dedup();
    }
    WantsReport {
        schema: SCHEMA,
        mesh_id,
        files,
        chunks,
    }
}

/// The list of a node that does not run.
pub(crate) fn wants_from_store(
    home: &Home,
    version: Option<&str>,
) -> Result<WantsReport, ExportError> {
    let opened = Opened::of(home).map_err(|error| ExportError::Node(Box::new(error)))?;
    let Opened { store, node, .. } = opened;
    Ok(wants(plan_wants(node.trust(), version)?, &store))
}
