//! What an update costs in bytes and in time, beside other ways to send one file to whoever has
//! another: on the same files, in the same run.

mod entropy;
mod models;
mod peers;

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use weft_model::{ModelSource, Quantization, apply_delta, encode_delta, quantize};

use super::{Figure, median};
use peers::{Coded, Outcome};

/// How far a delta may stay behind the entropy, and behind the changed tensors' bytes.
const MOST_OF_ENTROPY: f64 = 1.05;
const MOST_OF_FLOOR: f64 = 1.01;
/// What a core has to make of a delta, in MB/s.
const DECODE_GOAL: f64 = 150.0;
/// By how much the weights of a synthetic fine-tune move.
const CHANGES: [f32; 3] = [3e-5, 1e-4, 1e-3];
const FORMATS: [(Quantization, &str); 2] =
    [(Quantization::Q8_0, "Q8_0"), (Quantization::Q4_0, "Q4_0")];
/// A measurement of our coder is repeated until it worked on so many bytes, and at least so often.
const WORKED_BYTES: u64 = 512 << 20;
const LEAST_ROUNDS: u64 = 5;
/// Peers are timed on files of at least this size: on smaller ones it is their start that takes
/// the time.
const TIMED_BYTES: u64 = 16 << 20;

/// The folder with what `training adapt` made.
const ADAPTED: &str = "WEFT_BENCH_ADAPTED";
const ADAPTED_DEFAULT: &str = "tests/training/out/adapted";
const OLD_ASSET: &str = "crates/weft/assets/incident-1.0.0";
const NEW_ASSET: &str = "crates/weft/assets/incident-1.1.0";

/// Files with random weights.
pub(crate) fn run() -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    let mut figures = changed_tensors(dir.path())?;
    figures.extend(synthetic(dir.path())?);
    Ok(figures)
}

/// Models that were really tuned, all from one base.
pub(crate) fn run_tuned() -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    tuned(dir.path())
}

/// Some tensors are other ones, and one is inserted near the front.
fn changed_tensors(dir: &Path) -> Result<Vec<Figure>> {
    let changed = models::changed(dir)?;
    let case = Case {
        name: "changed tensors".to_owned(),
        base: changed.base,
        target: changed.target,
    };
    let measured = case.measure(dir)?;
    let floor = changed.new_bytes as f64 / case.target_bytes()? as f64;
    let mut figures = vec![
        measured.size(),
        Figure::new(
            format!("{}: of the floor", case.name),
            measured.ours.bytes as f64 / changed.new_bytes as f64,
            "",
        )
        .against(format!(
            "changed and new tensors are {:.2} % of the file; in whole chunks it is {:.2} %",
            100.0 * floor,
            100.0 * peers::new_chunks(&case.base, &case.target)? as f64
                / case.target_bytes()? as f64,
        ))
        .at_most(MOST_OF_FLOOR),
    ];
    figures.extend(measured.rates());
    Ok(figures)
}

/// Every weight moves by a normally distributed number.
fn synthetic(dir: &Path) -> Result<Vec<Figure>> {
    let base = models::normal(&dir.join("base"), None)?;
    let bases = quantized(&base, dir, "base")?;
    fs::remove_dir_all(base)?;
    let mut figures = Vec::new();
    for change in CHANGES {
        let target = models::normal(&dir.join("target"), Some(change))?;
        let targets = quantized(&target, dir, "target")?;
        fs::remove_dir_all(target)?;
        let what = format!("all weights by N(0, {change:e})");
        figures.extend(fine_tunes(&what, &bases, targets, dir)?);
    }
    Ok(figures)
}

fn tuned(dir: &Path) -> Result<Vec<Figure>> {
    let adapted = std::env::var_os(ADAPTED).map_or_else(|| ADAPTED_DEFAULT.into(), PathBuf::from);
    let pairs = [
        ("incident 1.0.0 to 1.1.0", PathBuf::from(NEW_ASSET)),
        ("fine-tune of all weights", adapted.join("full")),
        ("LoRA r8 on q and v, merged", adapted.join("lora")),
    ];
    let bases = quantized(Path::new(OLD_ASSET), dir, "base")?;
    let mut figures = Vec::new();
    for (pair, folder) in pairs {
        if !folder.join("model.safetensors").is_file() {
            let how = format!(
                "make it with `cargo run --release --manifest-path tests/training/Cargo.toml -- \
                 adapt --from {OLD_ASSET} --out {ADAPTED_DEFAULT}`"
            );
            figures.push(Figure::not_run(pair, &how));
            continue;
        }
        let targets = quantized(&folder, dir, "target")?;
        figures.extend(fine_tunes(pair, &bases, targets, dir)?);
    }
    Ok(figures)
}

/// One fine-tune in each of the formats.
fn fine_tunes(
    what: &str,
    bases: &[PathBuf],
    targets: Vec<PathBuf>,
    dir: &Path,
) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for ((_, format), (base, target)) in FORMATS.iter().zip(bases.iter().zip(targets)) {
        let case = Case {
            name: format!("{format}, {what}"),
            base: base.clone(),
            target,
        };
        figures.extend(case.fine_tune(dir)?);
    }
    Ok(figures)
}

