//! A whole run as plain data: the mesh, and what is done to it and when. A seed becomes one
//! of these first, so that a run can be written down, made smaller and played again.
#![allow(missing_docs)] // the fields of faults say what they are

use serde::{Deserialize, Serialize};

/// A run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Seeds the keys and the nodes' own choices.
    pub seed: u64,
    /// How many keys must sign each release and each head.
    pub threshold: u16,
    /// How long things go wrong, before everything is healed.
    pub chaos_us: u64,
    /// Length of every chunk.
    pub chunk_bytes: u32,
    /// Pairs of nodes that are linked.
    pub links: Vec<(usize, usize)>,
    /// Where nodes are.
    #[serde(rename = "site")]
    pub sites: Vec<Place>,
    /// Nodes; the admin works at the first, which holds the bytes of all releases.
    #[serde(rename = "node")]
    pub nodes: Vec<Member>,
    /// What there is to publish, in this order.
    #[serde(rename = "release")]
    pub releases: Vec<Model>,
    /// What goes wrong, by time.
    #[serde(rename = "fault", default)]
    pub faults: Vec<Fault>,
}

/// A site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Bytes a second from and to other sites; 0: no limit.
    pub uplink_bytes_per_sec: u64,
    /// To the middle of the network and back.
    pub wan_round_trip_us: u64,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Where it is.
    pub site: usize,
    /// Bytes a second that it can send.
    pub uplink_bytes_per_sec: u64,
    /// What it does.
    pub role: Part,
    /// Its owner gives it room for so many files of the largest release; 0: for all.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub room_files: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's way
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// What it should.
    Honest,
    /// It answers with other bytes than asked for.
    Corrupt,
    /// It answers no request for bytes.
    Stalling,
    /// Its enrolment runs out so many seconds after the beginning.
    Lapsing(u64),
    /// Its clock is years ahead, and it activates nothing new while the root has run out.
    Stale,
    /// It joins by invitation.
    Joining,
    /// A member that is no node: it says what [`Action::Hostile`] makes it say.
    Hostile,
    /// The same, but it was never enrolled.
    Spy,
}

/// A release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Chunks of its one file.
    pub chunks: u32,
    /// The first so many are those of the others too.
    pub shared: u32,
    /// What its model is worth.
    pub worth: Worth,
}

/// What a model is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Worth {
    /// It works.
    Good,
    /// It fails its probe.
    Bad,
    /// It passes its probe, and fails once it is active.
    Failing,
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// When.
    pub at_us: u64,
    /// What.
    #[serde(flatten)]
    pub action: Action,
}

/// What goes wrong. Each means something whatever went before: to start a node that is up
/// changes nothing, and what names a node or release that is not there is skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// The process is killed: what was written stays.
    Kill { node: usize },
    /// The power fails: what was not synced is gone.
    PowerCut { node: usize },
    /// A node that is down starts.
    Start { node: usize },
    /// Links between these nodes and the others are cut.
    Partition { side: Vec<usize> },
    /// What partitions cut is whole again.
    Heal,
    /// One link is cut.
    Unlink { a: usize, b: usize },
    /// One link stands again.
    Link { a: usize, b: usize },
    /// Writes fail for want of space.
    DiskFull { node: usize },
    /// There is space again.
    DiskFree { node: usize },
    /// The owner of a node pins a release, instead of the one before.
    Pin { node: usize, release: usize },
    /// A bit rots in the first chunk of a release, at or after this, that a node holds.
    Rot {
        node: usize,
        release: usize,
        chunk: u32,
    },
    /// A site's uplink carries so much from now on.
    Uplink { site: usize, bytes_per_sec: u64 },
    /// The admin publishes the next release; `raised`: nothing older is allowed after it.
    Publish { raised: bool },
    /// The admin goes back aloud: a newer head names the release before.
    PointBack,
    /// Somebody with the admin's keys goes back below the floor, as it is or lowered.
    Rollback { lowers: bool },
    /// A second admin signs for the same place, at a node, and neither knows of the other
    /// until all is healed.
    Twin { node: usize },
    /// New keys for heads and releases.
    Rotate,
    /// A new key for enrolments: every node must be enrolled anew.
    RotateEnroll,
    /// The newest release no longer counts.
    RevokeRelease,
    /// So many releases that nobody has no longer count: what grows over years.
    RevokeMany { count: usize },
    /// A node no longer belongs.
    RevokeNode { node: usize },
    /// A key of heads revokes itself: nothing new until new keys are made.
    LoseKey,
    /// Somebody signs with stolen keys, at a node: with so many of each role, and each
    /// signature twice if `doubled`.
    Steal {
        node: usize,
        keys: usize,
        doubled: bool,
    },
    /// Somebody with stolen keys signs a head for the place that the admin's next one has.
    Equivocate { node: usize },
    /// The stolen key goes on signing, at a node, after it was revoked or replaced.
    KeepStealing { node: usize },
    /// An admin resumes a rollout.
    Control { number: u32 },
    /// An admin shows a sign of life, so far ahead of the last.
    Beacon { ahead_s: u64 },
    /// A puppet says something to a node.
    Hostile { from: usize, to: usize, says: Lie },
}

