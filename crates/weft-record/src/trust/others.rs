//! Records that steer and observe: controls, blueprints, beacons, tasks, aggregates.

use std::collections::BTreeMap;

use litemap::LiteMap;
use weft_keys::PublicKey;

use super::{
    Admission, Missing, Standing, Trust, body::Body, members::HeldEnroll, signers::Signers,
};
use crate::{
    Aggregate, Beacon, Blueprint, Control, EnrollRoot, Envelope, Kind, Memo, Name, RecordId,
    Refusal, Revoke, RevokeTarget, Task, Verified,
    bounds::{MAX_AGGREGATES, MAX_BLUEPRINTS, MAX_CONTROLS, MAX_KEYS, MAX_TASKS},
};

/// All that is neither a root nor a release nor a head.
#[derive(Clone, Debug, Default)]
pub(super) struct Others {
    pub(super) revokes: BTreeMap<RecordId, Verified<Revoke>>,
    pub(super) enrolments: LiteMap<PublicKey, Vec<HeldEnroll>>,
    pub(super) enroll_root: Option<Verified<EnrollRoot>>,
    pub(super) controls: BTreeMap<RecordId, Verified<Control>>,
    pub(super) blueprints: BTreeMap<Name, Verified<Blueprint>>,
    /// The newest of each signer.
    pub(super) beacons: BTreeMap<PublicKey, Verified<Beacon>>,
    pub(super) tasks: BTreeMap<RecordId, Verified<Task>>,
    pub(super) aggregates: BTreeMap<RecordId, Verified<Aggregate>>,
}

impl Others {
    /// The envelopes in an order in which a verifier that holds roots and heads admits
    /// them; enrolments are left out, since they travel with their nodes.
    pub(super) fn envelopes(&self) -> impl Iterator<Item = (RecordId, &Envelope)> {
        fn of<T>(record: &Verified<T>) -> (RecordId, &Envelope) {
            (record.id(), record.envelope())
        }
        let first = self.revokes.values().map(of);
        first
            .chain(self.enroll_root.iter().map(of))
            .chain(self.controls.values().map(of))
            .chain(self.tasks.values().map(of))
            .chain(self.aggregates.values().map(of))
            .chain(self.blueprints.values().map(of))
            .chain(self.beacons.values().map(of))
    }

    /// The envelope of this record, if it is held.
    pub(super) fn held(&self, body: &Body, id: &RecordId) -> Option<&Envelope> {
        fn same<'a, T>(held: &'a Verified<T>, id: &RecordId) -> Option<&'a Envelope> {
            (held.id() == *id).then(|| held.envelope())
        }
        match body {
            Body::Control(_) => self.controls.get(id).map(Verified::envelope),
            Body::Revoke(_) => self.revokes.get(id).map(Verified::envelope),
            Body::Task(_) => self.tasks.get(id).map(Verified::envelope),
            Body::Aggregate(_) => self.aggregates.get(id).map(Verified::envelope),
            Body::Blueprint(one) => same(self.blueprints.get(&one.name)?, id),
            Body::EnrollRoot(_) => same(self.enroll_root.as_ref()?, id),
            Body::Beacon(_) => self.beacons.values().find_map(|held| same(held, id)),
            Body::Enroll(one) => {
                let mut held = self.enrolments.get(&one.node)?.iter();
                held.find_map(|held| same(&held.enroll, id))
            }
            Body::Root(_) | Body::Release(_) | Body::ReleaseFor(_) | Body::Head(_) => None,
        }
    }

    pub(super) fn find(&self, id: &RecordId) -> Option<&Envelope> {
        let enrolled = self.enrolments.values().flatten();
        let mut enrolled = enrolled.map(|held| (held.enroll.id(), held.enroll.envelope()));
        let found = self.envelopes().find(|(held, _)| held == id);
        let found = found.or_else(|| enrolled.find(|(held, _)| held == id));
        found.map(|(_, envelope)| envelope)
    }
}

impl Trust {
    /// Revocations.
    pub fn revokes(&self) -> impl Iterator<Item = &Verified<Revoke>> {
        self.others.revokes.values()
    }

    /// Whether a release was revoked.
    pub fn is_revoked(&self, release: &RecordId) -> bool {
        self.revoked_releases.contains(release)
    }

    /// Whether a key was revoked.
    pub fn is_key_revoked(&self, key: &PublicKey) -> bool {
        self.revoked_keys.contains(key)
    }

    /// The controls of a head.
    pub fn controls(&self, head: &RecordId) -> impl Iterator<Item = &Verified<Control>> {
        let all = self.others.controls.values();
        all.filter(move |control| control.head == *head)
    }

