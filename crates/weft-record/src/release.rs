use serde::{Deserialize, Serialize};

use crate::{
    Hash, Invalid, Name, RecordId,
    bounds::{
        BASIS_POINTS, MAX_ANSWER_TOKENS, MAX_ARCHITECTURE_BYTES, MAX_DELTAS, MAX_FILE_BYTES,
        MAX_FILES, MAX_ISA, MAX_LICENCE_BYTES, MAX_LINEAGE_BYTES, MAX_NOTES_BYTES, MAX_PATH_BYTES,
        MAX_PATH_PARTS, MAX_PROBES, MAX_PROMPT_BYTES, MAX_VARIANTS, MAX_VERSION_BYTES,
    },
    check,
};

/// A model, by the hashes of its files, and how a node proves that it works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The model's name.
    pub model: Name,
    /// Its version, for people: order and safety do not depend on it.
    pub version: String,
    /// Its security counter, held against the floor of a channel.
    pub counter: u64,
    /// The same model in several quantizations, sorted by quantization.
    pub variants: Vec<Variant>,
    /// A tokenizer beside the weights, for all variants.
    pub tokenizer: Option<FileEntry>,
    /// A chat template beside the weights, for all variants.
    pub template: Option<FileEntry>,
    /// The release that this one is a delta or an adapter of.
    pub base: Option<RecordId>,
    /// What a node runs before it trusts the model.
    pub probe_set: ProbeSet,
    /// Where it comes from.
    pub lineage: Lineage,
    /// For people.
    pub notes: String,
    /// SPDX expression.
    pub licence: String,
    /// Files of this release as differences from files of others, sorted by target and base.
    pub deltas: Vec<Delta>,
}

/// One quantization of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// Such as `q8_0`.
    pub quantization: Name,
    /// Its files, sorted by path.
    pub files: Vec<FileEntry>,
    /// What a machine must have.
    pub requires: Requires,
}

/// A file of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Where it lies in a slot: relative, `/` between parts.
    pub path: String,
    /// Length in bytes.
    pub length: u64,
    /// BLAKE3 of the whole file.
    pub blake3: Hash,
    /// BLAKE3 of its encoded [`ChunkMap`](crate::ChunkMap).
    pub chunk_map: Hash,
}

/// A file as its difference from another: for whoever holds that one, fewer bytes to fetch.
///
/// Nothing rests on it: what it makes is held against the target's own hashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// BLAKE3 of the file that it makes: one of this release.
    pub target: Hash,
    /// BLAKE3 of the file that it is taken from.
    pub base: Hash,
    /// Its own length in bytes, below that of its target.
    pub length: u64,
    /// BLAKE3 of the delta.
    pub blake3: Hash,
    /// BLAKE3 of its encoded [`ChunkMap`](crate::ChunkMap).
    pub chunk_map: Hash,
}

/// What a machine must have to run a variant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requires {
    /// Such as `x86_64`; empty for any.
    pub architecture: String,
    /// Memory.
    pub ram_bytes: u64,
    /// Free space.
    pub disk_bytes: u64,
    /// Instruction sets such as `avx2`, sorted.
    pub isa: Vec<Name>,
}

/// Prompts with known answers, and how far a node may miss them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeSet {
    /// The prompts, in the order they are run.
    pub probes: Vec<Probe>,
    /// What counts as passed.
    pub limits: ProbeLimits,
}

/// One prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// As the model sees it.
    pub prompt: String,
    /// The answer ends here at the latest.
    pub max_tokens: u32,
    /// The greedy answer's token ids, for each variant in the release's order.
    pub expected: Vec<Vec<u32>>,
}

/// What counts as passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeLimits {
    /// Least share of probes whose answer equals the expected one, in basis points.
    pub min_match_bp: u16,
    /// Least decoding speed in thousandths of a token per second; 0 for none.
    pub min_tokens_per_sec_milli: u64,
    /// Most memory; 0 for no limit.
    pub max_memory_bytes: u64,
}

