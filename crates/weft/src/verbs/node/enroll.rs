//! `weft node enroll`

use std::{path::PathBuf, str::FromStr};

use serde::Serialize;
use weft_keys::{Invitations, InvitationsError, LedgerError, PublicKey};
use weft_record::{Enroll as EnrollRecord, Kind, Label, MeshId, Name, codec, seal};

use super::request::{RequestFile, read_invitation};
use crate::{
    context::{Context, quoted},
    failure::{Exit, Failure},
    output::{fields, size},
    signing::{self, Draft, From, Ground, Judged, Signer, now_s, words},
};

/// Sign the enrolment of a node that asked by file.
///
/// Compare the node's key with what its owner reads out, or give the invitation that it
/// holds: a request on a stick can be swapped for another node's.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  weft node enroll pump-7.request --key enroll.key --site north --owner ward-3 --label ward=icu --out pump-7.weft"
)]
pub(crate) struct Enroll {
    /// What `weft node request` wrote
    file: PathBuf,
    /// A key that signs enrolments; may be given more than once
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    /// Where the node stands [default: the invitation's site, else `main`]
    #[arg(long, value_name = "SITE")]
    site: Option<Name>,
    /// Whose it is
    #[arg(long, value_name = "OWNER", default_value = "main")]
    owner: Name,
    /// What else is said of it; may be given more than once
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<LabelFlag>,
    /// Its class of hardware [default: its architecture]
    #[arg(long, value_name = "CLASS")]
    class: Option<Name>,
    /// For how long, such as 365d or 12h
    #[arg(long, value_name = "TIME", default_value = "365d")]
    expires: Span,
    /// The invitation that the node must hold
    #[arg(long, value_name = "INVITATION")]
    invitation: Option<String>,
    /// The file for the node; an existing one is never overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    from: From,
}

/// `NAME=VALUE`
#[derive(Clone, Debug, PartialEq, Eq)]
struct LabelFlag(Label);

impl FromStr for LabelFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("write it like ward=icu")?;
        let part = |text: &str| text.parse().map_err(|error| format!("`{text}`: {error}"));
        Ok(Self(Label {
            name: part(name)?,
            value: part(value)?,
        }))
    }
}

/// A time span such as `365d`, `12h` or `30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    seconds: u64,
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write it like 365d, 12h or 30m".to_owned();
        let (number, unit) = text
            .split_at_checked(text.len().saturating_sub(1))
            .ok_or_else(wrong)?;
        let unit = match unit {
            "d" => 86_400,
            "h" => 3_600,
            "m" => 60,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let seconds = number.checked_mul(unit).ok_or_else(wrong)?;
        Ok(Self { seconds })
    }
}

#[derive(Serialize)]
struct Report {
    file: PathBuf,
    mesh_id: MeshId,
    node: PublicKey,
    peer_id: String,
    invited: bool,
    #[serde(flatten)]
    enroll: EnrollRecord,
    complete: bool,
    /// Whether this folder's node knows it now too.
    known_here: bool,
    records: Vec<Judged>,
    next: String,
}

