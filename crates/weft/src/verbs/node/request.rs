//! `weft node request`, and the file that it writes.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use weft_keys::{PublicKey, SecretKey, Signature};
use weft_node::{Home, HomeError, Settings};
use weft_record::{Invitation, JoinRequest, MeshId, Name};

use crate::{
    context::{Context, quoted},
    failure::{Exit, Failure},
    output::fields,
    refusals,
    signing::{self, words::hex},
    verbs::bundle::into_new_file,
};

/// Stands before what a node signs of its request.
const DOMAIN: &[u8] = b"weft v1 join request file\0";
/// Longest request that is read: a few hundred bytes.
const REQUEST_BYTES: u64 = 64 * 1024;

/// Write a file with which an admin can let this folder's node in.
///
/// For a node that has no network yet: carry the file to an admin, and what
/// `weft node enroll` writes back. Where this folder holds no node, --mesh or the invitation
/// makes it one. The node's key never leaves its folder.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  weft node request /mnt/stick/pump-7.request --mesh 5f0c…e1\n  weft node request /mnt/stick/pump-7.request --invitation weft-invitation-1-3f09…"
)]
pub(crate) struct Request {
    /// The file to write; an existing one is never overwritten
    file: PathBuf,
    /// The mesh that the node is to belong to, as its admins read it aloud
    #[arg(long, value_name = "MESH_ID")]
    mesh: Option<MeshId>,
    /// Follow this channel; may be given more than once. Only where the node is made
    #[arg(long, value_name = "CHANNEL", default_value = "stable")]
    channel: Vec<Name>,
    /// The invitation, if there is one: then nobody can swap the request on its way
    #[arg(long, value_name = "INVITATION")]
    invitation: Option<String>,
}

/// What a node asks an admin for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestFile {
    pub(crate) schema: u32,
    pub(crate) mesh_id: MeshId,
    pub(crate) node: PublicKey,
    pub(crate) peer_id: String,
    pub(crate) facts: Facts,
    pub(crate) invitation: Option<Code>,
    /// By the node, over all that stands above.
    pub(crate) signature: Option<Signature>,
}

/// What the machine is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Facts {
    pub(crate) host: String,
    pub(crate) architecture: String,
    pub(crate) ram_bytes: u64,
}

/// That the node holds an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Code {
    id: String,
    code: String,
}

#[derive(Serialize)]
struct Report<'a> {
    file: &'a Path,
    mesh_id: MeshId,
    node: PublicKey,
    peer_id: &'a str,
    facts: &'a Facts,
    invited: bool,
}

impl Request {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        signing::refuse_existing(Some(&self.file))?;
        let home = self.home(context)?;
        let path = context.directory().join("node.key");
        let key =
            weft_keys::load_secret(&path).map_err(|error| refusals::key_file(&path, &error))?;
        let mesh_id = home.settings().mesh_id;
        let invitation = match &self.invitation {
            None => None,
            Some(text) => Some(read_invitation(text, Some(&mesh_id))?),
        };
        let code = invitation.map(|invitation| {
            let request = invitation.request(key.public());
            Code {
                id: hex(&request.invitation),
                code: hex(&request.code),
            }
        });
        let mut request = RequestFile {
            schema: crate::output::SCHEMA,
            mesh_id,
            node: key.public(),
            peer_id: weft_node::peer_name(&key.public()),
            facts: Facts::measure(),
            invitation: code,
            signature: None,
        };
        request.sign(&key);
        let text = serde_json::to_string_pretty(&request).map_err(|error| {
            Failure::new(
                Exit::Failed,
                "no request was written",
                error.to_string(),
                "",
            )
        })?;
        into_new_file(&self.file, |out| {
            let written = out
                .write_all(text.as_bytes())
                .and_then(|()| out.write_all(b"\n"));
            written.map_err(|error| {
                Failure::file(format!("{} cannot be written", self.file.display()), &error)
            })
        })?;
        let report = Report {
            file: &self.file,
            mesh_id,
            node: request.node,
            peer_id: &request.peer_id,
            facts: &request.facts,
            invited: request.invitation.is_some(),
        };
        context.output.result(&report, |style| {
            let rows = [
                ("mesh", mesh_id.to_string()),
                ("node", request.node.to_string()),
                ("peer id", request.peer_id.clone()),
            ];
            format!(
                "{}\nWritten: {}\nElsewhere: {}\nThen: {}\n",
                fields(style, &rows),
                self.file.display(),
                style.bold(&format!(
                    "weft node enroll {} --key enroll.key --out ENROLLED",
                    quoted(&self.file)
                )),
                style.bold(&context.command("bundle import ENROLLED")),
            )
        })
    }
}