/// Where a model comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// The release that it was trained on from.
    pub parent: Option<RecordId>,
    /// The model that taught it.
    pub teacher: String,
    /// The data that it was trained on.
    pub dataset: String,
    /// What made it.
    pub tool: String,
    /// How good it was found to be.
    pub evaluation: String,
}

impl Release {
    /// Brings its lists into the order they must have; the probes' answers follow
    /// their variants.
    pub fn sort(&mut self) {
        let mut order: Vec<usize> = (0..self.variants.len()).collect();
        order.sort_by(|a, b| {
            self.variants[*a]
                .quantization
                .cmp(&self.variants[*b].quantization)
        });
        self.variants = order
            .iter()
            .map(|index| self.variants[*index].clone())
            .collect();
        for probe in &mut self.probe_set.probes {
            if probe.expected.len() == order.len() {
                probe.expected = order
                    .iter()
                    .map(|index| probe.expected[*index].clone())
                    .collect();
            }
        }
        for variant in &mut self.variants {
            variant.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
            variant.requires.isa.sort_unstable();
        }
        self.deltas
            .sort_unstable_by_key(|delta| (delta.target, delta.base));
    }

    /// All files that a node may need, of any variant.
    pub fn files(&self) -> impl Iterator<Item = &FileEntry> {
        let variants = self.variants.iter().flat_map(|variant| &variant.files);
        variants.chain(&self.tokenizer).chain(&self.template)
    }

    /// Checks every rule that does not need other records.
    pub fn check(&self) -> Result<(), Invalid> {
        check_version(&self.version)?;
        check::length("variants", self.variants.len(), 1, MAX_VARIANTS)?;
        check::sorted(
            "variants",
            self.variants.iter().map(|variant| &variant.quantization),
        )?;
        for variant in &self.variants {
            self.check_variant(variant)?;
        }
        self.probe_set.check(self.variants.len())?;
        let lineage = &self.lineage;
        check::text("lineage.teacher", &lineage.teacher, MAX_LINEAGE_BYTES)?;
        check::text("lineage.dataset", &lineage.dataset, MAX_LINEAGE_BYTES)?;
        check::text("lineage.tool", &lineage.tool, MAX_LINEAGE_BYTES)?;
        check::text("lineage.evaluation", &lineage.evaluation, MAX_LINEAGE_BYTES)?;
        check::text("notes", &self.notes, MAX_NOTES_BYTES)?;
        check::text("licence", &self.licence, MAX_LICENCE_BYTES)?;
        check::length("deltas", self.deltas.len(), 0, MAX_DELTAS)?;
        let keys = self.deltas.iter().map(|delta| (delta.target, delta.base));
        check::sorted("deltas", keys)?;
        self.deltas
            .iter()
            .try_for_each(|delta| self.check_delta(delta))
    }

    fn check_delta(&self, delta: &Delta) -> Result<(), Invalid> {
        let target = self.files().find(|file| file.blake3 == delta.target);
        let target = target.ok_or(Invalid::Delta("it makes no file of this release"))?;
        if delta.base == delta.target {
            return Err(Invalid::Delta("it is taken from the file that it makes"));
        }
        // else it is of no use, and whoever fetched it would be none the better
        check::number("a delta's length", delta.length, 1, target.length - 1)
    }

    fn check_variant(&self, variant: &Variant) -> Result<(), Invalid> {
        check::length("a variant's files", variant.files.len(), 1, MAX_FILES)?;
        check::sorted(
            "a variant's files",
            variant.files.iter().map(|file| &file.path),
        )?;
        let files = variant
            .files
            .iter()
            .chain(&self.tokenizer)
            .chain(&self.template);
        let mut paths = Vec::new();
        for file in files {
            file.check()?;
            // file systems that fold case must not see one file twice
            paths.push(file.path.to_ascii_lowercase());
        }
        // with a mark after each path, "a" comes right before "a/b", whatever else there is
        for path in &mut paths {
            path.push('/');
        }
        paths.sort_unstable();
        for pair in paths.windows(2) {
            if pair[1].starts_with(&pair[0]) {
                return Err(Invalid::Path(pair[1].trim_end_matches('/').to_owned()));
            }
        }
        let requires = &variant.requires;
        let architecture = requires.architecture.as_str();
        check::length(
            "architecture",
            architecture.len(),
            0,
            MAX_ARCHITECTURE_BYTES,
        )?;
        if !architecture.is_empty() {
            architecture.parse::<Name>()?;
        }
        check::length("isa", requires.isa.len(), 0, MAX_ISA)?;
        check::sorted("isa", requires.isa.iter())
    }
}

