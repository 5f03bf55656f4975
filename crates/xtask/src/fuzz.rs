//! `cargo xtask fuzz`: builds the fuzzer and runs its targets, one after the other.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::shell;

/// What to run, and for how long.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only these targets; the folders in tests/fuzz/corpus are their names.
    targets: Vec<String>,
    /// How long each is run; 0 only replays the corpus.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Processes a target, which share its corpus.
    #[arg(long, default_value_t = 1)]
    jobs: u16,
    /// Afterwards keep only the inputs of the corpus that add coverage.
    #[arg(long)]
    minimize: bool,
    /// Where the fuzzer is built (default: tests/fuzz/target).
    #[arg(long)]
    target_dir: Option<PathBuf>,
}

/// What instruments the code: the flags that libFuzzer needs and stable Rust has.
const INSTRUMENTATION: &str = "-Cpasses=sancov-module \
     -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
     -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares \
     -Clink-dead-code";
/// An input that takes longer is a finding.
const TIMEOUT_S: u32 = 10;
/// The whole process; each target bounds what one input may allocate much lower.
const MEMORY_MIB: u32 = 1024;

struct Fuzzer {
    folder: PathBuf,
    program: PathBuf,
    /// Where targets put the files that they open.
    scratch: tempfile::TempDir,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let folder = shell::root().join("tests/fuzz");
    let all = targets(&folder)?;
    for name in &options.targets {
        ensure!(
            all.contains(name),
            "there is no target {name:?}; targets are {}",
            all.join(", ")
        );
    }
    let chosen = if options.targets.is_empty() {
        &all
    } else {
        &options.targets
    };
    let fuzzer = build(&folder, options.target_dir.as_deref())?;
    let mut failed = Vec::new();
    for name in chosen {
        if !fuzzer.run(name, options)? {
            failed.push(name.as_str());
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "FAILED: {}; the inputs are in tests/fuzz/artifacts",
        failed.join(", ")
    );
    Ok(ExitCode::FAILURE)
}

fn targets(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.join("corpus"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

fn build(folder: &Path, target_dir: Option<&Path>) -> Result<Fuzzer> {
    let host = shell::output("rustc", &["-vV"])?;
    let host = host
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc does not tell its host")?;
    let target_dir = target_dir.map_or_else(|| folder.join("target"), Path::to_path_buf);
    // with a named target, build scripts and macros are left as they are
    let status = Command::new("cargo")
        .args(["build", "--release", "--target", host])
        .current_dir(folder)
        .env("RUSTFLAGS", INSTRUMENTATION)
        .env("CARGO_TARGET_DIR", &target_dir)
        .status()
        .context("could not run cargo")?;
    ensure!(status.success(), "the fuzzer does not build");
    // a tmpfs, where there is one: files are written for every input
    let shared = Path::new("/dev/shm");
    let scratch = if shared.is_dir() {
        tempfile::tempdir_in(shared)?
    } else {
        tempfile::tempdir()?
    };
    Ok(Fuzzer {
        folder: folder.to_path_buf(),
        program: target_dir.join(host).join("release/weft-fuzz"),
        scratch,
    })
}

impl Fuzzer {
    /// Fuzzes one target and prints what was done; false if it found something.
    fn run(&self, name: &str, options: &Options) -> Result<bool> {
        let corpus = self.folder.join("corpus").join(name);
        let seeds = self.seeded(name)?;
        let log = self.scratch.path().join("log");
        let started = Instant::now();
        let mut children = Vec::new();
        for job in 0..options.jobs.max(1) {
            // the first one's closing lines are the ones that are read
            let output = if job == 0 {
                fs::File::create(&log)?.into()
            } else {
                Stdio::null()
            };
            let mut command = self.command(name);
            if options.seconds == 0 {
                command.arg("-runs=0");
            } else {
                command.arg(format!("-max_total_time={}", options.seconds));
            }
            // jobs see each other's finds
            let reload = u8::from(options.jobs > 1);
            let child = command
                .arg("-print_final_stats=1")
                .arg(format!("-reload={reload}"))
                .args([&corpus, &seeds])
                .stderr(output)
                .spawn();
            children.push(child.with_context(|| format!("could not run {name}"))?);
        }
        let mut sound = true;
        for mut child in children {
            sound &= child.wait()?.success();
        }
        let seconds = started.elapsed().as_secs();
        let log = fs::read_to_string(&log).unwrap_or_default();
        if !sound {
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            println!("{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        if sound && options.minimize {
            self.minimize(name, &corpus, &seeds)?;
        }
        let (inputs, bytes) = size(&corpus)?;
        let line = json!({
            "target": name,
            "seconds": seconds,
            "executions": stat(&log, "stat::number_of_executed_units:"),
            "coverage": coverage(&log),
            "peak_mib": stat(&log, "stat::peak_rss_mb:"),
            "corpus_inputs": inputs,
            "corpus_bytes": bytes,
            "sound": sound,
        });
        println!("{line}");
        Ok(sound)
    }

    /// A folder with the target's seeds.
    fn seeded(&self, name: &str) -> Result<PathBuf> {
        let seeds = self.scratch.path().join(format!("seeds-{name}"));
        fs::create_dir_all(&seeds)?;
        let written = self
            .command(name)
            .env("WEFT_FUZZ_SEEDS", &seeds)
            .stderr(Stdio::null())
            .status()?;
        ensure!(written.success(), "the seeds of {name} cannot be made");
        Ok(seeds)
    }

    /// The fuzzer with the limits of every run.
    fn command(&self, name: &str) -> Command {
        let artifacts = self.folder.join("artifacts").join(name);
        let _ = fs::create_dir_all(&artifacts);
        let mut command = Command::new(&self.program);
        command
            .env("WEFT_FUZZ_TARGET", name)
            .env("TMPDIR", self.scratch.path())
            .arg(format!("-timeout={TIMEOUT_S}"))
            .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let dictionary = self
            .folder
            .join("dictionaries")
            .join(format!("{name}.dict"));
        if dictionary.is_file() {
            command.arg(format!("-dict={}", dictionary.display()));
        }
        command
    }

    /// Puts in the corpus's place a small part of it and of the seeds that reaches the
    /// same edges; how often each is reached is left for the next run to find again.
    fn minimize(&self, name: &str, corpus: &Path, seeds: &Path) -> Result<()> {
        let small = self.scratch.path().join(format!("small-{name}"));
        fs::create_dir_all(&small)?;
        let merged = self
            .command(name)
            .args(["-set_cover_merge=1", "-use_counters=0"])
            .args([small.as_path(), corpus, seeds])
            .stderr(Stdio::null())
            .status()?;
        if !merged.success() {
            bail!("the corpus of {name} cannot be minimized");
        }
        fs::remove_dir_all(corpus)?;
        fs::create_dir_all(corpus)?;
        for entry in fs::read_dir(&small)? {
            let entry = entry?;
            fs::copy(entry.path(), corpus.join(entry.file_name()))?;
        }
        Ok(())
    }
}

fn size(corpus: &Path) -> Result<(u64, u64)> {
    let (mut inputs, mut bytes) = (0, 0);
    for entry in fs::read_dir(corpus)? {
        inputs += 1;
        bytes += entry?.metadata()?.len();
    }
    Ok((inputs, bytes))
}

/// A number behind this word.
fn stat(log: &str, word: &str) -> Option<u64> {
    let rest = &log[log.rfind(word)? + word.len()..];
    rest.split_whitespace().next()?.parse().ok()
}

/// Edges reached, from the last line of progress.
fn coverage(log: &str) -> Option<u64> {
    stat(log, " cov:")
}

#[cfg(test)]
mod tests {
    use super::{coverage, stat};

    #[test]
    fn reads_the_fuzzers_closing_lines() {
        let log = "#2\tINITED cov: 5 ft: 6 corp: 1/1b\n#9\tDONE   cov: 123 ft: 150 corp: 7/20b\n\
                   stat::number_of_executed_units: 512\nstat::peak_rss_mb:              40\n";
        assert_eq!(coverage(log), Some(123));
        assert_eq!(stat(log, "stat::number_of_executed_units:"), Some(512));
        assert_eq!(stat(log, "stat::peak_rss_mb:"), Some(40));
        assert_eq!(coverage(""), None);
    }
}
