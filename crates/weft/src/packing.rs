//! Packed releases: an unsigned release and all its bytes in one file, made by
//! `release pack` and signed by `release publish`.
//!
//! The file is a bundle of no mesh with one unsigned record: what a pack holds counts
//! for nothing until an admin of some mesh signs it.

mod deltas;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufReader, Read, Write},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use weft_model::{ModelSource, Quantization};
use weft_record::{
    ChunkMap, FileEntry, Hash, Kind, Lineage, MeshId, Name, NameError, Probe, ProbeLimits,
    ProbeSet, Release, Requires, Variant, codec, seal,
};

use self::deltas::PackedDelta;
use crate::{
    bundle_file::BundleWriter,
    context::quoted,
    failure::{Exit, Failure},
    refusals,
    verbs::bundle::into_new_file,
};

/// The weights' name in every slot.
const MODEL_FILE: &str = "model.gguf";
/// Golden answers end after this many tokens unless the prompt says otherwise: enough
/// to tell one model from another, short enough for a slow node.
const PROBE_TOKENS: u32 = 48;
/// What a model without prompts of its own is asked: any text shows whether it still
/// computes what it computed when it was packed.
const DEFAULT_PROMPTS: [&str; 4] = [
    "Hello",
    "pump 7: pressure low, temperature 81 C",
    "1 2 3 4 5 6",
    "Write one sentence about water.",
];
/// Longest file of prompts that is read.
const PROMPTS_BYTES: u64 = 1024 * 1024;

/// What to pack.
pub(crate) struct Order {
    pub(crate) source: PathBuf,
    pub(crate) name: Name,
    pub(crate) version: String,
    pub(crate) counter: u64,
    /// Empty: a GGUF file as it is, a folder as q8_0.
    pub(crate) quantizations: Vec<Quantization>,
    /// Packs of earlier releases, to make deltas from.
    pub(crate) bases: Vec<PathBuf>,
    pub(crate) prompts: Vec<Prompt>,
    pub(crate) notes: String,
    pub(crate) licence: String,
    pub(crate) out: PathBuf,
}

/// A golden prompt, as a line of a `--probe` file gives it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prompt {
    prompt: String,
    max_tokens: Option<u32>,
}

/// The prompts for a model that comes with none.
pub(crate) fn default_prompts() -> Vec<Prompt> {
    let prompt = |text: &&str| Prompt {
        prompt: (*text).to_owned(),
        max_tokens: None,
    };
    DEFAULT_PROMPTS.iter().map(prompt).collect()
}

/// Reads prompts, one JSON object a line.
pub(crate) fn read_prompts(path: &Path) -> Result<Vec<Prompt>, Failure> {
    let failed = |error: &std::io::Error| {
        Failure::file(
            format!("the prompts in {} cannot be read", path.display()),
            error,
        )
    };
    let mut text = String::new();
    let file = File::open(path).map_err(|error| failed(&error))?;
    let read = file
        .take(PROMPTS_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| failed(&error))?;
    if read as u64 > PROMPTS_BYTES {
        return Err(failed(&std::io::Error::other(format!(
            "longer than {PROMPTS_BYTES} bytes"
        ))));
    }
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|error| {
                Failure::new(
                    Exit::Usage,
                    format!("line {} of {} is no prompt", index + 1, path.display()),
                    error.to_string(),
                    "write lines like {\"prompt\": \"…\", \"max_tokens\": 48}",
                )
            })
        })
        .collect()
}

/// Packs a model; `say` hears what is being done.
pub(crate) fn pack(order: &Order, say: impl Fn(String)) -> Result<Release, Failure> {
    let source =
        ModelSource::open(&order.source).map_err(|error| refusals::model(&order.source, &error))?;
    let beside = match order.out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // refuse before the work, not after it
    if order.out.exists() {
        let error = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(Failure::file(
            format!("{} was not written", order.out.display()),
            &error,
        ));
    }
    check_words(order)?;
    let folder = crate::signing::scratch(beside)?;
    let mut packed = Vec::new();
    for variant in variants(&source, order) {
        let (name, path) = match variant {
            Some(quantization) => {
                let name = quantization.to_string().to_lowercase();
                say(format!("quantizing to {name}"));
                let path = folder.path().join(format!("{name}.gguf"));
                weft_model::quantize(&source, quantization, &path)
                    .map_err(|error| refusals::quantize(&order.source, &error))?;
                (name, path)
            }
            None => (own_name(&source, &order.source)?, order.source.clone()),
        };
        say(format!("cutting and hashing {name}"));
        packed.push(PackedFile::read(named(&name)?, path)?);
    }
    packed.sort_by(|a, b| a.quantization.cmp(&b.quantization));
    let (deltas, base) = deltas::make(&order.bases, &packed, folder.path(), &say)?;
    let mut release = describe(order, &packed, &say)?;
    release.base = base;
    release.deltas = deltas.iter().map(|made| made.delta.clone()).collect();
    release.sort();
    release.check().map_err(|error| no_release(&error))?;
    say(format!("writing {}", order.out.display()));
    into_new_file(&order.out, |out| write(out, &release, &packed, &deltas))?;
    Ok(release)
}

