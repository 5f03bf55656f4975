//! What an admin signs: the root of a mesh, releases, and the heads that name them.

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use weft_keys::SecretKey;
use weft_node::Home;
use weft_record::{
    Envelope, Hash, Head, Kind, Memo, MeshId, Name, NameError, PrivacyFloors, RecordId, Release,
    Role, Root, Scope, Trust, Validity, Verified, codec, seal,
};

use crate::{
    bundle_file::BundleWriter,
    context::{Context, quoted},
    failure::{Exit, Failure},
    refusals,
    verbs::{bundle::into_new_file, key::new_key},
};

/// Names of the roles that a new mesh has; one key holds all of them until its
/// admins divide them.
const ROLES: [(&str, Kind); 2] = [("release", Kind::Release), ("head", Kind::Head)];
/// A root is to be renewed within a year, so that keys are not forgotten; what is
/// active stays active after it.
const ROOT_VALIDITY_S: u64 = 365 * 24 * 3600;
/// The least privacy that any telemetry of a new mesh must give: nothing is opened
/// below 20 contributors, no site is more than a tenth of them.
const PRIVACY: PrivacyFloors = PrivacyFloors {
    k: 20,
    k_site_bp: 1_000,
    epsilon_milli: 1_000,
};

/// The first record of a mesh, signed.
pub(crate) struct Genesis {
    pub(crate) mesh_id: MeshId,
    envelope: Envelope,
}

impl Genesis {
    /// A root with one key for everything, which its admin can divide later.
    pub(crate) fn new(key: &SecretKey) -> Result<Self, Failure> {
        let public = key.public();
        let impossible = |why: String| Failure::new(Exit::Failed, "no root could be made", why, "");
        let role = |(name, kind): (&str, Kind)| {
            let name: Name = name
                .parse()
                .map_err(|error: NameError| impossible(error.to_string()))?;
            let kinds = vec![kind.number()];
            let (channels, sites) = (Scope::All, Scope::All);
            Ok(Role {
                name,
                keys: vec![public],
                threshold: 1,
                kinds,
                channels,
                sites,
            })
        };
        let roles = ROLES
            .into_iter()
            .map(role)
            .collect::<Result<Vec<_>, Failure>>()?;
        let from_s = now_s();
        let validity = Validity {
            from_s,
            until_s: from_s.saturating_add(ROOT_VALIDITY_S),
        };
        let root = Root::genesis(vec![public], 1, roles, validity, PRIVACY)
            .map_err(|error| impossible(error.to_string()))?;
        let mesh_id = root.mesh_id;
        Ok(Self {
            mesh_id,
            envelope: seal(Kind::Root, mesh_id, codec::encode(&root), &[key]),
        })
    }

    /// Puts it into the node's store, by the door that every record takes.
    pub(crate) fn store(&self, context: &Context, home: &Home) -> Result<(), Failure> {
        let folder = scratch(home.directory())?;
        let path = folder.path().join("genesis.weft");
        into_new_file(&path, |out| {
            let mut writer = BundleWriter::begin(out, self.mesh_id)?;
            writer.record(&self.envelope.encode())?;
            writer.finish()
        })?;
        let report = weft_node::import_offline(home, &path)
            .map_err(|error| refusals::import(context, &path, &error))?;
        if report.refused.is_empty() {
            return Ok(());
        }
        let why = report.refused.join("; ");
        Err(Failure::new(
            Exit::Failed,
            "the new root was refused",
            why,
            "",
        ))
    }
}

/// Everything that this node accepted: from the running node, else from its store.
pub(crate) fn trust(context: &Context, home: &Home) -> Result<Trust, Failure> {
    let encoded: Vec<Vec<u8>> = if home.running().is_some() {
        let report = context
            .client()?
            .records()
            .map_err(|error| context.client_refused(&error))?;
        report.decoded().ok_or_else(|| {
            let what = "the node's records cannot be read";
            Failure::new(
                Exit::Failed,
                what,
                "they are not hexadecimal",
                "weft version",
            )
        })?
    } else {
        let path = home.store_directory();
        let restored = weft_store::Store::open(&path).and_then(|store| store.restore());
        let what = "the node's records cannot be read";
        restored
            .map_err(|error| refusals::store(context, what, &error))?
            .records
    };
    let (mut trust, mut memo) = (Trust::new(home.settings().mesh_id), Memo::default());
    for bytes in &encoded {
        // what the node accepted is checked again; what does not pass counts for nothing
        if let Ok(envelope) = Envelope::decode(bytes) {
            let _ = trust.admit(envelope, now_s(), &mut memo);
        }
    }
    Ok(trust)
}