/// The model in each of the formats.
fn quantized(model: &Path, dir: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let source = ModelSource::open(model)?;
    let files = FORMATS.iter().map(|(to, format)| {
        let file = dir.join(format!("{name}-{format}.gguf"));
        quantize(&source, *to, &file)?;
        Ok(file)
    });
    files.collect()
}

/// An update from one file to another.
struct Case {
    name: String,
    base: PathBuf,
    target: PathBuf,
}

impl Case {
    fn target_bytes(&self) -> Result<u64> {
        Ok(fs::metadata(&self.target)?.len())
    }

    fn fine_tune(&self, dir: &Path) -> Result<Vec<Figure>> {
        let measured = self.measure(dir)?;
        let entropy = entropy::of_differences(&self.base, &self.target)?;
        let mut figures = vec![
            measured.size(),
            Figure::new(
                format!("{}: of the entropy", self.name),
                measured.ours.bytes as f64 / entropy,
                "",
            )
            .against(format!(
                "the entropy is {:.2} % of the file",
                100.0 * entropy / measured.target_bytes as f64
            ))
            .at_most(MOST_OF_ENTROPY),
        ];
        figures.extend(measured.rates());
        Ok(figures)
    }

    fn measure(&self, dir: &Path) -> Result<Measured> {
        eprintln!("{} …", self.name);
        let target_bytes = self.target_bytes()?;
        Ok(Measured {
            name: self.name.clone(),
            target_bytes,
            ours: ours(&self.base, &self.target, dir)?,
            peers: peers::all(&self.base, &self.target, dir)?,
        })
    }
}

struct Measured {
    name: String,
    target_bytes: u64,
    ours: Coded,
    peers: Vec<(&'static str, Outcome)>,
}

impl Measured {
    fn size(&self) -> Figure {
        let percent = |coded: &Coded| 100.0 * coded.bytes as f64 / self.target_bytes as f64;
        Figure::new(
            format!("{}: delta", self.name),
            percent(&self.ours),
            "% of the file",
        )
        .against(self.beside(|coded| Some(format!("{:.2}", percent(coded)))))
    }

    fn rates(&self) -> [Figure; 2] {
        let mb = self.target_bytes as f64 / 1e6;
        let rate = |way: &str, seconds: f64| {
            Figure::new(format!("{}: {way}", self.name), mb / seconds, "MB/s a core")
        };
        let beside = |seconds: fn(&Coded) -> Option<f64>| {
            if self.target_bytes < TIMED_BYTES {
                return "the others: too short to tell".to_owned();
            }
            self.beside(|coded| Some(Rounded(mb / seconds(coded)?).to_string()))
        };
        [
            rate("encode", self.ours.encode_s).against(beside(|coded| Some(coded.encode_s))),
            rate("decode", self.ours.decode_s.unwrap_or(f64::NAN))
                .against(beside(|coded| coded.decode_s))
                .at_least(DECODE_GOAL),
        ]
    }

    /// Each peer's name and what there is to say of it.
    fn beside(&self, say: impl Fn(&Coded) -> Option<String>) -> String {
        let parts = self.peers.iter().filter_map(|(name, outcome)| {
            Some(match outcome {
                Outcome::Coded(coded) => format!("{name} {}", say(coded)?),
                Outcome::NotRun(why) => format!("{name} not run ({why})"),
            })
        });
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// Three digits or so.
struct Rounded(f64);

impl std::fmt::Display for Rounded {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = usize::from(self.0 < 100.0) + usize::from(self.0 < 10.0);
        write!(formatter, "{:.digits$}", self.0)
    }
}

/// Our own coder, from file to file, by the processor time of its thread.
fn ours(base: &Path, target: &Path, dir: &Path) -> Result<Coded> {
    let (delta, made) = (dir.join("ours.delta"), dir.join("ours.made"));
    let target_bytes = fs::metadata(target)?.len();
    let base_bytes = fs::metadata(base)?.len();
    let rounds = (WORKED_BYTES / target_bytes).max(LEAST_ROUNDS);
    let (mut encode, mut decode) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let before = thread_cpu_s()?;
        let mut out = BufWriter::new(File::create(&delta)?);
        encode_delta(base, target, &mut out)?;
        out.flush()?;
        encode.push(thread_cpu_s()? - before);

        let before = thread_cpu_s()?;
        let mut out = BufWriter::new(File::create(&made)?);
        let from = BufReader::new(File::open(&delta)?);
        apply_delta(&File::open(base)?, base_bytes, from, target_bytes, &mut out)?;
        out.flush()?;
        decode.push(thread_cpu_s()? - before);
    }
    peers::ensure_same(&made, target)?;
    Ok(Coded {
        bytes: fs::metadata(delta)?.len(),
        encode_s: median(encode),
        decode_s: Some(median(decode)),
    })
}

/// Processor time of this thread, which the kernel tells in nanoseconds.
fn thread_cpu_s() -> Result<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = text.split_whitespace().next().context("no time")?;
    Ok(first.parse::<f64>()? / 1e9)
}
