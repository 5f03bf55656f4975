//! Whose signatures a record has, and whose it still lacks: what admins who co-sign need
//! to see. The verifier counts by itself; a test holds the two against each other.

use serde::{Serialize, de::DeserializeOwned};
use weft_keys::PublicKey;

use crate::{
    Blueprint, Control, Enroll, Envelope, Head, Kind, Name, Refusal, Revoke, RevokeTarget, Role,
    Root, Scope, Task, Trust, bounds::MAX_RECORD_BYTES, codec,
};

/// Keys of which some must sign: those of a role, of a root, or the one that revokes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// The role; none for a root's own keys or a key that revokes itself.
    pub role: Option<Name>,
    /// How many of the keys must sign.
    pub threshold: u16,
    /// The keys, sorted.
    pub keys: Vec<PublicKey>,
    /// Those of them whose signature is here and counts, sorted.
    pub signed: Vec<PublicKey>,
}

impl Quorum {
    /// How many signatures are lacking.
    pub fn lacks(&self) -> usize {
        usize::from(self.threshold).saturating_sub(self.signed.len())
    }
}

/// Whose signatures a record has, and whose it may have by the newest root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signatures {
    /// Whether every quorum must be reached, as for a root; else one of them is enough.
    pub all: bool,
    /// The quorums; none where nobody may sign such a record.
    pub quorums: Vec<Quorum>,
}

impl Signatures {
    /// Whether enough keys have signed.
    pub fn is_complete(&self) -> bool {
        self.lacks() == 0 && !self.quorums.is_empty()
    }

    /// How many signatures are lacking, at the least.
    pub fn lacks(&self) -> usize {
        let lacking = self.quorums.iter().map(Quorum::lacks);
        let least = if self.all {
            lacking.max()
        } else {
            lacking.min()
        };
        least.unwrap_or(0)
    }

    /// Whether this key's signature counts, or would count.
    pub fn may_sign(&self, key: &PublicKey) -> bool {
        let mut quorums = self.quorums.iter();
        quorums.any(|quorum| quorum.keys.binary_search(key).is_ok())
    }

    /// Whether this key has signed, and it counts.
    pub fn has_signed(&self, key: &PublicKey) -> bool {
        let mut quorums = self.quorums.iter();
        quorums.any(|quorum| quorum.signed.binary_search(key).is_ok())
    }
}

/// Looks at a record's signatures as the newest root does; what a root keeps by name or a
/// reset vouches for is not asked here. A root is held against the one before it and
/// itself; where that one is not here, only against itself. Aggregates, which nodes sign,
/// have no quorum here.
pub fn signatures(trust: &Trust, envelope: &Envelope) -> Result<Signatures, Refusal> {
    let kind = Kind::from_number(envelope.kind).ok_or(Refusal::UnknownKind(envelope.kind))?;
    let mut quorums = match (kind, trust.root()) {
        (Kind::Root, _) => root_quorums(trust, &read(kind, &envelope.body)?),
        (_, Some(root)) => role_quorums(root, kind, &envelope.body)?,
        (_, None) => Vec::new(),
    };
    let message = envelope.signed_bytes();
    for (key, signature) in &envelope.sigs {
        let mut asked = quorums
            .iter_mut()
            .filter(|quorum| quorum.keys.contains(key))
            .peekable();
        if asked.peek().is_none() {
            continue;
        }
        key.verify_strict(&message, signature)
            .map_err(|_| Refusal::BadSignature(*key))?;
        // a revoked key still signs roots and revocations, nothing else
        if matches!(kind, Kind::Root | Kind::Revoke) || !trust.is_key_revoked(key) {
            asked.for_each(|quorum| quorum.signed.push(*key));
        }
    }
    let all = kind == Kind::Root;
    Ok(Signatures { all, quorums })
}

fn root_quorums(trust: &Trust, root: &Root) -> Vec<Quorum> {
    let before = root.version.checked_sub(2);
    let before = before.and_then(|before| usize::try_from(before).ok());
    let old = before.and_then(|before| trust.root_chain().get(before));
    let both = old.map(|old| &**old).into_iter().chain([root]);
    both.map(|root| quorum(None, root.threshold, &root.keys))
        .collect()
}

