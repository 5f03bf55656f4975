//! `weft trust genesis`

use std::path::PathBuf;

use serde::Serialize;
use weft_keys::PublicKey;
use weft_record::{MeshId, Name, Trust};

use super::public::{Public, RoleKey, RoleNumber};
use crate::{
    context::{Context, quoted},
    failure::{Exit, Failure},
    output::fields,
    signing::{self, Ground, Judged, Plan, Signer, State},
};

/// Draft the first record of a mesh of several admins into a file.
///
/// Needs only public keys. The mesh id, which everything is held against, does not depend on
/// who signs: all admins read it aloud before they sign.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  weft trust genesis --root anna.pub --root ben.pub --root cleo.pub --threshold 2 --role release=anna-release.pub --role head=ben-head.pub --role enroll=ben-enroll.pub --key anna-root.key --out genesis.weft"
)]
pub(crate) struct Genesis {
    /// A key that signs roots: 64 digits, or a file; once an admin
    #[arg(long, value_name = "PUBLIC_KEY", required = true)]
    root: Vec<Public>,
    /// How many root keys must sign
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    threshold: u16,
    /// A key for a role: release, head, enroll or beacon; may be given more than once
    #[arg(long, value_name = "ROLE=PUBLIC_KEY")]
    role: Vec<RoleKey>,
    /// How many keys of a role must sign [default: 1]
    #[arg(long, value_name = "ROLE=NUMBER")]
    role_threshold: Vec<RoleNumber>,
    /// A root key that signs it now; may be given more than once
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// The file to write; an existing one is never overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Serialize)]
struct Report {
    mesh_id: MeshId,
    file: PathBuf,
    complete: bool,
    /// Roles that nobody has yet.
    vacant: Vec<&'static str>,
    records: Vec<Judged>,
    next: String,
}

impl Genesis {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        signing::refuse_existing(Some(&self.out))?;
        let signers = Signer::open_all(&self.key)?;
        let root: Vec<PublicKey> = self.root.iter().map(|key| key.0).collect();
        if let Some(stranger) = signers.iter().find(|one| !root.contains(&one.public())) {
            return Err(signing::may_not_sign("the first root", stranger));
        }
        let mut roles: Vec<(Name, Vec<PublicKey>, u16)> = Vec::new();
        for RoleKey { role, key } in &self.role {
            match roles.iter_mut().find(|(name, ..)| name == role) {
                Some((_, keys, _)) => keys.push(*key),
                None => roles.push((role.clone(), vec![*key], 1)),
            }
        }
        for RoleNumber { role, number } in &self.role_threshold {
            match roles.iter_mut().find(|(name, ..)| name == role) {
                Some((_, _, threshold)) => *threshold = *number,
                None => {
                    return Err(Failure::new(
                        Exit::Usage,
                        format!("role {role} has no key"),
                        "a threshold is given for it, and no --role names it",
                        "weft trust genesis --help",
                    ));
                }
            }
        }
        let known = signing::ROLES.iter().map(|(name, _)| *name);
        let vacant: Vec<&'static str> = known
            .filter(|known| !roles.iter().any(|(name, ..)| name.as_str() == *known))
            .collect();
        let plan = Plan {
            root: (root, self.threshold),
            roles,
        };
        let genesis = signing::Genesis::of(plan, &[])?;
        let mut envelope = genesis.envelope;
        let mut ground = Ground::of_records(Trust::new(genesis.mesh_id), Vec::new());
        // the draft lies in its file before anybody signs it
        ground.write_drafts(&self.out, std::slice::from_ref(&envelope))?;
        signing::sign_with(&ground.trust, &mut envelope, &signers)?;
        for signer in &signers {
            if let Err(failure) = signer.claim(&ground, &envelope) {
                let _ = std::fs::remove_file(&self.out);
                return Err(failure);
            }
        }
        let envelopes = [envelope];
        ground.add(envelopes.to_vec());
        ground.write(&self.out, true, &envelopes, &[])?;
        let records = ground.judge(&envelopes);
        let complete = records.iter().all(|one| one.state == State::Accepted);
        let report = Report {
            mesh_id: genesis.mesh_id,
            next: if complete {
                format!(
                    "weft mesh init --root {} --key ENROLL_KEY",
                    quoted(&self.out)
                )
            } else {
                format!("weft trust cosign {} --key KEY", quoted(&self.out))
            },
            file: self.out,
            complete,
            vacant,
            records,
        };
        context.output.result(&report, |style| {
            let mut rows = vec![("mesh", report.mesh_id.to_string())];
            if !report.vacant.is_empty() {
                let vacant = report.vacant.join(", ");
                rows.push(("nobody is", format!("{vacant}  (weft trust rotate --add)")));
            }
            format!(
                "{}\n{}\nWritten: {}\nNext: {}\n",
                fields(style, &rows),
                signing::lines(style, &report.records),
                report.file.display(),
                style.bold(&report.next)
            )
        })
    }
}
