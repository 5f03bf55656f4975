//! Reads the steps of a table and takes them.

use std::collections::BTreeMap;

use serde_json::Value;
use weft_keys::PublicKey;
use weft_record::{
    Admission, Envelope, Hash, Kind, RecordId, Refusal, Release, Reset, Role, Root, TimeState,
    Verdict, codec, head_after, next_root,
};

use crate::mesh::{Mesh, NOW_S, key, name, public, release};

/// One case under way: a verifier that holds the first root (root keys 1, 2 and 3, two of
/// them; release key 10; head keys 20 and 21, both of them, for `stable`; 25 for `beta`).
pub(crate) struct Table {
    case: String,
    mesh: Mesh,
    now_s: u64,
    /// Everything that was shown, by the name that a step gave it.
    shown: BTreeMap<String, Envelope>,
    /// Every envelope that was accepted as new.
    taken: Vec<Envelope>,
}

impl Table {
    pub(crate) fn new(case: &str) -> Self {
        let mesh = Mesh::new();
        let root = mesh.trust.root().unwrap().envelope().clone();
        Self {
            case: case.to_owned(),
            mesh,
            now_s: NOW_S,
            shown: [("root 1".to_owned(), root.clone())].into(),
            taken: vec![root],
        }
    }

    /// A step shows one record (`root`, `release`, `head`, `again`, `bytes`), moves the clock
    /// (`clock`) or looks at what the verifier holds (`holds`). `as` names what is shown.
    pub(crate) fn take(&mut self, step: &Value) {
        let shown = if let Some(fields) = step.get("root") {
            self.root(fields)
        } else if let Some(fields) = step.get("release") {
            self.release(fields)
        } else if let Some(fields) = step.get("head") {
            self.head(fields)
        } else if let Some(again) = step.get("again") {
            self.shown[again.as_str().unwrap()].clone()
        } else if let Some(fields) = step.get("bytes") {
            return self.bytes(fields, step);
        } else if let Some(clock) = step.get("clock") {
            self.now_s = NOW_S.saturating_add_signed(clock.as_i64().unwrap());
            return;
        } else {
            return self.look(&step["holds"]);
        };
        if let Some(name) = step.get("as") {
            self.shown
                .insert(name.as_str().unwrap().to_owned(), shown.clone());
        }
        // `unseen`: made, and kept from the verifier
        if step.get("unseen").is_none() {
            self.show(shown, step);
        }
    }

    fn show(&mut self, envelope: Envelope, step: &Value) {
        let before = self.mesh.trust.digest();
        let outcome = self
            .mesh
            .trust
            .admit(envelope.clone(), self.now_s, &mut self.mesh.memo);
        let said = told(&outcome);
        let expected = step["expect"].as_str().unwrap();
        assert_eq!(said, expected, "{}: {step}: {outcome:?}", self.case);
        if said == "new" {
            self.taken.push(envelope);
        } else if outcome.is_err() {
            assert_eq!(self.mesh.trust.digest(), before, "{}: {step}", self.case);
        }
    }

    /// What was accepted is held and given out byte for byte as it came.
    pub(crate) fn end(&self) {
        for envelope in &self.taken {
            let held = self.mesh.trust.envelope(&envelope.record_id());
            if let Some(held) = held {
                assert_eq!(held.body, envelope.body, "{}", self.case);
                assert_eq!(
                    Envelope::decode(&held.encode()).as_ref(),
                    Ok(held),
                    "{}",
                    self.case
                );
            }
        }
    }

