//! Drafts of a release and of the head that puts a channel at it.

use weft_record::{
    BuildError, Envelope, Hash, Head, Kind, Name, RecordId, Release, codec, head_after, seal,
};

use super::{Draft, Ground, Signer, look, now_s, words};
use crate::{
    context::Context,
    failure::{Exit, Failure},
};

/// Which channel is to be put at a release, and who signs that.
pub(crate) struct HeadOrder<'a> {
    pub(crate) channel: &'a Name,
    pub(crate) signers: &'a [Signer],
    /// Also where the channel is at it already.
    pub(crate) again: bool,
}

/// The record of a release, with the signatures that are known of it here.
pub(crate) fn draft_release<'a>(
    context: &Context,
    ground: &Ground,
    release: &Release,
    signers: &'a [Signer],
) -> Result<Draft<'a>, Failure> {
    let trust = &ground.trust;
    if trust.root().is_none() {
        let mesh_id = trust.mesh_id();
        return Err(Failure::new(
            Exit::Refused,
            "nothing can be published here yet",
            format!("this node has not met a member of mesh {mesh_id}, so it knows no root"),
            context.command("up"),
        ));
    }
    let envelope = seal(Kind::Release, trust.mesh_id(), codec::encode(release), &[]);
    let envelope = known(ground, envelope);
    // a record that is here already would be "known", whoever signs it again
    let found = look(trust, &envelope)?;
    if !signers.iter().any(|one| found.may_sign(&one.public())) {
        return Err(Failure::new(
            Exit::Refused,
            "the release is not published",
            "no node of this mesh would take it: its newest root lets this key sign no release",
            context.command("trust show"),
        ));
    }
    Ok(Draft { envelope, signers })
}

/// The head that puts a channel at a release, or the newest one if the channel is there.
pub(crate) fn draft_head<'a>(
    context: &Context,
    ground: &Ground,
    (release, counter): (RecordId, u64),
    order: &HeadOrder<'a>,
) -> Result<Result<Draft<'a>, Head>, Failure> {
    let HeadOrder {
        channel,
        signers,
        again,
    } = *order;
    let trust = &ground.trust;
    if trust.fork(channel).is_none()
        && let Some(head) = trust.head(channel)
        && head.release == release
        && !again
    {
        return Ok(Err(Head::clone(head)));
    }
    let head = head_after(trust, channel, (release, counter), Hash::ZERO, now_s());
    let head = head.map_err(|error| refused(context, &error))?;
    // one that was drafted before for the same place and release is signed on
    let same = |other: &Head| {
        Head {
            issued_at_s: head.issued_at_s,
            ..other.clone()
        } == head
    };
    let drafted = ground.open_records().into_iter();
    let drafted = drafted
        .filter(|envelope| words::head(envelope).is_some_and(|other| same(&other)))
        .max_by_key(|envelope| envelope.sigs.len());
    let envelope =
        drafted.unwrap_or_else(|| seal(Kind::Head, trust.mesh_id(), codec::encode(&head), &[]));
    Ok(Ok(Draft { envelope, signers }))
}

/// The same record with all signatures that are known of it here.
fn known(ground: &Ground, mut envelope: Envelope) -> Envelope {
    let id = envelope.record_id();
    let left = ground.left.iter().map(|(one, _)| one);
    let left = left.filter(|one| one.record_id() == id);
    for held in ground.trust.envelope(&id).into_iter().chain(left) {
        envelope.merge_signatures(held);
    }
    envelope
}

fn refused(context: &Context, error: &BuildError) -> Failure {
    Failure::new(
        Exit::Refused,
        "the head is not published",
        format!("no node of this mesh would take it: {error}"),
        context.command("trust show"),
    )
}