/// What a puppet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lie {
    /// That it holds all of the newest release, and then it answers nothing.
    HoldsAll,
    /// Heads from the beginning.
    StaleHeads,
    /// All records that ever were, in the wrong order.
    Replay,
    /// A head that nobody signed.
    ForgedHead,
    /// A chunk that nobody asked for.
    UnaskedChunk,
    /// It asks for chunks, maps and records, and wants news.
    AsksForAll,
}

/// Why a script cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// Not what a script looks like.
    #[error("it is no fault script: {0}")]
    Format(#[from] toml::de::Error),
    /// A number that the format cannot hold.
    #[error("it cannot be written: {0}")]
    Write(#[from] toml::ser::Error),
    /// Something that makes no mesh.
    #[error("{0}")]
    Impossible(String),
}

/// Most nodes, releases, chunks and faults of a script that is read from a file: a run of a
/// larger one would not end.
const MOST: usize = 4_096;

impl Script {
    /// As text.
    pub fn to_toml(&self) -> Result<String, ScriptError> {
        Ok(toml::to_string(self)?)
    }

    /// From text; what comes back can be played.
    pub fn from_toml(text: &str) -> Result<Self, ScriptError> {
        let script: Self = toml::from_str(text)?;
        script.check()?;
        Ok(script)
    }

    fn check(&self) -> Result<(), ScriptError> {
        let impossible = |text: String| Err(ScriptError::Impossible(text));
        let counts = [
            ("sites", self.sites.len(), 1),
            ("nodes", self.nodes.len(), 2),
            ("releases", self.releases.len(), 1),
            ("links", self.links.len(), 0),
            ("faults", self.faults.len(), 0),
        ];
        for (what, count, least) in counts {
            if !(least..=MOST).contains(&count) {
                return impossible(format!("{count} {what}: {least} to {MOST} can be played"));
            }
        }
        if !matches!(self.threshold, 1..=8) {
            return impossible(format!("threshold {}: 1 to 8 can be", self.threshold));
        }
        if !(1..=weft_record::MAX_CHUNK_BYTES).contains(&self.chunk_bytes) {
            return impossible(format!("chunks of {} bytes cannot be", self.chunk_bytes));
        }
        if self.nodes[0].role != Part::Honest {
            return impossible("the first node is the admin's: its role is \"honest\"".to_owned());
        }
        for (index, node) in self.nodes.iter().enumerate() {
            if node.site >= self.sites.len() {
                return impossible(format!(
                    "node {index} is at site {}, which is not there",
                    node.site
                ));
            }
            if node.uplink_bytes_per_sec == 0 {
                return impossible(format!(
                    "node {index} can send nothing: uplink_bytes_per_sec is 0"
                ));
            }
        }
        for (a, b) in &self.links {
            if *a == *b || *a.max(b) >= self.nodes.len() {
                return impossible(format!("the link of {a} and {b} has not two ends"));
            }
        }
        for (index, release) in self.releases.iter().enumerate() {
            if release.chunks == 0 || release.chunks as usize > MOST {
                return impossible(format!(
                    "release {index} has {} chunks: 1 to {MOST} can be",
                    release.chunks
                ));
            }
        }
        if !self.faults.is_sorted_by_key(|fault| fault.at_us) {
            return impossible("faults are sorted by time".to_owned());
        }
        Ok(())
    }
}
