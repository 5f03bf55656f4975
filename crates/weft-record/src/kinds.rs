//! The bodies of records, every field from the first version on.
//!
//! Lists that mean sets are strictly increasing, fractions are basis points, texts
//! and lists are bounded; [`Check::check`] says which rule is broken.

use serde::{Deserialize, Serialize};
use weft_keys::PublicKey;

use crate::{
    hash::{Hash, MeshId, RecordId},
    name::Name,
    refusal::Refusal,
};

/// Most keys of one role.
pub const MAX_KEYS: usize = 32;
/// Most roles of a Root.
pub const MAX_ROLES: usize = 32;
/// Most channels or sites that a scope names.
pub const MAX_SCOPE: usize = 64;
/// Most resets, and most kept sets, of one Root.
pub const MAX_RESETS: usize = 64;
/// Most variants of a release: quantizations of one model.
pub const MAX_VARIANTS: usize = 16;
/// Most files of a variant.
pub const MAX_FILES: usize = 64;
/// Longest path of a file.
pub const MAX_PATH_BYTES: usize = 200;
/// Longest free text.
pub const MAX_TEXT_BYTES: usize = 8 * 1024;
/// Longest short text, such as a version or a licence name.
pub const MAX_SHORT_TEXT_BYTES: usize = 128;
/// Most probes of a release.
pub const MAX_PROBES: usize = 64;
/// Longest probe prompt.
pub const MAX_PROMPT_BYTES: usize = 2 * 1024;
/// Longest probe answer, tokens.
pub const MAX_ANSWER_TOKENS: u32 = 256;
/// Most heads that one head names as its predecessors: both sides of a fork, and more.
pub const MAX_PREVS: usize = 8;

/// Basis points of the whole.
const WHOLE_BP: u16 = 10_000;

/// Rules of a body.
pub(crate) trait Check {
    /// The first rule that is broken.
    fn check(&self) -> Result<(), Refusal>;
}

/// Keys, roles and rules of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The mesh; in the genesis Root it is the hash of this body with zeros here.
    pub mesh_id: MeshId,
    /// 1 for the genesis.
    pub version: u64,
    /// The Root before; `None` for the genesis.
    pub prev: Option<RecordId>,
    /// Keys that sign Roots, increasing.
    pub keys: Vec<PublicKey>,
    /// How many of them must.
    pub threshold: u16,
    /// Who may sign what, increasing by name.
    pub roles: Vec<Role>,
    /// Channels that begin a new epoch, increasing by name.
    pub resets: Vec<Reset>,
    /// Records that stay valid though their keys are not, increasing by kind.
    pub kept: Vec<Kept>,
    /// When it begins to hold, seconds since 1970.
    pub valid_from_s: u64,
    /// When it should have been renewed, seconds since 1970.
    pub valid_until_s: u64,
    /// What telemetry must respect.
    pub privacy: PrivacyFloors,
}

/// Who may sign what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its name.
    pub name: Name,
    /// Its keys, increasing.
    pub keys: Vec<PublicKey>,
    /// How many of them must sign.
    pub threshold: u16,
    /// Numbers of the kinds it may sign, increasing.
    pub kinds: Vec<u8>,
    /// Channels it may sign for, increasing; empty means all.
    pub channels: Vec<Name>,
    /// Sites it may sign for, increasing; empty means all.
    pub sites: Vec<Name>,
}

/// A channel's new epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// The channel.
    pub channel: Name,
    /// Its epoch from now on.
    pub epoch: u64,
    /// The last head that is still trusted, if any.
    pub base: Option<RecordId>,
}

/// Records kept by their Merkle root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Number of the kind.
    pub kind: u8,
    /// Merkle root over their ids.
    pub merkle_root: Hash,
}

/// Floors of telemetry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivacyFloors {
    /// Fewest contributors of an opened aggregate.
    pub k: u32,
    /// Fewest contributors of a site's own aggregate.
    pub k_site: u32,
    /// Largest privacy loss an epoch, thousandths.
    pub epsilon_milli: u32,
}