fn role_quorums(root: &Root, kind: Kind, body: &[u8]) -> Result<Vec<Quorum>, Refusal> {
    // of which kinds a role must be, for which channel and which sites
    let (mut kinds, mut channel, mut sites) = (vec![kind], None, None);
    let one = |site: Name| Some(Scope::Only(vec![site]));
    let (mut quorums, mut of_roles) = (Vec::new(), true);
    match kind {
        Kind::Revoke => {
            let target = read::<Revoke>(kind, body)?.target;
            quorums.push(quorum(None, root.threshold, &root.keys));
            kinds.push(match target {
                RevokeTarget::Release(_) => Kind::Release,
                RevokeTarget::Key(key) => {
                    quorums.push(quorum(None, 1, &[key]));
                    let is_named = |keys: &[PublicKey]| keys.contains(&key);
                    // whoever enrolls nodes has no say about admins
                    of_roles = !is_named(&root.keys)
                        && !root.roles.iter().any(|role| is_named(&role.keys));
                    Kind::Enroll
                }
            });
        }
        Kind::Head => channel = Some(read::<Head>(kind, body)?.channel),
        Kind::Control => channel = Some(read::<Control>(kind, body)?.channel),
        Kind::Enroll => sites = one(read::<Enroll>(kind, body)?.site),
        Kind::Task => sites = read::<Task>(kind, body)?.site.map_or(Some(Scope::All), one),
        Kind::Blueprint => {
            let blueprint: Blueprint = read(kind, body)?;
            channel = blueprint.settings.channel;
            sites = Some(blueprint.selector.sites);
        }
        Kind::Aggregate => of_roles = false,
        Kind::Root | Kind::Release | Kind::Beacon | Kind::EnrollRoot => {}
    }
    let may = |role: &&Role| {
        of_roles
            && kinds.iter().all(|kind| role.kinds.contains(&kind.number()))
            && channel
                .iter()
                .all(|channel| role.channels.contains(channel))
            && sites.iter().all(|sites| role.sites.covers(sites))
    };
    let roles = root.roles.iter().filter(may);
    quorums.extend(roles.map(|role| quorum(Some(&role.name), role.threshold, &role.keys)));
    Ok(quorums)
}

fn quorum(role: Option<&Name>, threshold: u16, keys: &[PublicKey]) -> Quorum {
    Quorum {
        role: role.cloned(),
        threshold,
        keys: keys.to_vec(),
        signed: Vec::new(),
    }
}

