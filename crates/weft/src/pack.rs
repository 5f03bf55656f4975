//! A packed release, read from its file: what it says, and where its bytes are cut.

use std::{
    collections::BTreeMap,
    fs::File,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use weft_record::{
    ChunkEntry, ChunkMap, Envelope, FileEntry, Hash, Kind, MAX_RECORD_BYTES, Release, Variant,
    bundle::Frame, codec,
};

use crate::{
    bundle_file,
    failure::{Exit, Failure},
};

/// A pack, or a bundle with a release, read from its file.
pub(crate) struct Pack {
    pub(crate) path: PathBuf,
    pub(crate) release: Release,
    /// Of the release, in this file.
    pub(crate) signatures: usize,
    /// By the hash that the release names.
    maps: Vec<(Hash, ChunkMap)>,
}

impl Pack {
    /// Reads and checks the whole file. Of several releases it takes the last one
    /// whose chunk maps it holds.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let (mut releases, mut blobs) = (Vec::new(), BTreeMap::new());
        bundle_file::read(path, |frame| {
            match frame {
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
                    let map = map.map_err(|error| broken(path, &error))?;
                    maps.push((file.chunk_map, map));
                }
            }
            if !maps.is_empty() {
                return Ok(Self {
                    path: path.to_owned(),
                    signatures: envelope.sigs.len(),
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

    /// The chunk map of one of its files.
    pub(crate) fn map(&self, entry: &FileEntry) -> Option<&ChunkMap> {
        let mut maps = self.maps.iter();
        maps.find(|(hash, _)| *hash == entry.chunk_map)
            .map(|(_, map)| map)
    }

    /// The chunks of all files that are here.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &ChunkEntry> {
        self.maps.iter().flat_map(|(_, map)| &map.chunks)
    }

    /// The bytes of all files that are here.
    pub(crate) fn bytes(&self) -> u64 {
        let maps = self.maps.iter();
        maps.map(|(_, map)| map.file_length()).sum()
    }

    /// Reads the files of one variant, or of all, in the order of the release: hands out
    /// each file's path in a slot, and then its bytes chunk by chunk.
    pub(crate) fn read_files(
        &self,
        wanted: impl Fn(&Variant) -> bool,
        mut each: impl FnMut(&Variant, &FileEntry, &[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut places: BTreeMap<Hash, u64> = BTreeMap::new();
        bundle_file::read_places(&self.path, |at, frame| {
            if let Frame::Chunk { hash, .. } = frame {
                places.insert(hash, at);
            }
            Ok(())
        })?;
        let unreadable = |error: &std::io::Error| {
            Failure::file(format!("{} cannot be read", self.path.display()), error)
        };
        let file = File::open(&self.path).map_err(|error| unreadable(&error))?;
        let mut bytes = Vec::new();
        for variant in self.release.variants.iter().filter(|one| wanted(one)) {
            for entry in &variant.files {
                let map = self.maps.iter().find(|(hash, _)| *hash == entry.chunk_map);
                let lacking = || {
                    let what = format!("{} {}", variant.quantization, entry.path);
                    broken(&self.path, &format!("not all of {what} is in it"))
                };
                let (_, map) = map.ok_or_else(lacking)?;
                for chunk in &map.chunks {
                    let at = places.get(&chunk.hash).ok_or_else(lacking)?;
                    bytes.resize(chunk.length as usize, 0);
                    file.read_exact_at(&mut bytes, *at)
                        .map_err(|error| unreadable(&error))?;
                    each(variant, entry, &bytes)?;
                }
            }
        }
        Ok(())
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
