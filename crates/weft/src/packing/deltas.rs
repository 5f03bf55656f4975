//! The files of a release as differences from those of earlier ones.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use weft_record::{ChunkMap, Delta, FileEntry, Kind, MeshId, RecordId, codec, seal};

use super::{MODEL_FILE, PackedFile};
use crate::{
    failure::{Exit, Failure},
    output::size,
    pack::Pack,
};

/// A delta, cut and hashed.
pub(super) struct PackedDelta {
    pub(super) delta: Delta,
    pub(super) path: PathBuf,
    pub(super) map: ChunkMap,
}

/// Makes a delta of each file that an earlier release has in the same format, where it is
/// shorter; and says which release the first base is.
pub(super) fn make(
    bases: &[PathBuf],
    packed: &[PackedFile],
    folder: &Path,
    say: &impl Fn(String),
) -> Result<(Vec<PackedDelta>, Option<RecordId>), Failure> {
    let (mut deltas, mut first) = (Vec::<PackedDelta>::new(), None);
    for (number, path) in bases.iter().enumerate() {
        let base = Pack::open(path)?;
        let body = codec::encode(&base.release);
        let id = seal(Kind::Release, MeshId::ZERO, body, &[]).record_id();
        first = first.or(Some(id));
        let mut pairs = 0;
        for file in packed {
            let Some(entry) = model_of(&base, file) else {
                continue;
            };
            pairs += 1;
            let known = |made: &PackedDelta| {
                (made.delta.target, made.delta.base) == (file.entry.blake3, entry.blake3)
            };
            if entry.blake3 == file.entry.blake3 || deltas.iter().any(known) {
                continue;
            }
            let name = &file.quantization;
            say(format!(
                "coding {name} as its difference from {}",
                path.display()
            ));
            let old = folder.join(format!("base-{number}-{name}.gguf"));
            unpack(&base, file, &old)?;
            let out = folder.join(format!("delta-{number}-{name}"));
            let length = encode(&old, &file.path, &out)?;
            let _ = std::fs::remove_file(&old);
            if length >= file.entry.length {
                say(format!("{name} is no shorter as a difference"));
                continue;
            }
            let cut = PackedFile::read(name.clone(), out)?;
            say(format!(
                "{name} takes {} instead of {}",
                size(length),
                size(file.entry.length)
            ));
            deltas.push(PackedDelta {
                delta: Delta {
                    target: file.entry.blake3,
                    base: entry.blake3,
                    length: cut.entry.length,
                    blake3: cut.entry.blake3,
                    chunk_map: cut.entry.chunk_map,
                },
                path: cut.path,
                map: cut.map,
            });
        }
        if pairs == 0 {
            return Err(no_pair(path, &base));
        }
    }
    Ok((deltas, first))
}

fn model_of<'a>(base: &'a Pack, file: &PackedFile) -> Option<&'a FileEntry> {
    let mut variants = base.release.variants.iter();
    let variant = variants.find(|one| one.quantization == file.quantization)?;
    variant.files.iter().find(|entry| entry.path == MODEL_FILE)
}

fn unpack(base: &Pack, file: &PackedFile, path: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::file(format!("{} cannot be written", path.display()), &error)
    };
    let mut out = BufWriter::new(File::create(path).map_err(failed)?);
    base.read_files(
        |variant| variant.quantization == file.quantization,
        |_, entry, bytes| {
            if entry.path == MODEL_FILE {
                out.write_all(bytes).map_err(failed)?;
            }
            Ok(())
        },
    )?;
    out.flush().map_err(failed)
}

fn encode(base: &Path, target: &Path, path: &Path) -> Result<u64, Failure> {
    let failed = |error: std::io::Error| {
        Failure::file(format!("{} cannot be written", path.display()), &error)
    };
    let mut out = BufWriter::new(File::create(path).map_err(failed)?);
    let summary = weft_model::encode_delta(base, target, &mut out).map_err(|error| {
        let what = "the difference from the base cannot be coded";
        Failure::new(Exit::Verification, what, error.to_string(), "")
    })?;
    out.flush().map_err(failed)?;
    Ok(summary.delta_bytes)
}

fn no_pair(path: &Path, base: &Pack) -> Failure {
    let formats: Vec<String> = base
        .release
        .variants
        .iter()
        .map(|variant| variant.quantization.to_string())
        .collect();
    Failure::new(
        Exit::Usage,
        format!("{} is no base of this release", path.display()),
        format!(
            "it holds {}, and the release none of these",
            formats.join(", ")
        ),
        format!("pack with --quantization {}", formats.join(",")),
    )
}
