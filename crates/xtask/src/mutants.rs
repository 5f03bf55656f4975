//! `cargo xtask mutants`: are the simulator's checkers worth anything? Each patch in
//! simulator/mutants breaks weft-core or weft-record in one way. It is applied to a copy,
//! fuzz must catch it there, and what is left of the run after shrinking must be short and
//! must pass on the core as it is.

use std::{
    cell::OnceCell,
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};

use crate::shell;

/// Which mutants.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only these; the patches in simulator/mutants are their names.
    names: Vec<String>,
    /// Only look whether every patch applies.
    #[arg(long)]
    apply_only: bool,
    /// The first seed that is tried.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// A mutant that is not caught within this time is not caught.
const CATCH_SECONDS: u64 = 60;
/// What is left after shrinking has at most so many fault events.
const FAULTS: usize = 5;
/// What weft-sim is built from.
const ROOMS: &[&str] = &[
    "keys",
    "crates/weft-record",
    "crates/weft-core",
    "simulator",
];
/// Where patches are.
const PATCHES: &str = "simulator/mutants";

/// One patch.
struct Mutant {
    name: String,
    path: PathBuf,
    /// Checkers of which one must catch it.
    caught_by: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let all = mutants()?;
    for name in &options.names {
        ensure!(
            all.iter().any(|mutant| mutant.name == *name),
            "there is no mutant {name:?}; there are {}",
            all.iter()
                .map(|mutant| mutant.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        );
    }
    let wanted =
        |mutant: &&Mutant| options.names.is_empty() || options.names.contains(&mutant.name);
    let chosen: Vec<&Mutant> = all.iter().filter(wanted).collect();
    let workshop = Workshop::new()?;
    let mut survived = 0;
    for mutant in &chosen {
        let told = if options.apply_only {
            workshop.apply(mutant).map(|()| "applies".to_owned())
        } else {
            workshop.judge(mutant, options.seed)
        };
        match told {
            Ok(text) => println!("{:<28} {text}", mutant.name),
            Err(error) => {
                survived += 1;
                println!("{:<28} FAILED: {error:#}", mutant.name);
            }
        }
    }
    workshop.restore()?;
    println!("{} mutants, {survived} failed", chosen.len());
    Ok(if survived == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn mutants() -> Result<Vec<Mutant>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(PATCHES)? {
        let path = entry?.path();
        if path
            .extension()
            .is_none_or(|extension| extension != "patch")
        {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let text = fs::read_to_string(&path)?;
        let line = |word: &str| text.lines().find_map(|line| line.strip_prefix(word));
        ensure!(
            line("Breaks: ").is_some(),
            "{name} does not say what it breaks"
        );
        let caught_by = line("Caught by: ").with_context(|| format!("{name}: caught by whom?"))?;
        found.push(Mutant {
            name: name.clone().into_owned(),
            caught_by: caught_by.split(", ").map(str::to_owned).collect(),
            path: path.clone(),
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    ensure!(!found.is_empty(), "there are no patches in {PATCHES}");
    Ok(found)
}

/// A copy of the rooms that weft-sim is built from, and where it is built: always the
/// same, so that only what a patch touches is built again.
struct Workshop {
    tree: PathBuf,
    target: PathBuf,
    /// The simulator as it is, once it was built.
    sound: OnceCell<PathBuf>,
}

impl Workshop {
    fn new() -> Result<Self> {
        let folder = shell::target().join("mutants");
        let workshop = Self {
            tree: folder.join("tree"),
            target: folder.join("target"),
            sound: OnceCell::new(),
        };
        workshop.restore()?;
        Ok(workshop)
    }

    /// Brings the copy to what the repository holds. What is the same keeps its time, else
    /// all would be built again.
    fn restore(&self) -> Result<()> {
        let mut wanted = BTreeSet::new();
        for room in ROOMS {
            copy(Path::new(room), &self.tree.join(room), &mut wanted)?;
        }
        for file in ["Cargo.lock", "rust-toolchain.toml"] {
            write(&self.tree.join(file), &fs::read(file)?)?;
        }
        write(&self.tree.join("Cargo.toml"), workspace()?.as_bytes())?;
        for room in ROOMS {
            remove_others(&self.tree.join(room), &wanted)?;
        }
        Ok(())
    }

    fn apply(&self, mutant: &Mutant) -> Result<()> {
        self.restore()?;
        let patch = fs::File::open(&mutant.path)?;
        // a place that moved is found again, one that changed is not
        let applied = Command::new("patch")
            .args(["-p1", "--batch", "--forward", "--fuzz=0"])
            .args(["--no-backup-if-mismatch", "--reject-file=-"])
            .current_dir(&self.tree)
            .stdin(patch)
            .output()
            .context("could not run patch")?;
        if !applied.status.success() {
            bail!(
                "the patch no longer applies: make it anew for today's code\n{}",
                String::from_utf8_lossy(&applied.stdout)
            );
        }
        Ok(())
    }

    fn judge(&self, mutant: &Mutant, seed: u64) -> Result<String> {
        self.apply(mutant)?;
        let broken = self.build()?;
        let started = Instant::now();
        let (found, checker) = catch(&broken, seed, &mutant.caught_by)?;
        let caught_s = started.elapsed().as_secs_f64();
        let repro = self.tree.with_file_name(format!("{}.toml", mutant.name));
        let repro_text = repro.to_string_lossy();
        let arguments = ["shrink", &found.to_string(), "--out", &repro_text];
        let shrunk = output(&broken, &arguments)?;
        ensure!(
            shrunk.0,
            "seed {found} cannot be made smaller:\n{}",
            shrunk.1
        );
        let script = fs::read_to_string(&repro)?;
        let faults = script.matches("[[fault]]").count();
        ensure!(
            faults <= FAULTS,
            "caught by {checker}, but {faults} faults are left in {repro_text}"
        );
        let sound = output(self.sound()?, &["replay", &repro_text])?;
        ensure!(
            sound.0,
            "the core as it is does not pass {repro_text}:\n{}",
            sound.1
        );
        Ok(format!(
            "caught by {checker} after {caught_s:.1} s (seed {found}), {faults} faults left"
        ))
    }

    fn build(&self) -> Result<PathBuf> {
        let built = Command::new("cargo")
            .args([
                "build",
                "--release",
                "--offline",
                "--quiet",
                "--bin",
                "weft-sim",
            ])
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_INCREMENTAL", "1")
            .stdin(Stdio::null())
            .status()
            .context("could not run cargo")?;
        ensure!(built.success(), "the mutant does not build");
        // its own name, since the next one takes its place
        Ok(self.target.join("release/weft-sim"))
    }

    /// The simulator as it is: that of continuous integration, so that it is built once.
    fn sound(&self) -> Result<&Path> {
        if let Some(built) = self.sound.get() {
            return Ok(built);
        }
        let path = shell::simulator()?;
        Ok(self.sound.get_or_init(|| path))
    }
}

/// The seed and the checker with which fuzz caught it.
fn catch(program: &Path, seed: u64, caught_by: &[String]) -> Result<(u64, String)> {
    let started = Instant::now();
    let mut seed = seed;
    loop {
        let left_s = CATCH_SECONDS.saturating_sub(started.elapsed().as_secs());
        ensure!(left_s > 0, "not caught within {CATCH_SECONDS} s");
        let from = seed.to_string();
        let seconds = left_s.to_string();
        let arguments = [
            "fuzz",
            "--count",
            "1000000",
            "--most",
            "1",
            "--seed",
            &from,
            "--seconds",
            &seconds,
        ];
        let (sound, text) = output(program, &arguments)?;
        ensure!(!sound, "not caught within {CATCH_SECONDS} s");
        let mut lines = text.lines();
        let found = lines
            .find_map(|line| line.strip_prefix("seed ")?.strip_suffix(':')?.parse().ok())
            .with_context(|| format!("fuzz failed otherwise:\n{text}"))?;
        let told = lines.next().unwrap_or_default().trim();
        let checker = told.split(' ').next().unwrap_or_default();
        if caught_by.iter().any(|one| one == checker) {
            return Ok((found, checker.to_owned()));
        }
        println!("  seed {found}: found by {checker}, which is not who must: {told}");
        seed = found + 1;
    }
}

/// Whether it succeeded, and what it said.
fn output(program: &Path, arguments: &[&str]) -> Result<(bool, String)> {
    let out = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .with_context(|| format!("could not run {}", program.display()))?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    Ok((out.status.success(), text))
}

/// Begins the table that says how a room is optimized.
const ROOM_PROFILE: &str = "[profile.release.package.weft-";

/// The workspace's manifest with only these rooms in it.
fn workspace() -> Result<String> {
    let text = fs::read_to_string("Cargo.toml")?;
    let (mut manifest, mut is_left_out) = (String::new(), false);
    for line in text.lines() {
        // how these rooms are optimized is said anew below
        if line.starts_with('[') {
            is_left_out = line.starts_with(ROOM_PROFILE);
        }
        if is_left_out || line.starts_with("exclude = ") {
            continue;
        }
        if line.starts_with("members = ") {
            let _ = writeln!(manifest, "members = {ROOMS:?}");
        } else {
            manifest += line;
            manifest.push('\n');
        }
    }
    ensure!(
        manifest.contains(&format!("{ROOMS:?}")),
        "Cargo.toml names no members"
    );
    // each is built for a minute of use at most
    for name in ["record", "core", "sim"] {
        let _ = writeln!(manifest, "\n{ROOM_PROFILE}{name}]\nopt-level = 1");
    }
    Ok(manifest)
}

fn copy(from: &Path, to: &Path, wanted: &mut BTreeSet<PathBuf>) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, place) = (entry.path(), to.join(entry.file_name()));
        wanted.insert(place.clone());
        if entry.file_type()?.is_dir() {
            copy(&source, &place, wanted)?;
        } else {
            write(&place, &fs::read(&source)?)?;
        }
    }
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|held| held == content) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content).with_context(|| format!("could not write {}", path.display()))
}

fn remove_others(folder: &Path, wanted: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let is_folder = entry.file_type()?.is_dir();
        match (wanted.contains(&path), is_folder) {
            (true, true) => remove_others(&path, wanted)?,
            (true, false) => {}
            (false, true) => fs::remove_dir_all(&path)?,
            (false, false) => fs::remove_file(&path)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{mutants, workspace};

    #[test]
    fn every_patch_says_what_it_breaks_and_who_must_catch_it() {
        std::env::set_current_dir(crate::shell::root()).expect("the repository");
        let all = mutants().expect("patches");
        assert!(all.len() >= 8, "{} mutants", all.len());
        assert!(all.iter().all(|mutant| !mutant.caught_by.is_empty()));
        let manifest = workspace().expect("a manifest");
        assert!(!manifest.contains("crates/*"), "{manifest}");
        // no table may be there twice
        let mut tables: Vec<&str> = manifest.lines().filter(|it| it.starts_with('[')).collect();
        let all = tables.len();
        tables.sort_unstable();
        tables.dedup();
        assert_eq!(tables.len(), all, "{manifest}");
    }
}