/// A model with its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The model's name.
    pub model: Name,
    /// For people; orders nothing.
    pub version: String,
    /// Security counter: a floor is set against it.
    pub counter: u64,
    /// The same model in several quantizations.
    pub variants: Vec<Variant>,
    /// A tokenizer beside the variants' files, if they do not carry it.
    pub tokenizer: Option<FileEntry>,
    /// A chat template beside the variants' files, if they do not carry it.
    pub template: Option<FileEntry>,
    /// The release that deltas or an adapter build on.
    pub base: Option<RecordId>,
    /// Golden prompts and limits.
    pub probe_set: ProbeSet,
    /// Where it comes from.
    pub lineage: Lineage,
    /// For people.
    pub notes: String,
    /// Licence of the weights.
    pub licence: String,
}

/// One quantization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// Its name, such as `q8_0`.
    pub quantization: Name,
    /// Its files, increasing by path.
    pub files: Vec<FileEntry>,
    /// What a machine needs to run it.
    pub requires: Requires,
}

/// A file by its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Relative, `/` between parts, each part a plain name.
    pub path: String,
    /// Bytes.
    pub length: u64,
    /// BLAKE3 of the whole.
    pub blake3: Hash,
    /// BLAKE3 of its encoded chunk map.
    pub chunk_map: Hash,
}

/// What a machine needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requires {
    /// Processor architecture; empty means any.
    pub architecture: String,
    /// Memory.
    pub ram_bytes: u64,
    /// Free disk.
    pub disk_bytes: u64,
    /// Instruction sets, increasing.
    pub isa: Vec<Name>,
}

/// Golden prompts and what counts as passing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeSet {
    /// The prompts.
    pub probes: Vec<Probe>,
    /// The limits.
    pub limits: ProbeLimits,
}

/// One golden prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What a user would say.
    pub prompt: String,
    /// Most tokens of the answer.
    pub max_tokens: u32,
    /// The greedy answer's token ids, one list a variant, in their order.
    pub expected: Vec<Vec<u32>>,
}

/// What a probe run must keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeLimits {
    /// Share of probes whose answer must be the expected one, basis points.
    pub min_match_bp: u16,
    /// Slowest decoding, thousandths of a token a second; 0 means any.
    pub min_tokens_per_sec_milli: u64,
    /// Most memory; 0 means any.
    pub max_memory_bytes: u64,
}

/// Where a release comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// The release it was trained from.
    pub parent: Option<RecordId>,
    /// The model it was distilled from.
    pub teacher: String,
    /// Names the training data.
    pub dataset: String,
    /// What trained it.
    pub tool: String,
    /// How it did, as its signer measured.
    pub evaluation: String,
}

/// Which release a channel points to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The channel.
    pub channel: Name,
    /// Its epoch, which only a Root changes.
    pub epoch: u64,
    /// Its place in the epoch, from 0.
    pub seq: u64,
    /// The heads before it, increasing: one, or all sides of a fork it resolves.
    pub prevs: Vec<RecordId>,
    /// Merkle root over all places before this one.
    pub history: Hash,
    /// What to run.
    pub release: RecordId,
    /// Releases below this security counter are refused from now on.
    pub counter_floor: u64,
    /// Names the rollout policy; zero means none.
    pub policy: Hash,
    /// For people and freshness, seconds since 1970.
    pub issued_at_s: u64,
}

impl Check for Root {
    fn check(&self) -> Result<(), Refusal> {
        rule("version", "counts from 1", self.version >= 1)?;
        let first = self.version == 1;
        rule("prev", "only the genesis has none", first == self.prev.is_none())?;
        keys("keys", &self.keys, self.threshold)?;
        rule("roles", "at most 32", self.roles.len() <= MAX_ROLES)?;
        rule("roles", "increase by name", increasing(&self.roles, |role| &role.name))?;
        for role in &self.roles {
            keys("role keys", &role.keys, role.threshold)?;
            rule("role kinds", "increase", increasing(&role.kinds, |kind| kind))?;
            rule("role channels", "increase", increasing(&role.channels, |name| name))?;
            rule("role sites", "increase", increasing(&role.sites, |name| name))?;
            let scope = role.channels.len().max(role.sites.len()).max(role.kinds.len());
            rule("role scope", "at most 64 entries", scope <= MAX_SCOPE)?;
        }
        rule("resets", "increase by channel", increasing(&self.resets, |reset| &reset.channel))?;
        rule("kept", "increase by kind", increasing(&self.kept, |kept| &kept.kind))?;
        let lists = self.resets.len().max(self.kept.len());
        rule("resets and kept", "at most 64 each", lists <= MAX_RESETS)?;
        rule("validity", "ends after it begins", self.valid_from_s < self.valid_until_s)
    }
}

