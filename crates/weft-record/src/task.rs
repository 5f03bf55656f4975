use serde::{Deserialize, Serialize};
use weft_keys::{PublicKey, SecretKey, Signature, domain};

use crate::{
    Hash, Invalid, MeshId, Name, RecordId, Refusal,
    bounds::{BASIS_POINTS, MAX_BUCKETS, MAX_METRICS},
    check,
};

/// What is counted, by whom, and how little may be seen of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// For people.
    pub name: Name,
    /// Gets the larger share of every report.
    pub leader: Aggregator,
    /// Gets the smaller one; another owner's.
    pub helper: Aggregator,
    /// What is counted, sorted by name.
    pub metrics: Vec<Metric>,
    /// How many parts of a proof are checked at once; a parameter of Prio3.
    pub chunk_length: u32,
    /// Contributors of an aggregate, at least.
    pub k: u32,
    /// Most that one site may contribute, in basis points.
    pub site_cap_bp: u16,
    /// The only site it is about; none for the whole mesh.
    pub site: Option<Name>,
    /// Length of an epoch.
    pub epoch_s: u32,
    /// When it was signed, in seconds since 1970.
    pub issued_at_s: u64,
    /// Until when it is counted.
    pub expires_s: u64,
}

/// A node that adds up shares, and the key that they are sealed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregator {
    /// The node.
    pub node: PublicKey,
    /// X25519 key made for this alone.
    pub hpke_key: [u8; 32],
    /// Until when it is used.
    pub expires_s: u64,
    /// The node's signature over mesh, key and expiry.
    pub statement: Signature,
}

/// A histogram.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name.
    pub name: Name,
    /// Upper bounds of all buckets but the last, increasing.
    pub bounds: Vec<u64>,
}

/// An opened sum, signed by both aggregators of its task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregate {
    /// The task.
    pub task: RecordId,
    /// Which epoch of it.
    pub epoch: u64,
    /// The head that its contributors were at.
    pub head: RecordId,
    /// The wave of the rollout that they were in.
    pub wave: u16,
    /// The batch.
    pub batch: Hash,
    /// How many contributed.
    pub contributors: u32,
    /// The counts, one list a metric, one number a bucket.
    pub counts: Vec<Vec<u64>>,
    /// Privacy loss of the noise that was added, in thousandths; 0 for exact counts.
    pub epsilon_milli: u32,
}

impl Task {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        if self.leader.node == self.helper.node {
            return Err(Invalid::Contradiction("leader and helper are two nodes"));
        }
        check::length("metrics", self.metrics.len(), 1, MAX_METRICS)?;
        check::sorted("metrics", self.metrics.iter().map(|metric| &metric.name))?;
        for metric in &self.metrics {
            check::length("a metric's bounds", metric.bounds.len(), 1, MAX_BUCKETS - 1)?;
            check::sorted("a metric's bounds", metric.bounds.iter())?;
        }
        check::number("k", u64::from(self.k), 1, u64::from(u32::MAX))?;
        let whole = u64::from(BASIS_POINTS);
        check::number("site_cap_bp", u64::from(self.site_cap_bp), 1, whole)?;
        check::number("epoch_s", u64::from(self.epoch_s), 1, u64::from(u32::MAX))?;
        check::number("expires_s", self.expires_s, self.issued_at_s, u64::MAX)
    }

    /// Whether both aggregators stand by their keys in this mesh.
    pub(crate) fn check_statements(&self, mesh_id: &MeshId) -> Result<(), Refusal> {
        for aggregator in [&self.leader, &self.helper] {
            let message = statement(mesh_id, &aggregator.hpke_key, aggregator.expires_s);
            aggregator
                .node
                .verify_strict(&message, &aggregator.statement)
                .map_err(|_| Refusal::BadSignature(aggregator.node))?;
        }
        Ok(())
    }
}

impl Aggregator {
    /// A node's word that shares for it are to be sealed to this key.
    pub fn new(mesh_id: &MeshId, node: &SecretKey, hpke_key: [u8; 32], expires_s: u64) -> Self {
        Self {
            node: node.public(),
            hpke_key,
            expires_s,
            statement: node.sign(&statement(mesh_id, &hpke_key, expires_s)),
        }
    }
}

impl Aggregate {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        check::length("counts", self.counts.len(), 1, MAX_METRICS)?;
        for counts in &self.counts {
            check::length("a metric's counts", counts.len(), 2, MAX_BUCKETS)?;
        }
        Ok(())
    }

    /// Whether it has the shape that its task asks for.
    pub(crate) fn fits(&self, task: &Task) -> bool {
        let buckets = task.metrics.iter().map(|metric| metric.bounds.len() + 1);
        self.contributors >= task.k && self.counts.iter().map(Vec::len).eq(buckets)
    }
}

fn statement(mesh_id: &MeshId, hpke_key: &[u8; 32], expires_s: u64) -> Vec<u8> {
    let parts: [&[u8]; 4] = [
        domain::AGGREGATOR,
        mesh_id.as_bytes(),
        hpke_key,
        &expires_s.to_le_bytes(),
    ];
    parts.concat()
}