/// A release and the head that names it, signed and accepted by the same rules that
/// every node applies.
pub(crate) struct Signed {
    pub(crate) release: RecordId,
    pub(crate) head: Head,
    /// Whether the channel was at it before, so that no new head was needed.
    pub(crate) was_there: bool,
    /// Encoded, in an order that admits cleanly: the whole root chain first.
    pub(crate) records: Vec<Vec<u8>>,
}

/// Signs a release for this mesh and puts it at the front of a channel. Where it is
/// already, nothing new is signed, unless it is wanted `again`.
pub(crate) fn publish(
    context: &Context,
    trust: &mut Trust,
    key: &SecretKey,
    release: &Release,
    channel: &Name,
    again: bool,
) -> Result<Signed, Failure> {
    let mesh_id = trust.mesh_id();
    if trust.root().is_none() {
        return Err(Failure::new(
            Exit::Refused,
            "nothing can be published here yet",
            format!("this node has not met a member of mesh {mesh_id}, so it knows no root"),
            context.command("up"),
        ));
    }
    let refused = |what: &str, refusal: &dyn std::fmt::Display| {
        Failure::new(
            Exit::Refused,
            format!("the {what} is not published"),
            format!("no node of this mesh would take it: {refusal}"),
            "use the key that `weft mesh init` made",
        )
    };
    // a record that is here already would be "known", whoever signs it again
    let signs = |root: &Verified<Root>| {
        let mut roles = root.roles.iter();
        roles.any(|role| {
            role.kinds.contains(&Kind::Release.number()) && role.keys.contains(&key.public())
        })
    };
    if !trust.root().is_some_and(signs) {
        let reason = "its newest root lets this key sign no release";
        return Err(refused("release", &reason));
    }
    let mut memo = Memo::default();
    let envelope = seal(Kind::Release, mesh_id, codec::encode(release), &[key]);
    let id = envelope.record_id();
    trust
        .admit(envelope, now_s(), &mut memo)
        .map_err(|error| refused("release", &error))?;
    if let Some(head) = trust
        .head(channel)
        .filter(|head| head.release == id && !again)
    {
        let head = Head::clone(head);
        let records = trust.records().map(Envelope::encode).collect();
        return Ok(Signed {
            release: id,
            head,
            was_there: true,
            records,
        });
    }
    let head = weft_record::next_head(trust, channel, id, Hash::ZERO, now_s())
        .map_err(|error| refused("head", &error))?;
    let envelope = seal(Kind::Head, mesh_id, codec::encode(&head), &[key]);
    trust
        .admit(envelope, now_s(), &mut memo)
        .map_err(|error| refused("head", &error))?;
    let records = trust.records().map(Envelope::encode).collect();
    Ok(Signed {
        release: id,
        head,
        was_there: false,
        records,
    })
}

/// Reads a key file, or makes one where there is none.
pub(crate) fn load_or_make_key(path: &Path) -> Result<SecretKey, Failure> {
    if path.exists() {
        return weft_keys::load_secret(path).map_err(|error| refusals::key_file(path, &error));
    }
    if let Some(parent) = path.parent() {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(|error| Failure::file(quoted(parent), &error))?;
    }
    new_key(path)
}

/// A folder for files that are gone when it is dropped, on the same disk as `beside`.
pub(crate) fn scratch(beside: &Path) -> Result<tempfile::TempDir, Failure> {
    tempfile::Builder::new()
        .prefix(".weft-")
        .tempdir_in(beside)
        .map_err(|error| Failure::file(format!("no room in {}", beside.display()), &error))
}

/// Seconds since 1970.
pub(crate) fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_genesis_is_its_own_mesh() {
        let key = SecretKey::from_seed([7; 32]);
        let genesis = Genesis::new(&key).unwrap();
        let mut trust = Trust::new(genesis.mesh_id);
        trust
            .admit(genesis.envelope, now_s(), &mut Memo::default())
            .unwrap();
        assert_eq!(trust.root().unwrap().keys, [key.public()]);
    }
}
