//! Tokens a second, beside the speed at which this machine reads memory: decoding
//! reads every weight once a token, so that speed is its limit.

use std::{path::Path, time::Instant};

use anyhow::{Context, Result};

use super::{Figure, median};
use crate::shell;

/// The demo's model, and a random one in the shape of a 135M Llama.
const PROMPT: &str = "128";
const DECODE: &str = "64";

pub(crate) fn run() -> Result<Vec<Figure>> {
    let weft = shell::weft()?;
    let weft = shell::utf8(&weft)?;
    let dir = tempfile::tempdir()?;
    let memory = read_bytes_per_sec();
    let mut figures = vec![Figure::new(
        "memory read, two threads",
        memory / 1e9,
        "GB/s",
    )];
    let random = dir.path().join("random-135m");
    super::model::random_model(&random, super::model::Shape::LLAMA_135M, 0)?;
    let trained = newest_asset()?;
    for (label, source) in [
        ("demo model", trained.as_path()),
        ("135M shape", random.as_path()),
    ] {
        for quantization in ["f16", "q8_0", "q4_0"] {
            let file = dir.path().join(format!("{quantization}.gguf"));
            let (source, file) = (source.to_string_lossy(), file.to_string_lossy());
            shell::output(
                weft,
                &[
                    "model",
                    "quantize",
                    &source,
                    &file,
                    "--to",
                    quantization,
                    "--json",
                ],
            )?;
            let bytes = std::fs::metadata(&*file)?.len();
            let text = shell::output(
                weft,
                &[
                    "model", "bench", &file, "-p", PROMPT, "-n", DECODE, "--json",
                ],
            )?;
            let value: serde_json::Value = serde_json::from_str(text.trim())?;
            let speed = |key: &str| value[key].as_f64().with_context(|| format!("no {key}"));
            let (prefill, decode) = (
                speed("prefill_tokens_per_sec")?,
                speed("decode_tokens_per_sec")?,
            );
            let limit = memory / bytes as f64;
            let share = decode / limit;
            let name = format!("{label} {quantization}");
            figures.push(Figure::new(
                format!("{name}, prefill {PROMPT}"),
                prefill,
                "tokens/s",
            ));
            figures.push(
                Figure::new(format!("{name}, decode {DECODE}"), decode, "tokens/s").against(
                    format!("{share:.3} of the memory limit, {limit:.0} tokens/s"),
                ),
            );
            std::fs::remove_file(&*file)?;
        }
    }
    Ok(figures)
}

/// The newest version of the demo's model that is committed.
pub(crate) fn newest_asset() -> Result<std::path::PathBuf> {
    let mut models: Vec<_> = std::fs::read_dir("crates/weft/assets")?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| Path::new(path).join("model.safetensors").is_file())
        .collect();
    models.sort();
    models.pop().context("no model in crates/weft/assets")
}

/// Reads 1 GiB several times with two threads; the median.
fn read_bytes_per_sec() -> f64 {
    const WORDS: usize = 64 << 20;
    let words = vec![1_u64; WORDS * 2];
    let rounds = (0..5).map(|_| {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for half in words.chunks(WORDS) {
                scope.spawn(|| {
                    let sum: u64 = half
                        .chunks_exact(16)
                        .fold([0_u64; 16], |mut sums, chunk| {
                            for (sum, word) in sums.iter_mut().zip(chunk) {
                                *sum = sum.wrapping_add(*word);
                            }
                            sums
                        })
                        .iter()
                        .sum();
                    std::hint::black_box(sum);
                });
            }
        });
        (words.len() * 8) as f64 / start.elapsed().as_secs_f64()
    });
    median(rounds.collect())
}