    /// A root after the newest one. `keys`, `threshold`: of the root; `roles`: keys and
    /// threshold of a role by name; `version`, `prev`: other ones than are due; `resets`:
    /// channels, each with the base's name or null; `valid_s`: from and until, from now.
    fn root(&self, fields: &Value) -> Envelope {
        let mut root = next_root(&self.mesh.trust).unwrap();
        root.resets.clear();
        if let Some(on) = fields.get("on") {
            let newest: Root = self.read(on.as_str().unwrap());
            let prev = self.shown[on.as_str().unwrap()].record_id();
            root = Root {
                version: newest.version + 1,
                prev: Some(prev),
                ..newest
            };
            root.resets.clear();
        }
        if let Some(seeds) = fields.get("keys") {
            root.keys = keys_of(seeds);
        }
        if let Some(threshold) = fields.get("threshold") {
            root.threshold = threshold.as_u64().unwrap() as u16;
        }
        if let Some(version) = fields.get("version") {
            root.version = version.as_u64().unwrap();
        }
        if let Some(prev) = fields.get("prev") {
            root.prev = prev.as_u64().map(|byte| RecordId([byte as u8; 32]));
        }
        for (text, changed) in fields["roles"].as_object().into_iter().flatten() {
            Self::change_role(&mut root, text, changed);
        }
        for (channel, base) in fields["resets"].as_object().into_iter().flatten() {
            let base = base.as_str().map(|text| self.shown[text].record_id());
            root.resets.push(Reset {
                channel: name(channel),
                epoch: self.mesh.trust.epoch(&name(channel)) + 1,
                base,
            });
        }
        if let Some(valid) = fields.get("valid_s") {
            let second = |index: usize| NOW_S.saturating_add_signed(valid[index].as_i64().unwrap());
            root.validity.from_s = second(0);
            root.validity.until_s = second(1);
        }
        self.seal(Kind::Root, &root, fields)
    }

    fn change_role(root: &mut Root, text: &str, changed: &Value) {
        if changed.is_null() {
            root.roles.retain(|role| role.name != name(text));
            return;
        }
        if !root.roles.iter().any(|role| role.name == name(text)) {
            let like: &Role = root
                .roles
                .iter()
                .find(|role| role.name == name("release"))
                .unwrap();
            let fresh = Role {
                name: name(text),
                kinds: vec![changed["kind"].as_u64().unwrap() as u8],
                ..like.clone()
            };
            root.roles.push(fresh);
            root.roles.sort_by(|a, b| a.name.cmp(&b.name));
        }
        let role = root
            .roles
            .iter_mut()
            .find(|role| role.name == name(text))
            .unwrap();
        role.keys = keys_of(&changed["keys"]);
        if let Some(threshold) = changed.get("threshold") {
            role.threshold = threshold.as_u64().unwrap() as u16;
        }
    }

    fn release(&self, fields: &Value) -> Envelope {
        let version = fields["version"].as_str().unwrap();
        let record: Release = release(version, fields["counter"].as_u64().unwrap_or(1));
        self.seal(Kind::Release, &record, fields)
    }

    /// The next head of `channel` (else `stable`) that names `release`. `floor`, `seq`,
    /// `epoch`: other ones than are due; `note`: makes it another head.
    fn head(&self, fields: &Value) -> Envelope {
        let channel = name(fields["channel"].as_str().unwrap_or("stable"));
        let release = self.shown[fields["release"].as_str().unwrap()].record_id();
        // as if its counter were high enough: whether it is, the verifier says
        let named = (release, u64::MAX);
        let drafted = head_after(&self.mesh.trust, &channel, named, Hash::ZERO, NOW_S);
        let mut head = drafted.unwrap();
        if let Some(floor) = fields.get("floor") {
            head.counter_floor = floor.as_u64().unwrap();
        }
        if let Some(seq) = fields.get("seq") {
            head.seq = seq.as_u64().unwrap();
        }
        if let Some(epoch) = fields.get("epoch") {
            head.epoch = epoch.as_u64().unwrap();
        }
        if let Some(note) = fields.get("note") {
            head.issued_at_s = note.as_u64().unwrap();
        }
        self.seal(Kind::Head, &head, fields)
    }

    /// The bytes of what was shown as `of`, with one change: `set` is a place and a value,
    /// `cut` and `add` are numbers of bytes at the end, `twice` repeats a signature.
    fn bytes(&mut self, fields: &Value, step: &Value) {
        let envelope = self.shown[fields["of"].as_str().unwrap()].clone();
        let mut bytes = envelope.encode();
        if let Some(set) = fields.get("set") {
            bytes[set[0].as_u64().unwrap() as usize] = set[1].as_u64().unwrap() as u8;
        }
        if let Some(cut) = fields.get("cut") {
            bytes.truncate(bytes.len() - cut.as_u64().unwrap() as usize);
        }
        if let Some(add) = fields.get("add") {
            bytes.resize(bytes.len() + add.as_u64().unwrap() as usize, 0);
        }
        if fields.get("twice").is_some() {
            let place = 42 + envelope.body.len();
            bytes[place] += 1;
            let last = bytes[bytes.len() - 96..].to_vec();
            bytes.extend(last);
        }
        match Envelope::decode(&bytes) {
            Ok(envelope) => self.show(envelope, step),
            Err(refusal) => {
                let said = told(&Err(refusal));
                assert_eq!(
                    said,
                    step["expect"].as_str().unwrap(),
                    "{}: {step}",
                    self.case
                );
            }
        }
    }