fn read<T: Serialize + DeserializeOwned>(kind: Kind, body: &[u8]) -> Result<T, Refusal> {
    let part = kind.name();
    codec::decode(body, MAX_RECORD_BYTES).map_err(|source| Refusal::Malformed { part, source })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use weft_keys::SecretKey;

    use super::*;
    use crate::{Hash, Memo, PrivacyFloors, Validity, head_after, next_root, seal};

    const NOW_S: u64 = 1_790_000_000;

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed([seed; 32])
    }

    fn public(seeds: &[u8]) -> Vec<PublicKey> {
        let mut keys: Vec<_> = seeds.iter().map(|seed| key(*seed).public()).collect();
        keys.sort_unstable();
        keys
    }

    fn role(name: &str, seeds: &[u8], kinds: &[Kind], channels: Scope, sites: Scope) -> Role {
        Role {
            name: name.parse().unwrap(),
            keys: public(seeds),
            threshold: 2,
            kinds: kinds.iter().map(|kind| kind.number()).collect(),
            channels,
            sites,
        }
    }

    fn only(name: &str) -> Scope {
        Scope::Only(vec![name.parse().unwrap()])
    }

    fn genesis() -> Root {
        let all = || Scope::All;
        let roles = vec![
            role(
                "release",
                &[4, 5, 6],
                &[Kind::Release, Kind::Revoke],
                all(),
                all(),
            ),
            role("stable", &[6, 7], &[Kind::Head], only("stable"), all()),
            role(
                "enroll",
                &[7, 8],
                &[Kind::Enroll, Kind::Revoke],
                all(),
                only("north"),
            ),
        ];
        let validity = Validity {
            from_s: NOW_S - 1000,
            until_s: NOW_S + 1000,
        };
        let privacy = PrivacyFloors {
            k: 20,
            k_site_bp: 1000,
            epsilon_milli: 1000,
        };
        Root::genesis(public(&[1, 2, 3]), 2, roles, validity, privacy).unwrap()
    }

    fn release() -> crate::Release {
        let file = crate::FileEntry {
            path: "model.gguf".to_owned(),
            length: 1,
            blake3: Hash::ZERO,
            chunk_map: Hash::ZERO,
        };
        crate::Release {
            model: "m".parse().unwrap(),
            version: "1.0.0".to_owned(),
            counter: 0,
            variants: vec![crate::Variant {
                quantization: "q8_0".parse().unwrap(),
                files: vec![file],
                requires: crate::Requires::default(),
            }],
            tokenizer: None,
            template: None,
            base: None,
            probe_set: crate::ProbeSet::default(),
            lineage: crate::Lineage::default(),
            notes: String::new(),
            licence: String::new(),
            deltas: Vec::new(),
        }
    }

    fn records(trust: &Trust) -> Vec<(Kind, Vec<u8>)> {
        let body = codec::encode(&release());
        let id = seal(Kind::Release, trust.mesh_id(), body.clone(), &[]).record_id();
        let head = |channel: &str| {
            let channel = channel.parse().unwrap();
            head_after(trust, &channel, (id, 0), Hash::ZERO, NOW_S).unwrap()
        };
        let enroll = |site: &str| Enroll {
            node: key(9).public(),
            number: 0,
            site: site.parse().unwrap(),
            owner: "o".parse().unwrap(),
            labels: Vec::new(),
            class: "any".parse().unwrap(),
            issued_at_s: NOW_S,
            expires_s: NOW_S + 10,
        };
        let revoke = |target| Revoke {
            target,
            reason: String::new(),
            issued_at_s: NOW_S,
        };
        let next = next_root(trust).unwrap();
        let swapped = Root {
            keys: public(&[2, 3, 9]),
            ..next.clone()
        };
        vec![
            (Kind::Release, body),
            (Kind::Head, codec::encode(&head("stable"))),
            (Kind::Head, codec::encode(&head("beta"))),
            (Kind::Enroll, codec::encode(&enroll("north"))),
            (Kind::Enroll, codec::encode(&enroll("south"))),
            (
                Kind::Revoke,
                codec::encode(&revoke(RevokeTarget::Release(id))),
            ),
            (
                Kind::Revoke,
                codec::encode(&revoke(RevokeTarget::Key(key(9).public()))),
            ),
            (
                Kind::Revoke,
                codec::encode(&revoke(RevokeTarget::Key(key(6).public()))),
            ),
            (Kind::Root, codec::encode(&next)),
            (Kind::Root, codec::encode(&swapped)),
        ]
    }

    /// For every record and every pair of signers: complete here is what the verifier
    /// finds enough signatures on.
    #[test]
    fn it_counts_as_the_verifier_does() {
        let genesis = genesis();
        let mut memo = Memo::default();
        let mut trust = Trust::new(genesis.mesh_id);
        let (one, two) = (key(1), key(2));
        let envelope = seal(
            Kind::Root,
            genesis.mesh_id,
            codec::encode(&genesis),
            &[&one, &two],
        );
        trust.admit(envelope, NOW_S, &mut memo).unwrap();
        let (mut complete, mut partial) = (0, 0);
        for (kind, body) in records(&trust) {
            for (a, b) in (1..=9).flat_map(|a| (a..=9).map(move |b| (a, b))) {
                let keys = [key(a), key(b)];
                let keys: Vec<&SecretKey> = keys.iter().collect();
                let envelope = seal(kind, trust.mesh_id(), body.clone(), &keys);
                let found = signatures(&trust, &envelope).unwrap();
                let verdict = trust.clone().admit(envelope, NOW_S, &mut memo);
                let lacks = match verdict {
                    Err(Refusal::BelowThreshold { have, need, .. }) => {
                        partial += usize::from(have > 0);
                        Some(need - have)
                    }
                    Err(Refusal::OutOfScope { .. }) => None,
                    _ => {
                        complete += 1;
                        Some(0)
                    }
                };
                let scope = format!("{kind} by {a} and {b}: {found:?}, {verdict:?}");
                assert_eq!(found.is_complete(), lacks == Some(0), "{scope}");
                if lacks.is_none() {
                    assert!(found.quorums.is_empty(), "{scope}");
                }
            }
        }
        assert!(complete > 10 && partial > 10, "{complete}, {partial}");
    }

    #[test]
    fn a_false_or_a_revoked_signature_is_told() {
        let genesis = genesis();
        let mut memo = Memo::default();
        let mut trust = Trust::new(genesis.mesh_id);
        let (one, two, four, five) = (key(1), key(2), key(4), key(5));
        let mesh_id = genesis.mesh_id;
        let root = seal(Kind::Root, mesh_id, codec::encode(&genesis), &[&one, &two]);
        trust.admit(root, NOW_S, &mut memo).unwrap();
        let mut envelope = seal(
            Kind::Release,
            mesh_id,
            codec::encode(&release()),
            &[&four, &five],
        );
        let found = signatures(&trust, &envelope).unwrap();
        assert!(found.is_complete() && found.has_signed(&five.public()));
        assert!(found.may_sign(&key(6).public()) && !found.may_sign(&key(7).public()));
        let revoke = Revoke {
            target: RevokeTarget::Key(five.public()),
            reason: String::new(),
            issued_at_s: NOW_S,
        };
        let revoke = seal(Kind::Revoke, mesh_id, codec::encode(&revoke), &[&five]);
        trust.admit(revoke, NOW_S, &mut memo).unwrap();
        assert_eq!(signatures(&trust, &envelope).unwrap().lacks(), 1);
        envelope.body[0] ^= 1;
        assert!(matches!(
            signatures(&trust, &envelope),
            Err(Refusal::BadSignature(_) | Refusal::Malformed { .. })
        ));
    }
}