impl Enroll {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let signers = Signer::open_all(&self.key)?;
        let request = RequestFile::read(&self.file)?;
        let mut ground = Ground::open(context, &self.from)?;
        let mesh_id = ground.trust.mesh_id();
        if request.mesh_id != mesh_id {
            return Err(Failure::new(
                Exit::Verification,
                format!("{} is of another mesh", self.file.display()),
                format!(
                    "it asks for mesh {}, this is mesh {mesh_id}",
                    request.mesh_id
                ),
                "weft --dir FOLDER_OF_THAT_MESH …",
            ));
        }
        if ground.trust.is_key_revoked(&request.node) {
            return Err(Failure::new(
                Exit::Refused,
                format!("node {} is not enrolled", request.peer_id),
                "its key was revoked, and that is for good",
                "on the node: make a new folder, and ask again",
            ));
        }
        let invitation = match &self.invitation {
            None => None,
            Some(text) => Some(read_invitation(text, Some(&mesh_id))?),
        };
        if let Some(invitation) = &invitation
            && !request.is_invited_by(invitation)
        {
            return Err(Failure::new(
                Exit::Verification,
                format!("node {} is not enrolled", request.peer_id),
                "its request was not made with this invitation",
                "on the node: weft node request FILE --invitation INVITATION",
            ));
        }
        if let Some(invitation) = &invitation {
            mark_used(context, invitation, &request)?;
        }
        let enroll = self.enroll(&ground, &request, invitation.as_ref())?;
        let body = codec::encode(&enroll);
        let envelope = seal(Kind::Enroll, mesh_id, body, &[]);
        let drafts = vec![Draft {
            envelope: envelope.clone(),
            signers: &signers,
        }];
        let out = Some(self.out.as_path());
        let delivered = signing::deliver(context, &mut ground, "the enrolment", drafts, out, &[])?;
        let complete = delivered.is_complete();
        if let (true, Some(home)) = (complete, &ground.home) {
            ground.take_in(context, home, &[envelope], &[])?;
        }
        let report = Report {
            mesh_id,
            node: request.node,
            peer_id: request.peer_id.clone(),
            invited: invitation.is_some(),
            enroll,
            complete,
            known_here: complete && ground.home.is_some(),
            records: delivered.records,
            next: if complete {
                format!("on the node: weft bundle import {}", quoted(&self.out))
            } else {
                format!("weft trust cosign {} --key KEY", quoted(&self.out))
            },
            file: self.out,
        };
        context.output.result(&report, |style| {
            let invited = if report.invited {
                "it holds the invitation"
            } else {
                "compare this with what its owner reads out"
            };
            let labels = report.enroll.labels.iter();
            let labels: Vec<String> = labels
                .map(|label| format!("{}={}", label.name, label.value))
                .collect();
            let facts = &request.facts;
            let rows = [
                ("node", format!("{}  ({invited})", report.node)),
                ("peer id", report.peer_id.clone()),
                (
                    "machine",
                    format!(
                        "{}, {}, {}",
                        facts.host,
                        facts.architecture,
                        size(facts.ram_bytes)
                    ),
                ),
                ("site", report.enroll.site.to_string()),
                ("owner", report.enroll.owner.to_string()),
                ("class", report.enroll.class.to_string()),
                ("labels", labels.join(", ")),
                ("until", words::utc(report.enroll.expires_s)),
            ];
            let rows: Vec<_> = rows
                .into_iter()
                .filter(|(_, text)| !text.is_empty())
                .collect();
            format!(
                "{}\n{}\nWritten: {}\nNext: {}\n",
                fields(style, &rows),
                signing::lines(style, &report.records),
                report.file.display(),
                style.bold(&report.next)
            )
        })
    }

    fn enroll(
        &self,
        ground: &Ground,
        request: &RequestFile,
        invitation: Option<&weft_record::Invitation>,
    ) -> Result<EnrollRecord, Failure> {
        let wrong = |what: &str, error: String| {
            Failure::new(Exit::Usage, what, error, "weft node enroll --help")
        };
        let site = match (&self.site, invitation) {
            (Some(site), _) => site.clone(),
            (None, Some(invitation)) => invitation.site.clone(),
            (None, None) => "main"
                .parse()
                .map_err(|error: weft_record::NameError| wrong("no site", error.to_string()))?,
        };
        let class =
            match &self.class {
                Some(class) => class.clone(),
                None => request.facts.architecture.parse().map_err(
                    |error: weft_record::NameError| wrong("no class", error.to_string()),
                )?,
            };
        let mut labels: Vec<Label> = self.label.iter().map(|label| label.0.clone()).collect();
        for label in invitation.iter().flat_map(|one| &one.labels) {
            if !labels.iter().any(|one| one.name == label.name) {
                labels.push(label.clone());
            }
        }
        labels.sort();
        if let Some(twice) = labels.windows(2).find(|two| two[0].name == two[1].name) {
            let what = format!("label {} is given twice", twice[0].name);
            return Err(wrong(
                &what,
                "a node has one value of each label".to_owned(),
            ));
        }
        let known = ground.trust.enrolment(&request.node);
        let now_s = now_s();
        Ok(EnrollRecord {
            node: request.node,
            number: known.map_or(0, |known| known.number.saturating_add(1)),
            site,
            owner: self.owner.clone(),
            labels,
            class,
            issued_at_s: now_s,
            expires_s: now_s.saturating_add(self.expires.seconds),
        })
    }
}

/// Where this folder gave out the invitation, it remembers that it was used, so that nobody
/// joins with it over the network as well. An admin without that folder cannot know.
fn mark_used(
    context: &Context,
    invitation: &weft_record::Invitation,
    request: &RequestFile,
) -> Result<(), Failure> {
    let path = context.directory().join("invitations");
    if !path.exists() {
        return Ok(());
    }
    let refused = |why: String, next: String| {
        let what = format!("node {} is not enrolled", request.peer_id);
        Failure::new(Exit::Refused, what, why, next)
    };
    let mut issued = match Invitations::open(&path) {
        Ok(issued) => issued,
        Err(LedgerError::Busy { .. }) => {
            let why = "the running node of this folder holds the list of used invitations";
            let next = "stop `weft up` meanwhile, or let the node join over the network";
            return Err(refused(why.to_owned(), next.to_owned()));
        }
        Err(error) => {
            let next = format!("look at {}", quoted(&path));
            return Err(refused(error.to_string(), next));
        }
    };
    match issued.mark_used(&invitation.id, &request.node) {
        // given out by another admin's folder
        Ok(()) | Err(InvitationsError::Unknown) => Ok(()),
        Err(error) => Err(refused(error.to_string(), context.command("mesh invite"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_labels() {
        let span = |text: &str| text.parse::<Span>().map(|span| span.seconds);
        assert_eq!(span("365d"), Ok(31_536_000));
        assert_eq!(span("12h"), Ok(43_200));
        assert_eq!(span("30m"), Ok(1_800));
        for wrong in [
            "",
            "d",
            "5",
            "5y",
            "-1d",
            "1.5h",
            "99999999999999999999d",
            "5ä",
        ] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
        assert!("ward=icu".parse::<LabelFlag>().is_ok());
        for wrong in ["ward", "=", "Ward=icu", "ward="] {
            assert!(wrong.parse::<LabelFlag>().is_err(), "{wrong}");
        }
    }
}