    pub(crate) fn all_controls(&self) -> impl Iterator<Item = &Verified<Control>> {
        self.others.controls.values()
    }

    /// The key that this revocation is about.
    pub(crate) fn revoked_key(&self, revoke: &RecordId) -> Option<PublicKey> {
        match self.others.revokes.get(revoke)?.target {
            RevokeTarget::Key(key) => Some(key),
            RevokeTarget::Release(_) => None,
        }
    }

    /// The newest blueprint of each name.
    pub fn blueprints(&self) -> impl Iterator<Item = &Verified<Blueprint>> {
        self.others.blueprints.values()
    }

    /// The newest beacon of each signer.
    pub fn beacons(&self) -> impl Iterator<Item = &Verified<Beacon>> {
        self.others.beacons.values()
    }

    /// The newest hash over all enrolments.
    pub fn enroll_root(&self) -> Option<&Verified<EnrollRoot>> {
        self.others.enroll_root.as_ref()
    }

    /// Telemetry tasks whose aggregators belong to the mesh and have different owners.
    ///
    /// The others are held too: who belongs changes with enrolments, and those come to
    /// every node in an order of their own.
    pub fn tasks(&self) -> impl Iterator<Item = &Verified<Task>> {
        let tasks = self.others.tasks.values();
        tasks.filter(|task| self.is_split(task))
    }

    fn is_split(&self, task: &Task) -> bool {
        let owner = |node: &PublicKey| match self.standing(node, 0) {
            Standing::Member(enroll) => Some(enroll.owner.clone()),
            Standing::Lapsed(_) | Standing::Stranger => None,
        };
        match (owner(&task.leader.node), owner(&task.helper.node)) {
            (Some(leader), Some(helper)) => leader != helper,
            _ => false,
        }
    }

    /// Who adds up the shares of a task, whether it counts or not.
    pub(crate) fn aggregators(&self, task: &RecordId) -> Option<[PublicKey; 2]> {
        let task = self.others.tasks.get(task)?;
        Some([task.leader.node, task.helper.node])
    }

    /// Opened sums of a task that counts. Where its aggregators opened one batch twice with
    /// two contents, neither counts.
    pub fn aggregates(&self, task: &RecordId) -> Vec<&Verified<Aggregate>> {
        if !self.tasks().any(|held| held.id() == *task) {
            return Vec::new();
        }
        let place = |sum: &Aggregate| (sum.epoch, sum.head, sum.wave, sum.batch);
        let mut found = BTreeMap::new();
        let all = self.others.aggregates.values();
        for sum in all.filter(|sum| sum.task == *task) {
            let first = found.insert(place(sum), Some(sum)).is_none();
            if !first {
                found.insert(place(sum), None);
            }
        }
        found.into_values().flatten().collect()
    }

    /// Heads that a beacon names and that this verifier does not hold: somebody keeps
    /// them from it, or they are still on their way.
    pub fn withheld(&self) -> Vec<(&Name, u64)> {
        let named = self.beacons().flat_map(|beacon| &beacon.heads);
        let lacking = named.filter(|named| {
            let line = self.lines.get(&named.channel);
            let newest = line.and_then(|line| line.own_heads().last());
            let epoch = self.epoch(&named.channel);
            named.epoch > epoch
                || named.epoch == epoch && newest.is_none_or(|newest| newest.seq < named.seq)
        });
        lacking.map(|named| (&named.channel, named.seq)).collect()
    }

    pub(crate) fn other_envelopes(&self) -> impl Iterator<Item = (RecordId, &Envelope)> {
        self.others.envelopes()
    }