    /// `root`: the newest version; `asks`: the release that is asked for, or null; `floor`;
    /// `time`; `has`: names of records that are held, `lacks`: that are not.
    fn look(&self, holds: &Value) {
        let trust = &self.mesh.trust;
        let case = &self.case;
        let channel = name(holds["channel"].as_str().unwrap_or("stable"));
        if let Some(version) = holds.get("root") {
            assert_eq!(
                trust.root().unwrap().version,
                version.as_u64().unwrap(),
                "{case}"
            );
        }
        if let Some(asks) = holds.get("asks") {
            let found = match trust.verdict(&channel) {
                Verdict::Go(head) => Some(head.release),
                _ => None,
            };
            let expected = asks.as_str().map(|text| self.shown[text].record_id());
            assert_eq!(found, expected, "{case}: {holds}");
        }
        if let Some(floor) = holds.get("floor") {
            assert_eq!(
                trust.floor(&channel),
                floor.as_u64().unwrap(),
                "{case}: {holds}"
            );
        }
        if let Some(time) = holds.get("time") {
            let state = match trust.time_state(self.now_s) {
                TimeState::Fresh => "fresh",
                TimeState::Stale => "stale",
                TimeState::Unknown => "unknown",
            };
            assert_eq!(state, time.as_str().unwrap(), "{case}: {holds}");
        }
        for (field, expected) in [("has", true), ("lacks", false)] {
            for text in holds[field].as_array().into_iter().flatten() {
                let id = self.shown[text.as_str().unwrap()].record_id();
                assert_eq!(
                    trust.envelope(&id).is_some(),
                    expected,
                    "{case}: {holds}: {text}"
                );
            }
        }
    }

    fn seal<T: serde::Serialize>(&self, kind: Kind, record: &T, fields: &Value) -> Envelope {
        let seeds = fields["signed_by"].as_array().unwrap().iter();
        let seeds: Vec<u8> = seeds.map(|seed| seed.as_u64().unwrap() as u8).collect();
        let mut envelope = self.mesh.seal(kind, record, &seeds);
        // `forged_by`: the name of a key, and a signature that another key made
        for seed in fields["forged_by"].as_array().into_iter().flatten() {
            let owner = key(seed.as_u64().unwrap() as u8).public();
            let other = key(200).sign(&envelope.signed_bytes());
            let at = envelope.sigs.partition_point(|(held, _)| *held < owner);
            envelope.sigs.insert(at, (owner, other));
        }
        envelope
    }

    fn read(&self, shown: &str) -> Root {
        codec::decode(&self.shown[shown].body, 65_536).unwrap()
    }
}

/// Seeds, in the order given: a table may ask for a key twice.
fn keys_of(seeds: &Value) -> Vec<PublicKey> {
    let seeds = seeds.as_array().unwrap().iter();
    let seeds: Vec<u8> = seeds.map(|seed| seed.as_u64().unwrap() as u8).collect();
    public(&seeds)
}

/// `new`, `known`, `merged`, `superseded`, `floor`, `waits`, or the refusal's name.
fn told(outcome: &Result<Admission, Refusal>) -> String {
    match outcome {
        Ok(Admission::New(..)) => "new".to_owned(),
        Ok(Admission::Known) => "known".to_owned(),
        Ok(Admission::Merged) => "merged".to_owned(),
        Ok(Admission::Superseded) => "superseded".to_owned(),
        Ok(Admission::Floor(_)) => "floor".to_owned(),
        Ok(Admission::Waiting(_)) => "waits".to_owned(),
        Err(refusal) => {
            let text = format!("{refusal:?}");
            let end = text.find(|character: char| !character.is_alphanumeric());
            text[..end.unwrap_or(text.len())].to_owned()
        }
    }
}