/// Holds what the user wrote against the rules of a release, before the long work.
fn check_words(order: &Order) -> Result<(), Failure> {
    let placeholder = FileEntry {
        path: MODEL_FILE.to_owned(),
        length: 1,
        blake3: Hash::ZERO,
        chunk_map: Hash::ZERO,
    };
    let variant = Variant {
        quantization: named("any")?,
        files: vec![placeholder],
        requires: Requires::default(),
    };
    let mut probes = probes(order);
    for probe in &mut probes {
        probe.expected.push(Vec::new());
    }
    let draft = draft(
        order,
        vec![variant],
        ProbeSet {
            probes,
            limits: ProbeLimits::default(),
        },
    );
    draft.check().map_err(|error| no_release(&error))
}

fn no_release(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Exit::Usage,
        "this cannot be a release",
        error.to_string(),
        "weft release pack --help",
    )
}

/// What to make: `None` is the GGUF file as it is.
fn variants(source: &ModelSource, order: &Order) -> Vec<Option<Quantization>> {
    if order.quantizations.is_empty() {
        return vec![if source.path().is_dir() {
            Some(Quantization::Q8_0)
        } else {
            None
        }];
    }
    let mut seen = BTreeSet::new();
    let wanted = order
        .quantizations
        .iter()
        .filter(|one| seen.insert(one.to_string()));
    wanted.map(|one| Some(*one)).collect()
}

/// The name of the format that most of a GGUF file's bytes are in.
fn own_name(source: &ModelSource, path: &Path) -> Result<String, Failure> {
    let mut bytes = BTreeMap::<String, usize>::new();
    for name in source.tensor_names() {
        let tensor = source.tensor(name).map_err(|error| {
            let what = format!("{} cannot be read", path.display());
            Failure::new(Exit::Verification, what, error.to_string(), "")
        })?;
        *bytes
            .entry(tensor.dtype.to_string().to_lowercase())
            .or_default() += tensor.bytes.len();
    }
    let most = bytes.into_iter().max_by_key(|(_, bytes)| *bytes);
    Ok(most.map_or_else(|| "gguf".to_owned(), |(name, _)| name))
}

fn named(text: &str) -> Result<Name, Failure> {
    text.parse().map_err(|error: NameError| {
        Failure::new(
            Exit::Usage,
            format!("`{text}` cannot be used as a name"),
            error.to_string(),
            "",
        )
    })
}

/// A variant's file, cut and hashed.
struct PackedFile {
    quantization: Name,
    path: PathBuf,
    entry: FileEntry,
    map: ChunkMap,
}

impl PackedFile {
    fn read(quantization: Name, path: PathBuf) -> Result<Self, Failure> {
        let failed = |error: &std::io::Error| {
            Failure::file(format!("{} cannot be read", path.display()), error)
        };
        let map = weft_model::chunk_map(&path).map_err(|error| {
            let what = format!("{} cannot be cut into chunks", path.display());
            Failure::new(Exit::Verification, what, error.to_string(), "")
        })?;
        let mut hasher = blake3::Hasher::new();
        let mut file = File::open(&path).map_err(|error| failed(&error))?;
        let length = std::io::copy(&mut file, &mut hasher).map_err(|error| failed(&error))?;
        let entry = FileEntry {
            path: MODEL_FILE.to_owned(),
            length,
            blake3: Hash(*hasher.finalize().as_bytes()),
            chunk_map: Hash::of(&map.encode()),
        };
        Ok(Self {
            quantization,
            path,
            entry,
            map,
        })
    }
}

