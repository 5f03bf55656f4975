//! What each node was told and accepted, read a second time: envelopes are taken apart
//! and their signatures counted here, by rules written down once more and more simply
//! than in the verifier that is under test.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use weft_keys::PublicKey;
use weft_record::{
    Enroll, Envelope, Hash, Head, Kind, Name, RecordId, Release, Revoke, RevokeTarget, Root,
    bounds::MAX_RECORD_BYTES, codec,
};

use crate::journal::{Change, Entry};

/// What all nodes hold.
#[derive(Debug, Default)]
pub struct Knowledge {
    /// By the hash of the encoded envelope.
    facts: BTreeMap<Hash, Option<Rc<Fact>>>,
    /// Envelopes whose signatures are by the keys that they name.
    vouched: BTreeSet<Hash>,
    nodes: BTreeMap<usize, Held>,
}

/// One envelope, taken apart.
#[derive(Debug)]
pub struct Fact {
    /// The record's id.
    pub id: RecordId,
    /// Its kind.
    pub kind: Kind,
    /// What is in it.
    pub body: Body,
    /// Keys whose signature is right.
    pub signers: BTreeSet<PublicKey>,
}

/// Bodies that matter here.
#[derive(Debug)]
pub enum Body {
    /// Who may sign what.
    Root(Box<Root>),
    /// A model.
    Release(Box<Release>),
    /// What a channel is at.
    Head(Head),
    /// What no longer counts.
    Revoke(Revoke),
    /// Who belongs.
    Enroll(Box<Enroll>),
    /// Anything else.
    Other,
}

/// What one node accepted since it started, and what its disk held then.
#[derive(Clone, Debug, Default)]
pub struct Held {
    roots: BTreeMap<u64, Rc<Fact>>,
    records: BTreeMap<RecordId, Rc<Fact>>,
    /// The same record may come with other signatures.
    signers: BTreeMap<RecordId, BTreeSet<PublicKey>>,
    /// Heads that came after all that they build on. Others may be kept for their floor
    /// alone.
    placed: BTreeSet<RecordId>,
}

impl Knowledge {
    /// Nobody need check the signatures of these envelopes: whoever calls made them.
    pub fn vouch(&mut self, envelopes: &[Vec<u8>]) {
        self.vouched
            .extend(envelopes.iter().map(|bytes| Hash::of(bytes)));
    }

    /// Learns from one change; returns what the node accepted just now.
    pub fn learn(&mut self, entry: &Entry) -> Vec<Rc<Fact>> {
        let (envelopes, anew) = match &entry.change {
            Change::Started(records) => (records, true),
            Change::Records { envelopes, .. } => (envelopes, false),
            _ => return Vec::new(),
        };
        let facts: Vec<_> = envelopes.iter().filter_map(|one| self.fact(one)).collect();
        if anew {
            self.nodes.remove(&entry.node);
        }
        let held = self.nodes.entry(entry.node).or_default();
        for fact in &facts {
            held.add(fact);
        }
        if anew { Vec::new() } else { facts }
    }

    /// What a node holds.
    pub fn of(&self, node: usize) -> Option<&Held> {
        self.nodes.get(&node)
    }

    fn fact(&mut self, bytes: &[u8]) -> Option<Rc<Fact>> {
        let name = Hash::of(bytes);
        if let Some(fact) = self.facts.get(&name) {
            return fact.clone();
        }
        let fact = take_apart(bytes, self.vouched.contains(&name)).map(Rc::new);
        self.facts.insert(name, fact.clone());
        fact
    }
}

fn take_apart(bytes: &[u8], vouched: bool) -> Option<Fact> {
    let envelope = Envelope::decode(bytes).ok()?;
    let kind = Kind::from_number(envelope.kind)?;
    let body = match kind {
        Kind::Root => Body::Root(Box::new(read(&envelope)?)),
        Kind::Release => Body::Release(Box::new(read(&envelope)?)),
        Kind::Head => Body::Head(read(&envelope)?),
        Kind::Revoke => Body::Revoke(read(&envelope)?),
        Kind::Enroll => Body::Enroll(Box::new(read(&envelope)?)),
        _ => Body::Other,
    };
    let message = envelope.signed_bytes();
    let right = envelope
        .sigs
        .iter()
        .filter(|(key, signature)| vouched || key.verify_strict(&message, signature).is_ok());
    Some(Fact {
        id: envelope.record_id(),
        kind,
        body,
        signers: right.map(|(key, _)| *key).collect(),
    })
}

fn read<T: serde::Serialize + serde::de::DeserializeOwned>(envelope: &Envelope) -> Option<T> {
    codec::decode(&envelope.body, MAX_RECORD_BYTES).ok()
}

impl Held {
    fn add(&mut self, fact: &Rc<Fact>) {
        if let Body::Root(root) = &fact.body {
            self.roots.insert(root.version, Rc::clone(fact));
        }
        self.records.insert(fact.id, Rc::clone(fact));
        if let Body::Head(head) = &fact.body
            && (head.seq == 0 || head.prevs.iter().all(|prev| self.placed.contains(prev)))
            && self.records.contains_key(&head.release)
        {
            self.placed.insert(fact.id);
        }
        let signers = self.signers.entry(fact.id).or_default();
        signers.extend(&fact.signers);
    }