impl FileEntry {
    fn check(&self) -> Result<(), Invalid> {
        check::number("a file's length", self.length, 1, MAX_FILE_BYTES)?;
        if is_safe_path(&self.path) {
            Ok(())
        } else {
            Err(Invalid::Path(self.path.clone()))
        }
    }
}

impl ProbeSet {
    fn check(&self, variants: usize) -> Result<(), Invalid> {
        check::length("probes", self.probes.len(), 0, MAX_PROBES)?;
        let whole = u64::from(BASIS_POINTS);
        check::number(
            "min_match_bp",
            u64::from(self.limits.min_match_bp),
            0,
            whole,
        )?;
        for probe in &self.probes {
            check::length("a prompt", probe.prompt.len(), 1, MAX_PROMPT_BYTES)?;
            let most = MAX_ANSWER_TOKENS as u64;
            check::number("max_tokens", u64::from(probe.max_tokens), 1, most)?;
            check::length(
                "a probe's answers",
                probe.expected.len(),
                variants,
                variants,
            )?;
            for answer in &probe.expected {
                check::length("an answer", answer.len(), 0, probe.max_tokens as usize)?;
            }
        }
        Ok(())
    }
}

/// Relative, of plain parts that mean the same on every file system.
fn is_safe_path(path: &str) -> bool {
    let is_part = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        // a leading dot would hide it or climb out, a trailing one vanishes on some systems
        !part.is_empty()
            && part.bytes().all(plain)
            && !part.starts_with('.')
            && !part.ends_with('.')
    };
    path.len() <= MAX_PATH_BYTES
        && path.split('/').count() <= MAX_PATH_PARTS
        && path.split('/').all(is_part)
}

/// Three numbers and perhaps a pre-release and build, as in semantic versioning.
fn check_version(version: &str) -> Result<(), Invalid> {
    check::length("version", version.len(), 5, MAX_VERSION_BYTES)?;
    let wrong = || Invalid::Version(version.to_owned());
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let is_number = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    let tail = &version[core.len()..];
    let is_tail = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
    let good = core.split('.').count() == 3
        && core.split('.').all(is_number)
        && tail.bytes().all(is_tail)
        && tail.len() != 1;
    if good { Ok(()) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_paths_that_stay_inside_and_no_others() {
        for good in ["model.gguf", "a/b/c.bin", "Q8_0-00001-of-00002.gguf"] {
            assert!(is_safe_path(good), "{good}");
        }
        let deep = "a/".repeat(8) + "a";
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "a/",
            ".hidden",
            "a/.b",
            "a\\b",
            "C:x",
            "nul\0",
            "caf\u{e9}",
            "a b",
            "a.",
            "con /x",
            &*"x".repeat(256),
            &*deep,
        ] {
            assert!(!is_safe_path(bad), "{bad}");
        }
    }

    #[test]
    fn takes_versions_and_nothing_else() {
        for good in [
            "1.0.0",
            "0.10.200",
            "1.2.3-rc.1",
            "1.2.3+build",
            "1.2.3-a+b",
        ] {
            assert_eq!(check_version(good), Ok(()), "{good}");
        }
        for bad in [
            "", "1", "1.0", "1.0.0.0", "01.0.0", "1.0.x", "v1.0.0", "1.0.0-", "1.0.0 a",
        ] {
            assert!(check_version(bad).is_err(), "{bad}");
        }
    }
}