impl Request {
    /// This folder's node, which is made if there is none.
    fn home(&self, context: &Context) -> Result<Home, Failure> {
        let home = match Home::open(context.directory()) {
            Err(HomeError::Missing(_)) => {
                let invitation = match &self.invitation {
                    None => None,
                    Some(text) => Some(read_invitation(text, self.mesh.as_ref())?),
                };
                let invited = invitation.as_ref().map(|one| one.mesh_id);
                let Some(mesh_id) = self.mesh.or(invited) else {
                    return Err(Failure::new(
                        Exit::NotFound,
                        format!("there is no node in {}", context.directory().display()),
                        "and without a mesh none can be made",
                        "the same with --mesh MESH_ID, or with --invitation INVITATION",
                    ));
                };
                let mut settings = Settings::new(mesh_id, self.channel.clone());
                let addresses = invitation.iter().flat_map(|one| one.addresses.clone());
                settings.bootstrap = addresses.collect();
                Home::init(context.directory(), settings, invitation)
            }
            home => home,
        };
        let home = home.map_err(|error| context.home_refused(&error))?;
        let found = home.settings().mesh_id;
        match self.mesh.filter(|mesh_id| *mesh_id != found) {
            Some(mesh_id) => Err(Failure::new(
                Exit::Refused,
                format!(
                    "{} holds a node of another mesh",
                    context.directory().display()
                ),
                format!("it belongs to mesh {found}, not to {mesh_id}"),
                "weft --dir ANOTHER_FOLDER …",
            )),
            None => Ok(home),
        }
    }
}

impl RequestFile {
    /// Reads a request and holds it against its own signature.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let unreadable = |error: &std::io::Error| {
            Failure::file(
                format!("the request {} cannot be read", path.display()),
                error,
            )
        };
        let refused = |why: String| {
            Failure::new(
                Exit::Verification,
                format!("{} is no request that can be used", path.display()),
                why,
                "on the node: weft node request FILE",
            )
        };
        let mut text = String::new();
        let file = File::open(path).map_err(|error| unreadable(&error))?;
        let read =
            file.take(REQUEST_BYTES)
                .read_to_string(&mut text)
                .map_err(|error| match error.kind() {
                    std::io::ErrorKind::InvalidData => refused("it is not text".to_owned()),
                    _ => unreadable(&error),
                })?;
        if read as u64 == REQUEST_BYTES {
            return Err(refused("it is far too long".to_owned()));
        }
        let request: Self =
            serde_json::from_str(&text).map_err(|error| refused(error.to_string()))?;
        let signature = request.signature;
        let message = request.message();
        let verified = signature
            .is_some_and(|signature| request.node.verify_strict(&message, &signature).is_ok());
        if !verified {
            return Err(refused(
                "it was changed after the node signed it, or broke on the way".to_owned(),
            ));
        }
        Ok(request)
    }

    /// Whether the node holds this invitation.
    pub(crate) fn is_invited_by(&self, invitation: &Invitation) -> bool {
        let Some(code) = &self.invitation else {
            return false;
        };
        let (Some(id), Some(code)) = (bytes(&code.id), bytes(&code.code)) else {
            return false;
        };
        let request = JoinRequest {
            node: self.node,
            invitation: id,
            code,
        };
        request.invitation == invitation.id
            && request.is_by_holder(&invitation.secret, &self.mesh_id)
    }

    fn sign(&mut self, key: &SecretKey) {
        self.signature = Some(key.sign(&self.message()));
    }

    fn message(&self) -> Vec<u8> {
        let unsigned = Self {
            signature: None,
            ..self.clone()
        };
        let mut message = DOMAIN.to_vec();
        // the same fields in the same order on both sides
        message.extend(serde_json::to_vec(&unsigned).unwrap_or_default());
        message
    }
}