    pub(super) fn admit_other(
        &mut self,
        body: Body,
        id: RecordId,
        mut envelope: Envelope,
        now_s: u64,
        memo: &mut Memo,
    ) -> Result<Admission, Refusal> {
        let kind = body.kind();
        if let Body::Aggregate(aggregate) = body {
            return self.admit_aggregate(*aggregate, id, envelope, now_s, memo);
        }
        self.backed(&body, &id, &envelope, false, memo)?;
        if let Some(admission) = self.look_around(&body)? {
            return Ok(admission);
        }
        let signer = envelope.sigs.iter().map(|(key, _)| *key);
        let signer = signer.into_iter().find(|key| self.is_named(&body, key));
        self.keep_signatures(&body, &id, &mut envelope, &[], memo);
        match body {
            Body::Control(control) => {
                room("controls", self.others.controls.len(), MAX_CONTROLS)?;
                let record = Verified::new(control, id, envelope, now_s);
                self.others.controls.insert(id, record);
            }
            Body::Task(task) => {
                room("tasks", self.others.tasks.len(), MAX_TASKS)?;
                let record = Verified::new(*task, id, envelope, now_s);
                self.others.tasks.insert(id, record);
            }
            Body::Blueprint(blueprint) => {
                let held = self.others.blueprints.get(&blueprint.name);
                if held
                    .is_some_and(|held| newer((held.version, held.id()), (blueprint.version, id)))
                {
                    return Ok(Admission::Superseded);
                }
                if held.is_none() {
                    room("blueprints", self.others.blueprints.len(), MAX_BLUEPRINTS)?;
                }
                let (name, record) = (blueprint.name.clone(), *blueprint);
                let record = Verified::new(record, id, envelope, now_s);
                self.others.blueprints.insert(name, record);
            }
            Body::Beacon(beacon) => {
                let Some(signer) = signer else {
                    return Ok(Admission::Superseded);
                };
                let held = self.others.beacons.get(&signer);
                let place = (beacon.issued_at_s, id);
                if held.is_some_and(|held| newer((held.issued_at_s, held.id()), place)) {
                    return Ok(Admission::Superseded);
                }
                if held.is_none() {
                    room("beacons", self.others.beacons.len(), MAX_KEYS)?;
                }
                let record = Verified::new(beacon, id, envelope, now_s);
                self.others.beacons.insert(signer, record);
            }
            Body::EnrollRoot(root) => {
                let held = self.others.enroll_root.as_ref();
                if held.is_some_and(|held| newer((held.seq, held.id()), (root.seq, id))) {
                    return Ok(Admission::Superseded);
                }
                self.others.enroll_root = Some(Verified::new(root, id, envelope, now_s));
            }
            Body::Root(_)
            | Body::Release(_)
            | Body::ReleaseFor(_)
            | Body::Head(_)
            | Body::Enroll(_)
            | Body::Revoke(_)
            | Body::Aggregate(_) => return Err(Refusal::UnknownKind(kind.number())),
        }
        Ok(Admission::New(kind, id))
    }

    /// What a record of this kind needs beside its signatures.
    fn look_around(&self, body: &Body) -> Result<Option<Admission>, Refusal> {
        match body {
            Body::Task(task) => {
                task.check_statements(&self.mesh_id)?;
                let floors = self.roots.last().map(|root| root.privacy);
                if floors.is_some_and(|floors| task.k < floors.k) {
                    return Err(Refusal::Privacy("its k is below the root's"));
                }
                if floors.is_some_and(|floors| task.site_cap_bp > floors.k_site_bp) {
                    return Err(Refusal::Privacy("its site cap is above the root's"));
                }
                let mut pair = [task.leader.node, task.helper.node].into_iter();
                let stranger = pair.find(|node| !self.others.enrolments.contains_key(node));
                Ok(stranger.map(|node| Admission::Waiting(Missing::Enrolment(node))))
            }
            _ => Ok(None),
        }
    }

    fn admit_aggregate(
        &mut self,
        aggregate: Aggregate,
        id: RecordId,
        mut envelope: Envelope,
        now_s: u64,
        memo: &mut Memo,
    ) -> Result<Admission, Refusal> {
        let Some(task) = self.others.tasks.get(&aggregate.task) else {
            return Ok(Admission::Waiting(Missing::Task(aggregate.task)));
        };
        let pair = [task.leader.node, task.helper.node];
        let mut signers = Signers::new(&envelope, &id, memo, Some(&self.revoked_keys));
        let mut have = 0;
        for key in &pair {
            have += usize::from(signers.has_signed(key)?);
        }
        if have < pair.len() {
            let (kind, need) = (Kind::Aggregate, pair.len());
            return Err(Refusal::BelowThreshold { kind, have, need });
        }
        if !aggregate.fits(task) {
            return Err(Refusal::OtherTask);
        }
        room("aggregates", self.others.aggregates.len(), MAX_AGGREGATES)?;
        envelope.sigs.retain(|(key, _)| pair.contains(key));
        let record = Verified::new(aggregate, id, envelope, now_s);
        self.others.aggregates.insert(id, record);
        Ok(Admission::New(Kind::Aggregate, id))
    }
}

/// Whether what is held comes after the other: the higher number, of equals the smaller id.
fn newer(held: (u64, RecordId), other: (u64, RecordId)) -> bool {
    held.0 > other.0 || held.0 == other.0 && held.1 < other.1
}

fn room(what: &'static str, held: usize, limit: usize) -> Result<(), Refusal> {
    if held < limit {
        Ok(())
    } else {
        Err(Refusal::Full { what, limit })
    }
}