impl Check for Release {
    fn check(&self) -> Result<(), Refusal> {
        short("version", &self.version)?;
        rule("version", "is not empty", !self.version.is_empty())?;
        let variants = self.variants.len();
        rule("variants", "1 to 16", (1..=MAX_VARIANTS).contains(&variants))?;
        for (index, variant) in self.variants.iter().enumerate() {
            let earlier = &self.variants[..index];
            let fresh = earlier.iter().all(|other| other.quantization != variant.quantization);
            rule("variants", "differ in quantization", fresh)?;
            rule("files", "1 to 64", (1..=MAX_FILES).contains(&variant.files.len()))?;
            rule("files", "increase by path", increasing(&variant.files, |file| &file.path))?;
            variant.files.iter().try_for_each(file)?;
            short("requires.architecture", &variant.requires.architecture)?;
            rule("requires.isa", "increase", increasing(&variant.requires.isa, |name| name))?;
            rule("requires.isa", "at most 64", variant.requires.isa.len() <= MAX_SCOPE)?;
        }
        self.tokenizer.iter().try_for_each(file)?;
        self.template.iter().try_for_each(file)?;
        rule("probes", "at most 64", self.probe_set.probes.len() <= MAX_PROBES)?;
        for probe in &self.probe_set.probes {
            rule("probe prompt", "at most 2048 bytes", probe.prompt.len() <= MAX_PROMPT_BYTES)?;
            let tokens = (1..=MAX_ANSWER_TOKENS).contains(&probe.max_tokens);
            rule("probe max_tokens", "1 to 256", tokens)?;
            rule("probe expected", "one answer a variant", probe.expected.len() == variants)?;
            let fits = |answer: &Vec<u32>| answer.len() <= probe.max_tokens as usize;
            rule("probe expected", "at most max_tokens", probe.expected.iter().all(fits))?;
        }
        let share = self.probe_set.limits.min_match_bp;
        rule("min_match_bp", "at most 10000", share <= WHOLE_BP)?;
        let lineage = &self.lineage;
        for text in [&lineage.teacher, &lineage.dataset, &lineage.tool, &self.licence] {
            short("lineage and licence", text)?;
        }
        let texts = self.notes.len().max(lineage.evaluation.len());
        rule("notes and evaluation", "at most 8192 bytes", texts <= MAX_TEXT_BYTES)
    }
}

impl Check for Head {
    fn check(&self) -> Result<(), Refusal> {
        rule("prevs", "at most 8", self.prevs.len() <= MAX_PREVS)?;
        rule("prevs", "increase", increasing(&self.prevs, |id| id))
    }
}

fn rule(field: &'static str, rule: &'static str, holds: bool) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal::Field { field, rule }) }
}

fn short(field: &'static str, text: &str) -> Result<(), Refusal> {
    rule(field, "at most 128 bytes", text.len() <= MAX_SHORT_TEXT_BYTES)
}

fn increasing<T, K: Ord + ?Sized>(list: &[T], key: impl Fn(&T) -> &K) -> bool {
    list.windows(2).all(|pair| key(&pair[0]) < key(&pair[1]))
}

fn keys(field: &'static str, keys: &[PublicKey], threshold: u16) -> Result<(), Refusal> {
    rule(field, "1 to 32", (1..=MAX_KEYS).contains(&keys.len()))?;
    rule(field, "increase", increasing(keys, |key| key))?;
    let reachable = threshold >= 1 && usize::from(threshold) <= keys.len();
    rule("threshold", "1 to the number of keys", reachable)
}

/// A path that stays inside its slot on every system.
fn file(entry: &FileEntry) -> Result<(), Refusal> {
    rule("path", "1 to 200 bytes", (1..=MAX_PATH_BYTES).contains(&entry.path.len()))?;
    let plain = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(allowed)
    };
    rule("path", "parts of A–Z, a–z, 0–9, '.', '_', '-'", entry.path.split('/').all(plain))?;
    rule("length", "is not zero", entry.length > 0)
}