impl Facts {
    fn measure() -> Self {
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = meminfo
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))
            .and_then(|rest| rest.trim().strip_suffix("kB"))
            .and_then(|kib| kib.trim().parse::<u64>().ok());
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            host: host.trim().to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            ram_bytes: total.unwrap_or(0).saturating_mul(1024),
        }
    }
}

/// An invitation, of this mesh, that can still be used.
pub(crate) fn read_invitation(text: &str, mesh_id: Option<&MeshId>) -> Result<Invitation, Failure> {
    let unusable = |exit: Exit, why: String| {
        Failure::new(
            exit,
            "the invitation cannot be used",
            why,
            "ask the admin for another one",
        )
    };
    let invitation: Invitation = text
        .parse()
        .map_err(|error: weft_record::InvitationError| unusable(Exit::Usage, error.to_string()))?;
    if let Some(mesh_id) = mesh_id.filter(|mesh_id| invitation.mesh_id != **mesh_id) {
        let why = format!(
            "it is for mesh {}, this is mesh {mesh_id}",
            invitation.mesh_id
        );
        return Err(unusable(Exit::Verification, why));
    }
    if invitation.expires_s < signing::now_s() {
        let expired = signing::words::utc(invitation.expires_s);
        return Err(unusable(Exit::Refused, format!("it expired on {expired}")));
    }
    Ok(invitation)
}

fn bytes<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    if text.len() != 2 * LENGTH || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; LENGTH];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn request(invitation: Option<&Invitation>) -> RequestFile {
        let key = SecretKey::from_seed([3; 32]);
        let code = invitation.map(|one| one.request(key.public()));
        let mut request = RequestFile {
            schema: 1,
            mesh_id: MeshId([7; 32]),
            node: key.public(),
            peer_id: "p".to_owned(),
            facts: Facts::measure(),
            invitation: code.map(|code| Code {
                id: hex(&code.invitation),
                code: hex(&code.code),
            }),
            signature: None,
        };
        request.sign(&key);
        request
    }

    #[test]
    fn a_request_is_what_the_node_signed_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.request");
        let text = serde_json::to_string_pretty(&request(None)).unwrap();
        std::fs::write(&path, &text).unwrap();
        assert_eq!(RequestFile::read(&path).unwrap(), request(None));
        let broken = [
            text.replace("\"p\"", "\"q\""),
            text[..text.len() - 4].to_owned(),
            text.replace("schema", "scheme"),
            String::new(),
            "x".repeat(REQUEST_BYTES as usize),
        ];
        for text in broken {
            std::fs::write(&path, &text).unwrap();
            assert_eq!(
                RequestFile::read(&path).unwrap_err().exit,
                Exit::Verification
            );
        }
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(
            RequestFile::read(&path).unwrap_err().exit,
            Exit::Verification
        );
        let missing = folder.path().join("none");
        assert_eq!(
            RequestFile::read(&missing).unwrap_err().exit,
            Exit::NotFound
        );
    }

    #[test]
    fn only_who_holds_the_invitation_is_invited() {
        let invitation = |secret: u8| Invitation {
            mesh_id: MeshId([7; 32]),
            id: [1; 16],
            secret: [secret; 32],
            addresses: Vec::new(),
            site: "north".parse().unwrap(),
            labels: Vec::new(),
            expires_s: u64::MAX,
        };
        let (right, wrong) = (invitation(1), invitation(2));
        assert!(request(Some(&right)).is_invited_by(&right));
        assert!(!request(Some(&wrong)).is_invited_by(&right));
        assert!(!request(None).is_invited_by(&right));
        let text = right.to_string();
        assert_eq!(
            read_invitation(&text, Some(&MeshId([7; 32]))).unwrap(),
            right
        );
        let other = read_invitation(&text, Some(&MeshId([8; 32]))).unwrap_err();
        assert_eq!(other.exit, Exit::Verification);
    }
}