/// The release's record: files, needs, and the golden answers measured here.
fn describe(
    order: &Order,
    packed: &[PackedFile],
    say: &impl Fn(String),
) -> Result<Release, Failure> {
    let mut probes = probes(order);
    let mut variants = Vec::new();
    for file in packed {
        let mut ram_bytes = file.entry.length;
        if !probes.is_empty() {
            say(format!("asking {} the golden prompts", file.quantization));
            let measured = weft_node::measure_probes(&file.path, &probes).map_err(|reason| {
                Failure::new(
                    Exit::Verification,
                    format!(
                        "{} cannot answer its golden prompts",
                        order.source.display()
                    ),
                    reason,
                    format!(
                        "weft model inspect {}   (or pack with --no-probe)",
                        quoted(&order.source)
                    ),
                )
            })?;
            if measured.answers.len() != probes.len() {
                return Err(Failure::new(
                    Exit::Verification,
                    format!("{} is not packed", order.source.display()),
                    "the model computes something that is not a number",
                    format!("weft model inspect {}", quoted(&order.source)),
                ));
            }
            ram_bytes = ram_bytes.max(measured.peak_memory_bytes);
            for (probe, answer) in probes.iter_mut().zip(measured.answers) {
                probe.expected.push(answer);
            }
        }
        variants.push(Variant {
            quantization: file.quantization.clone(),
            files: vec![file.entry.clone()],
            requires: Requires {
                ram_bytes,
                disk_bytes: file.entry.length,
                ..Requires::default()
            },
        });
    }
    let limits = ProbeLimits {
        // greedy answers of the same bytes are the same, or something is broken
        min_match_bp: if probes.is_empty() { 0 } else { 10_000 },
        ..ProbeLimits::default()
    };
    Ok(draft(order, variants, ProbeSet { probes, limits }))
}

/// The golden prompts, their answers not yet known.
fn probes(order: &Order) -> Vec<Probe> {
    let prompts = order.prompts.iter().map(|prompt| Probe {
        prompt: prompt.prompt.clone(),
        max_tokens: prompt.max_tokens.unwrap_or(PROBE_TOKENS),
        expected: Vec::new(),
    });
    prompts.collect()
}

fn draft(order: &Order, variants: Vec<Variant>, probe_set: ProbeSet) -> Release {
    Release {
        model: order.name.clone(),
        version: order.version.clone(),
        counter: order.counter,
        variants,
        tokenizer: None,
        template: None,
        base: None,
        probe_set,
        lineage: Lineage::default(),
        notes: order.notes.clone(),
        licence: order.licence.clone(),
        deltas: Vec::new(),
    }
}

fn write(
    out: &mut dyn Write,
    release: &Release,
    packed: &[PackedFile],
    deltas: &[PackedDelta],
) -> Result<(), Failure> {
    let mut writer = BundleWriter::begin(out, MeshId::ZERO)?;
    writer.record(&seal(Kind::Release, MeshId::ZERO, codec::encode(release), &[]).encode())?;
    let files = packed.iter().map(|packed| (&packed.path, &packed.map));
    for (path, map) in files.chain(deltas.iter().map(|made| (&made.path, &made.map))) {
        let failed = |error: std::io::Error| {
            Failure::file(format!("{} cannot be read", path.display()), &error)
        };
        writer.blob(&map.encode())?;
        let mut file = BufReader::new(File::open(path).map_err(failed)?);
        let mut bytes = Vec::new();
        for chunk in &map.chunks {
            bytes.resize(chunk.length as usize, 0);
            file.read_exact(&mut bytes).map_err(failed)?;
            writer.chunk(&bytes)?;
        }
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn prompts_are_lines_of_json() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.jsonl");
        std::fs::write(
            &path,
            "{\"prompt\":\"a\"}\n\n{\"prompt\":\"b\",\"max_tokens\":3}\n",
        )
        .unwrap();
        let prompts = read_prompts(&path).unwrap();
        assert_eq!(prompts.len(), 2);
        assert_eq!(prompts[1].max_tokens, Some(3));
        std::fs::write(&path, "{\"prompt\":\"a\"}\n{\"promt\":\"b\"}\n").unwrap();
        let failure = read_prompts(&path).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(
            failure
                .text(crate::style::Style::plain())
                .contains("line 2")
        );
        assert_eq!(
            read_prompts(&folder.path().join("none")).unwrap_err().exit,
            Exit::NotFound
        );
    }
}
