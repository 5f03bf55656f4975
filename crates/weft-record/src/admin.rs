//! What an admin signs: the next head, the next root, sealed in an envelope.

use weft_keys::SecretKey;

use crate::{
    ENVELOPE_VERSION, Envelope, Hash, Head, Kept, Kind, MeshId, Missing, Name, RecordId, Refusal,
    Reset, Root, Trust, bounds::MAX_KEPT, codec,
};

/// Why a record cannot be built on what is known here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Without a root there is nothing to build on.
    #[error("no root of mesh {0} is known here")]
    NoRoot(MeshId),
    /// A head must name a release that is known.
    #[error("release {0} is not known here")]
    UnknownRelease(RecordId),
    /// The head that the channel's reset names must be known.
    #[error("head {0}, with which the channel begins anew, is not known here")]
    MissingBase(RecordId),
    /// Every verifier would refuse it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The mesh of a first root: BLAKE3 of its body with the mesh id zeroed.
pub fn mesh_id_of(genesis: &Root) -> MeshId {
    let nameless = Root {
        mesh_id: MeshId::ZERO,
        ..genesis.clone()
    };
    MeshId(Hash::of(&codec::encode(&nameless)).0)
}

/// The head that puts a channel at a release: it follows what is newest here, and
/// joins all branches if the channel is forked. The floor stays as it is; raise it
/// in the result if need be.
pub fn next_head(
    trust: &Trust,
    channel: &Name,
    release: RecordId,
    policy: Hash,
    issued_at_s: u64,
) -> Result<Head, BuildError> {
    trust.root().ok_or(BuildError::NoRoot(trust.mesh_id()))?;
    let counter = trust
        .release(&release)
        .ok_or(BuildError::UnknownRelease(release))?
        .counter;
    head_after(trust, channel, (release, counter), policy, issued_at_s)
}

/// The same for a release that is not accepted here yet, since it still lacks signatures:
/// its id and its security counter. Both records can then be signed side by side.
pub fn head_after(
    trust: &Trust,
    channel: &Name,
    (release, counter): (RecordId, u64),
    policy: Hash,
    issued_at_s: u64,
) -> Result<Head, BuildError> {
    let line = trust.line(channel);
    let (seq, prevs, history) = line.next().map_err(|missing| match missing {
        Missing::Head(base) | Missing::Release(base) => BuildError::MissingBase(base),
        _ => BuildError::NoRoot(trust.mesh_id()),
    })?;
    let floor = trust.floor(channel);
    if counter < floor {
        let channel = channel.clone();
        return Err(Refusal::BelowFloor {
            channel,
            counter,
            floor,
        }
        .into());
    }
    Ok(Head {
        channel: channel.clone(),
        epoch: line.epoch,
        seq,
        prevs,
        history: history.root(),
        release,
        counter_floor: floor,
        policy,
        issued_at_s,
    })
}

/// The root after the newest one, unchanged but for its place. Change keys and roles in
/// the result. Signers that go take their signatures with them, so every channel is
/// reset to its newest head: drop a reset from the result only if its signers stay. Then
/// call [`keep_what_stands`].
pub fn next_root(trust: &Trust) -> Result<Root, BuildError> {
    let newest = trust.root().ok_or(BuildError::NoRoot(trust.mesh_id()))?;
    let resets = trust.channels().map(|channel| Reset {
        channel: channel.clone(),
        epoch: trust.epoch(channel) + 1,
        base: trust.head(channel).map(crate::Verified::id),
    });
    Ok(Root {
        version: newest.version + 1,
        prev: Some(newest.id()),
        resets: resets.collect(),
        kept: Vec::new(),
        time_reset_s: None,
        ..Root::clone(newest)
    })
}

/// What a new root keeps of those whose signers go with it, once its resets are settled:
/// every revocation, and the releases that each reset's base and the heads before it name,
/// the newest first, so that a node which still is at one of them may stay there until it
/// has the base's. Records that do not fit are left out, and said.
pub fn keep_what_stands(trust: &Trust, root: &mut Root) -> usize {
    let of = |kind: Kind, id| Kept {
        kind: kind.number(),
        id,
    };
    let revokes = trust.revokes().map(|revoke| of(Kind::Revoke, revoke.id()));
    let mut wanted: Vec<Kept> = revokes.collect();
    for reset in &root.resets {
        let Some(base) = reset.base else { continue };
        let heads = trust.line(&reset.channel).upto(&base);
        for release in heads.iter().rev().map(|head| head.release) {
            let release = of(Kind::Release, release);
            if !wanted.contains(&release) && !trust.is_revoked(&release.id) {
                wanted.push(release);
            }
        }
    }
    let left_out = wanted.len().saturating_sub(MAX_KEPT);
    wanted.truncate(MAX_KEPT);
    wanted.sort_unstable();
    root.kept = wanted;
    left_out
}

/// Puts an encoded record ([`codec::encode`]) in an envelope and signs it with each of
/// these keys.
pub fn seal(kind: Kind, mesh_id: MeshId, body: Vec<u8>, keys: &[&SecretKey]) -> Envelope {
    let (v, kind) = (ENVELOPE_VERSION, kind.number());
    let mut envelope = Envelope {
        v,
        kind,
        mesh_id,
        body,
        sigs: Vec::new(),
        proof: None,
    };
    for key in keys {
        envelope.sign(key);
    }
    envelope
}