    /// All roots, the first of the mesh first.
    pub fn roots(&self) -> impl DoubleEndedIterator<Item = &Root> {
        self.roots.values().filter_map(|fact| match &fact.body {
            Body::Root(root) => Some(&**root),
            _ => None,
        })
    }

    /// The newest root.
    pub fn root(&self) -> Option<&Root> {
        self.roots().next_back()
    }

    /// A head.
    pub fn head(&self, id: &RecordId) -> Option<&Head> {
        match &self.records.get(id)?.body {
            Body::Head(head) => Some(head),
            _ => None,
        }
    }

    /// All heads of a channel.
    pub fn heads(&self, channel: &Name) -> impl Iterator<Item = (RecordId, &Head)> {
        self.records
            .iter()
            .filter_map(move |(id, fact)| match &fact.body {
                Body::Head(head) if head.channel == *channel => Some((*id, head)),
                _ => None,
            })
    }

    /// Whether a head came after all that it builds on.
    pub fn is_placed(&self, head: &RecordId) -> bool {
        self.placed.contains(head)
    }

    /// A release.
    pub fn release(&self, id: &RecordId) -> Option<&Release> {
        match &self.records.get(id)?.body {
            Body::Release(release) => Some(release),
            _ => None,
        }
    }

    /// Epoch of a channel and the head that it begins with.
    pub fn epoch(&self, channel: &Name) -> (u64, Option<RecordId>) {
        let resets = self.roots().flat_map(|root| &root.resets);
        let of_channel = resets.filter(|reset| reset.channel == *channel);
        let newest = of_channel.max_by_key(|reset| reset.epoch);
        newest.map_or((0, None), |reset| (reset.epoch, reset.base))
    }

    /// Whether a record was signed, at least, by a threshold of different keys of one role
    /// that this root gives such records to.
    pub fn is_signed(&self, root: &Root, fact: &Fact, without: &BTreeSet<PublicKey>) -> bool {
        let empty = BTreeSet::new();
        let signers = self.signers.get(&fact.id).unwrap_or(&empty);
        let count = |keys: &[PublicKey]| {
            let signed = |key: &&PublicKey| signers.contains(key) && !without.contains(key);
            keys.iter().filter(signed).count()
        };
        let by_root = count(&root.keys) >= usize::from(root.threshold);
        match &fact.body {
            Body::Root(_) => return by_root,
            Body::Revoke(revoke) => {
                let own = matches!(revoke.target, RevokeTarget::Key(key) if signers.contains(&key));
                if own || by_root {
                    return true;
                }
            }
            _ => {}
        }
        root.roles.iter().any(|role| {
            role.kinds.contains(&fact.kind.number())
                && count(&role.keys) >= usize::from(role.threshold)
        })
    }

    /// Keys that no longer count: they said so themselves, or the root did.
    pub fn revoked_keys(&self) -> BTreeSet<PublicKey> {
        let Some(root) = self.root() else {
            return BTreeSet::new();
        };
        let revokes = self.records.values().filter_map(|fact| match &fact.body {
            Body::Revoke(revoke) => match revoke.target {
                RevokeTarget::Key(key) => Some((key, fact)),
                RevokeTarget::Release(_) => None,
            },
            _ => None,
        });
        let by_root = |fact: &Fact| {
            let signed = root.keys.iter().filter(|key| fact.signers.contains(key));
            signed.count() >= usize::from(root.threshold)
        };
        revokes
            .filter(|(key, fact)| fact.signers.contains(key) || by_root(fact))
            .map(|(key, _)| key)
            .collect()
    }

    /// Whether a release was revoked by who may do so now; `ever` also by who might once.
    pub fn is_revoked(&self, release: &RecordId, ever: bool) -> bool {
        let none = BTreeSet::new();
        self.records.values().any(|fact| {
            let Body::Revoke(revoke) = &fact.body else {
                return false;
            };
            revoke.target == RevokeTarget::Release(*release)
                && (ever
                    || self
                        .root()
                        .is_some_and(|root| self.is_signed(root, fact, &none)))
        })
    }

    /// Whether a record counts now: a threshold of keys that the newest root names and
    /// nobody revoked has signed it.
    pub fn counts(&self, id: &RecordId, revoked: &BTreeSet<PublicKey>) -> bool {
        let (Some(root), Some(fact)) = (self.root(), self.records.get(id)) else {
            return false;
        };
        self.is_signed(root, fact, revoked)
    }

    /// The highest floor that any head of the channel's epoch has set.
    pub fn floor(&self, channel: &Name) -> u64 {
        let (epoch, base) = self.epoch(channel);
        let floors = self
            .heads(channel)
            .filter(|(id, head)| head.epoch == epoch || base == Some(*id))
            .map(|(_, head)| head.counter_floor);
        floors.max().unwrap_or(0)
    }

    /// Whether this node was ever enrolled, as far as is known here.
    pub fn is_enrolled(&self, node: &PublicKey) -> bool {
        self.records
            .values()
            .any(|fact| matches!(&fact.body, Body::Enroll(enroll) if enroll.node == *node))
    }
}
