//! Other ways to an update: chunks by their content, and programs that code one file as its
//! difference from another.

use std::{
    collections::HashSet,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use fastcdc::v2020::FastCDC;
use weft_model::chunk_map;

use super::{TIMED_BYTES, thread_cpu_s};
use crate::shell;

/// A file as its difference from another.
pub(super) struct Coded {
    pub(super) bytes: u64,
    /// Processor time.
    pub(super) encode_s: f64,
    /// Nothing where decoding is copying.
    pub(super) decode_s: Option<f64>,
}

pub(super) enum Outcome {
    Coded(Coded),
    NotRun(String),
}

/// Least, average and most bytes of a chunk; the first are those of Xet.
const CHUNKINGS: [(&str, [usize; 3]); 2] = [
    ("FastCDC-64K", [8 << 10, 64 << 10, 128 << 10]),
    ("FastCDC-256K", [64 << 10, 256 << 10, 1 << 20]),
];

/// How a program is called. The words `BASE`, `TARGET`, `DELTA` and `MADE` stand for the files.
struct Program {
    name: &'static str,
    encode: &'static [&'static str],
    decode: &'static [&'static str],
}

const PROGRAMS: [Program; 3] = [
    Program {
        name: "zstd --patch-from",
        encode: &[
            "zstd",
            "--single-thread",
            "-19",
            "--long=28",
            "--zstd=targetLength=4096",
            "-q",
            "-f",
            "--patch-from=BASE",
            "TARGET",
            "-o",
            "DELTA",
        ],
        decode: &[
            "zstd",
            "-d",
            "--long=28",
            "-q",
            "-f",
            "--patch-from=BASE",
            "DELTA",
            "-o",
            "MADE",
        ],
    },
    Program {
        name: "xdelta3",
        encode: &[
            "xdelta3",
            "-e",
            "-q",
            "-f",
            "-9",
            "-S",
            "lzma",
            "-B",
            "268435456",
            "-s",
            "BASE",
            "TARGET",
            "DELTA",
        ],
        decode: &[
            "xdelta3",
            "-d",
            "-q",
            "-f",
            "-B",
            "268435456",
            "-s",
            "BASE",
            "DELTA",
            "MADE",
        ],
    },
    Program {
        name: "bsdiff",
        encode: &["bsdiff", "BASE", "TARGET", "DELTA"],
        decode: &["bspatch", "BASE", "MADE", "DELTA"],
    },
];

/// A program that takes longer for one file is ended.
const LIMIT_S: &str = "900";
/// What `timeout` says then.
const TIMED_OUT: i32 = 124;
/// The kernel counts in hundredths of a second: a decoder runs so often.
const DECODE_ROUNDS: u32 = 3;

pub(super) fn all(base: &Path, target: &Path, dir: &Path) -> Result<Vec<(&'static str, Outcome)>> {
    let mut outcomes = Vec::new();
    for (name, sizes) in CHUNKINGS {
        let coded = by_content(base, target, sizes)?;
        outcomes.push((name, Outcome::Coded(coded)));
    }
    for program in &PROGRAMS {
        outcomes.push((program.name, program.run(base, target, dir)?));
    }
    Ok(outcomes)
}

/// The chunks of the target that the base has not.
fn by_content(base: &Path, target: &Path, sizes: [usize; 3]) -> Result<Coded> {
    let (base, target) = (fs::read(base)?, fs::read(target)?);
    let mut held: HashSet<blake3::Hash> = cut(&base, sizes).map(|chunk| chunk.1).collect();
    let before = thread_cpu_s()?;
    let new = cut(&target, sizes).filter(|(_, hash)| held.insert(*hash));
    let bytes = new.map(|(length, _)| length as u64).sum();
    Ok(Coded {
        bytes,
        encode_s: thread_cpu_s()? - before,
        decode_s: None,
    })
}

fn cut(bytes: &[u8], sizes: [usize; 3]) -> impl Iterator<Item = (usize, blake3::Hash)> {
    let [least, average, most] = sizes;
    FastCDC::new(bytes, least, average, most).map(|chunk| {
        let chunk = &bytes[chunk.offset..chunk.offset + chunk.length];
        (chunk.len(), blake3::hash(chunk))
    })
}

/// Bytes of the target's own chunks that the base has not, which is what is fetched without a
/// delta.
pub(super) fn new_chunks(base: &Path, target: &Path) -> Result<u64> {
    let held: HashSet<_> = chunk_map(base)?.chunks.iter().map(|c| c.hash).collect();
    let target = chunk_map(target)?;
    let new = target.chunks.iter().filter(|c| !held.contains(&c.hash));
    Ok(new.map(|chunk| u64::from(chunk.length)).sum())
}

impl Program {
    fn run(&self, base: &Path, target: &Path, dir: &Path) -> Result<Outcome> {
        if !is_installed(self.encode[0]) {
            return Ok(Outcome::NotRun("it is not installed".to_owned()));
        }
        let (delta, made) = (dir.join("theirs.delta"), dir.join("theirs.made"));
        let call = |words: &[&str]| {
            let before = shell::children_cpu_s();
            let words = words.iter().map(|word| {
                let files = [
                    ("BASE", base),
                    ("TARGET", target),
                    ("DELTA", &*delta),
                    ("MADE", &*made),
                ];
                files.iter().fold((*word).to_owned(), |word, (name, path)| {
                    word.replace(name, &path.to_string_lossy())
                })
            });
            let status = Command::new("timeout")
                .arg(LIMIT_S)
                .args(words)
                .stdin(Stdio::null())
                .status()
                .context("could not run timeout")?;
            anyhow::Ok((status, shell::children_cpu_s() - before))
        };
        let (status, encode_s) = call(self.encode)?;
        if status.code() == Some(TIMED_OUT) {
            return Ok(Outcome::NotRun(format!("it takes more than {LIMIT_S} s")));
        }
        ensure!(status.success(), "{} ended with {status}", self.name);
        let rounds = if fs::metadata(target)?.len() < TIMED_BYTES {
            1
        } else {
            DECODE_ROUNDS
        };
        let mut decode_s = 0.0;
        for _ in 0..rounds {
            let (status, seconds) = call(self.decode)?;
            ensure!(status.success(), "{} cannot undo it: {status}", self.name);
            decode_s += seconds / f64::from(rounds);
        }
        ensure_same(&made, target)?;
        Ok(Outcome::Coded(Coded {
            bytes: fs::metadata(delta)?.len(),
            encode_s,
            decode_s: Some(decode_s),
        }))
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

pub(super) fn ensure_same(made: &Path, target: &Path) -> Result<()> {
    ensure!(
        fs::read(made)? == fs::read(target)?,
        "what came out is another file"
    );
    Ok(())
}
