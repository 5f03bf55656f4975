//! A packed release, read from its file: what it says, and where its bytes are cut.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use weft_record::{
    ChunkEntry, ChunkMap, Envelope, Kind, MAX_RECORD_BYTES, MeshId, Release, bundle::Frame, codec,
};

use crate::{
    bundle_file::{self, BundleWriter},
    failure::{Exit, Failure},
    verbs::bundle::into_new_file,
};

/// A pack, or a bundle with a release, read from its file.
pub(crate) struct Pack {
    pub(crate) path: PathBuf,
    pub(crate) release: Release,
    /// Of the release, in this file.
    pub(crate) signatures: usize,
    mesh_id: MeshId,
    maps: Vec<ChunkMap>,
}

impl Pack {
    /// Reads and checks the whole file. Of several releases it takes the last one
    /// whose chunk maps it holds.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let (mut mesh, mut releases, mut blobs) = (MeshId::ZERO, Vec::new(), BTreeMap::new());
        bundle_file::read(path, |frame| {
            match frame {
                Frame::Header { mesh_id } => mesh = mesh_id,
                Frame::Record(bytes) => {
                    let envelope = Envelope::decode(&bytes);
                    let envelope = envelope.map_err(|error| broken(path, &error))?;
                    if envelope.kind == Kind::Release.number() {
                        // only the newest ones matter; older ones of a long history go
                        if releases.len() == RELEASES {
                            releases.remove(0);
                        }
                        releases.push(envelope);
                    }
                }
                Frame::Blob { hash, bytes } if blobs.len() < BLOBS => {
                    blobs.insert(hash, bytes);
                }
                _ => {}
            }
            Ok(())
        })?;
        for envelope in releases.iter().rev() {
            let release: Release = codec::decode(&envelope.body, MAX_RECORD_BYTES)
                .map_err(|error| broken(path, &error))?;
            release.check().map_err(|error| broken(path, &error))?;
            let files = release.variants.iter().flat_map(|variant| &variant.files);
            let mut maps = Vec::new();
            for file in files {
                if let Some(bytes) = blobs.get(&file.chunk_map) {
                    let map = ChunkMap::decode(bytes, file.length);
                    maps.push(map.map_err(|error| broken(path, &error))?);
                }
            }
            if !maps.is_empty() {
                return Ok(Self {
                    path: path.to_owned(),
                    signatures: envelope.sigs.len(),
                    mesh_id: mesh,
                    release,
                    maps,
                });
            }
        }
        Err(Failure::new(
            Exit::Verification,
            format!("{} holds no release", path.display()),
            "no release in it comes with its chunk map",
            "weft release pack …",
        ))
    }

    /// The mesh that it is signed for, if it is.
    pub(crate) fn mesh_id(&self) -> Option<MeshId> {
        (self.mesh_id != MeshId::ZERO).then_some(self.mesh_id)
    }

    /// The chunks of all files that are here.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &ChunkEntry> {
        self.maps.iter().flat_map(|map| &map.chunks)
    }

    /// The bytes of all files that are here.
    pub(crate) fn bytes(&self) -> u64 {
        self.maps.iter().map(ChunkMap::file_length).sum()
    }

    /// Writes the same content under other records, those of a mesh.
    pub(crate) fn write_signed(
        &self,
        path: &Path,
        mesh_id: MeshId,
        records: &[Vec<u8>],
    ) -> Result<(), Failure> {
        into_new_file(path, |out| {
            let mut writer = BundleWriter::begin(out, mesh_id)?;
            records
                .iter()
                .try_for_each(|record| writer.record(record))?;
            bundle_file::read(&self.path, |frame| match frame {
                Frame::Blob { bytes, .. } => writer.blob(&bytes),
                Frame::Chunk { bytes, .. } => writer.chunk(&bytes),
                _ => Ok(()),
            })?;
            writer.finish()
        })
    }
}

fn broken(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Exit::Verification,
        format!("{} cannot be used", path.display()),
        error.to_string(),
        "get the file again, from where it came",
    )
}

/// Releases looked at in one bundle: the one that matters is the last.
const RELEASES: usize = 64;
/// Chunk maps kept of one bundle: those of the largest release.
const BLOBS: usize = 1024;
