//! A packed release as the simulator sees it: the very chunks, without their bytes.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};
use weft_record::{
    ChunkMap, Envelope, Kind, Release,
    bundle::{Decoder, Frame},
    codec,
};
use weft_sim::{VirtualDelta, VirtualRelease};

/// Longest body of a release that is read.
const RELEASE_BYTES: usize = 1 << 20;

/// A file that `weft release pack` wrote.
#[derive(Clone, Debug)]
pub struct PackedRelease {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it.
    pub release: VirtualRelease,
}

impl PackedRelease {
    /// Reads one of a single file.
    pub fn read(path: &Path) -> Result<Self> {
        let (mut record, mut blobs) = (None, Vec::new());
        for frame in frames(path)? {
            match frame {
                Frame::Record(bytes) => {
                    let envelope = Envelope::decode(&bytes)?;
                    if envelope.kind == Kind::Release.number() {
                        record = Some(codec::decode::<Release>(&envelope.body, RELEASE_BYTES)?);
                    }
                }
                Frame::Blob { hash, bytes } => blobs.push((hash, bytes)),
                _ => {}
            }
        }
        let record = record.context("the pack holds no release")?;
        let files = &record.variants.first().context("no variant")?.files;
        ensure!(files.len() == 1, "a release of {} files", files.len());
        let file = &files[0];
        let map = |hash, length| -> Result<Arc<ChunkMap>> {
            let blob = blobs.iter().find(|(other, _)| *other == hash);
            let (_, bytes) = blob.context("the pack lacks the chunk map")?;
            Ok(Arc::new(ChunkMap::decode(bytes, length)?))
        };
        let deltas = record.deltas.iter().map(|delta| {
            Ok(VirtualDelta {
                base: delta.base,
                file: delta.blake3,
                length: delta.length,
                map: map(delta.chunk_map, delta.length)?,
            })
        });
        let release = VirtualRelease {
            version: record.version.clone(),
            file: file.blake3,
            length: file.length,
            map: map(file.chunk_map, file.length)?,
            requires: record.variants[0].requires.clone(),
            deltas: deltas.collect::<Result<_>>()?,
        };
        let path = path.to_owned();
        Ok(Self { path, release })
    }

    /// Bytes of chunks that another release holds too.
    pub fn bytes_shared(&self, other: &Self) -> u64 {
        let chunks = self.release.map.chunks.iter();
        let shared = chunks.filter(|chunk| {
            let mut others = other.release.map.chunks.iter();
            others.any(|other| other.hash == chunk.hash)
        });
        shared.map(|chunk| u64::from(chunk.length)).sum()
    }
}

fn frames(path: &Path) -> Result<Vec<Frame>> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let (mut decoder, mut frames) = (Decoder::new(), Vec::new());
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        let mut rest = &buffer[..read];
        loop {
            while let Some(frame) = decoder.poll()? {
                // the weights themselves are not kept
                if !matches!(frame, Frame::Chunk { .. }) {
                    frames.push(frame);
                }
            }
            let taken = decoder.push(rest);
            rest = &rest[taken..];
            if taken == 0 && rest.is_empty() {
                break;
            }
        }
        if read == 0 {
            decoder.finish()?;
            return Ok(frames);
        }
    }
}
