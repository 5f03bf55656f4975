//! Keys in a second place: a careless admin, or a thief.

use weft_core::Command;
use weft_keys::SecretKey;
use weft_record::{Hash, Head, Kind, RecordId, Trust, codec, head_after, next_head};

use super::{Admin, NOW_S, VirtualRelease};

impl Admin {
    /// The same keys in a second place, where nothing of the first is seen from now on: a
    /// careless admin, or a thief.
    #[must_use]
    pub fn twin(&self) -> Self {
        let mut memo = self.memo.clone();
        let mut trust = Trust::new(self.mesh_id);
        for envelope in self.trust.records() {
            trust
                .admit(envelope.clone(), NOW_S, &mut memo)
                .expect("an own record is admitted");
        }
        let copy = |key: &SecretKey| SecretKey::from_seed(*key.seed());
        let keys = self.keys.iter();
        Self {
            seed: self.seed,
            root_key: copy(&self.root_key),
            keys: keys
                .map(|(name, own)| (*name, own.iter().map(copy).collect()))
                .collect(),
            made: self.made,
            trust,
            mesh_id: self.mesh_id,
            channel: self.channel.clone(),
            memo,
            enrolled: self.enrolled.clone(),
            published: self.published,
            archive: self.archive.clone(),
        }
    }

    /// The same, but with only these keys of each role: what a thief has.
    #[must_use]
    pub fn thief(&self, kept: &[(&'static str, usize)]) -> Self {
        let mut thief = self.twin();
        for (name, own) in &mut thief.keys {
            let found = kept.iter().find(|(kept, _)| kept == name);
            own.truncate(found.map_or(0, |(_, count)| *count));
        }
        thief
    }

    /// Signs a release and a head without asking whether anybody would accept them.
    pub fn forge(&mut self, release: &VirtualRelease) -> (RecordId, Command) {
        let record = release.record(self.published);
        self.published += 1;
        let release = self.sign("release", Kind::Release, codec::encode(&record));
        let id = release.record_id();
        let _ = self.trust.admit(release.clone(), NOW_S, &mut self.memo);
        let newest = self
            .trust
            .head(&self.channel())
            .map(|head| (**head).clone());
        // what it signed may lack signatures, so that not even the thief accepts it
        let named = (id, record.counter);
        let head = head_after(&self.trust, &self.channel(), named, Hash::ZERO, NOW_S);
        let head = head.ok().or(newest.map(|newest| Head {
            seq: newest.seq + 1,
            release: id,
            ..newest
        }));
        let head = head.map(|head| self.sign("head", Kind::Head, codec::encode(&head)));
        let records = [Some(release), head].into_iter().flatten();
        (
            id,
            Command::Import(records.map(|one| one.encode()).collect()),
        )
    }

    /// A head for the next place whose floor is this, whatever its release's counter is:
    /// what a thief, or an admin without a verifier, would sign.
    pub fn force(&mut self, release: RecordId, floor: u64) -> Option<Command> {
        let newest = self.trust.head(&self.channel()).cloned()?;
        let proper = next_head(
            &self.trust,
            &self.channel(),
            newest.release,
            Hash::ZERO,
            NOW_S,
        );
        let head = Head {
            release,
            counter_floor: floor,
            ..proper.ok()?
        };
        let head = self.sign("head", Kind::Head, codec::encode(&head));
        Some(Command::Import(vec![head.encode()]))
    }
}
