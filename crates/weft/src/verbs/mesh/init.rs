//! `weft mesh init`

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use serde::Serialize;
use weft_keys::SecretKey;
use weft_node::Home;
use weft_record::{Enroll, Envelope, Kind, MeshId, Name, codec, seal};

use super::{NodeFlags, admins, refuse_existing};
use crate::{
    bundle_file::BundleWriter,
    context::{Context, quoted},
    failure::{Exit, Failure},
    keys,
    output::fields,
    refusals, signing,
    verbs::bundle::into_new_file,
};

/// For how long the first node is enrolled.
const ENROLLED_S: u64 = 365 * 24 * 3600;

/// Make a new mesh: the admins' keys, the record that everything is held against, and this
/// folder's node, which enrolls the others.
///
/// Alone, one key does everything. With --admins every admin gets keys of their own, each in a
/// folder to be carried to its owner. Where every admin makes their own keys, `weft trust genesis`
/// writes the root; with --root a node is made from it once enough of them have signed.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  weft mesh init --listen /ip4/0.0.0.0/tcp/4001\n  weft mesh init --admins 3 --threshold 2 --keys ./keys\n  weft mesh init --root genesis.weft --key anna-enroll.key"
)]
pub(crate) struct Init {
    /// Where to keep the admin key [default: admin.key in the node's folder]; with --root the
    /// key that enrolls
    ///
    /// A key file that exists is used; else one is made.
    #[arg(long, value_name = "FILE", conflicts_with = "admins")]
    key: Option<PathBuf>,
    /// Make keys for this many admins
    #[arg(long, value_name = "COUNT", requires = "threshold", value_parser = clap::value_parser!(u16).range(1..=16))]
    admins: Option<u16>,
    /// So many admins must sign a change of the root
    #[arg(long, value_name = "COUNT", requires = "admins", value_parser = clap::value_parser!(u16).range(1..=16))]
    threshold: Option<u16>,
    /// So many must sign a release and a head [default: as many as for the root]
    #[arg(long, value_name = "COUNT", requires = "admins", value_parser = clap::value_parser!(u16).range(1..=16))]
    role_threshold: Option<u16>,
    /// Put the admins' folders here [default: admins in the node's folder]
    #[arg(long, value_name = "DIR", requires = "admins")]
    keys: Option<PathBuf>,
    /// Make this folder's node from a root that its admins have signed
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "admins")]
    root: Option<PathBuf>,
    /// The site of this node
    #[arg(long, value_name = "SITE", default_value = "main")]
    site: Name,
    #[command(flatten)]
    node: NodeFlags,
}

#[derive(Serialize)]
struct Report {
    mesh_id: MeshId,
    directory: PathBuf,
    /// The admin key; with several admins the key that enrolls.
    key: PathBuf,
    /// The folder of each admin's keys, if there are several.
    admins: Vec<PathBuf>,
    /// The node's key as addresses have it.
    peer_id: String,
    channels: Vec<Name>,
    /// The command that lets another node join.
    invite: String,
}

/// What a mesh begins with.
struct Beginning {
    mesh_id: MeshId,
    root: Vec<Envelope>,
    enroll_key: SecretKey,
    enroll_path: PathBuf,
    admins: Vec<PathBuf>,
}

impl Init {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        refuse_existing(context)?;
        let beginning = self.begin(context)?;
        let mut settings = self.node.settings(beginning.mesh_id, Vec::new());
        settings.registrar = true;
        settings.enroll_key = Some(
            match beginning.enroll_path.strip_prefix(context.directory()) {
                Ok(inside) => inside.to_owned(),
                Err(_) => beginning.enroll_path.clone(),
            },
        );
        let home = Home::init(context.directory(), settings, None)
            .map_err(|error| context.home_refused(&error))?;
        if !beginning.admins.is_empty() {
            let path = &beginning.enroll_path;
            weft_keys::save_secret(path, &beginning.enroll_key)
                .map_err(|error| refusals::key_file(path, &error))?;
        }
        let mut records = beginning.root.clone();
        records.push(enrolment(&home, &beginning, self.site));
        if let Err(failure) = store(context, &home, &records) {
            // without its root the folder is no member of anything
            let _ = std::fs::remove_file(context.directory().join("node.toml"));
            return Err(failure);
        }
        report(context, &home, beginning)
    }

    fn begin(&self, context: &Context) -> Result<Beginning, Failure> {
        let absolute = |path: &Path| {
            std::path::absolute(path)
                .map_err(|error| Failure::file(path.display().to_string(), &error))
        };
        if let (Some(root), Some(key)) = (&self.root, &self.key) {
            let enroll_path = absolute(key)?;
            let enroll_key = keys::load_key(&enroll_path)?;
            let file = signing::SignedFile::open(root)?;
            return Ok(Beginning {
                mesh_id: file.mesh_id,
                root: file.records,
                enroll_key,
                enroll_path,
                admins: Vec::new(),
            });
        }
        if let (Some(count), Some(threshold)) = (self.admins, self.threshold) {
            let folder = match &self.keys {
                Some(folder) => absolute(folder)?,
                None => context.directory().join("admins"),
            };
            let role_threshold = self.role_threshold.unwrap_or(threshold);
            let made = admins::make(&folder, count, threshold, role_threshold)?;
            return Ok(Beginning {
                mesh_id: made.genesis.mesh_id,
                root: vec![made.genesis.envelope],
                enroll_key: made.enroll_key,
                // a copy, so that every admin's folder can be carried away
                enroll_path: context.directory().join("enroll.key"),
                admins: made.folders,
            });
        }
        let path = match &self.key {
            Some(path) => absolute(path)?,
            None => context.directory().join("admin.key"),
        };
        let key = signing::load_or_make_key(&path)?;
        let genesis = signing::Genesis::new(&key)?;
        Ok(Beginning {
            mesh_id: genesis.mesh_id,
            root: vec![genesis.envelope],
            enroll_key: key,
            enroll_path: path,
            admins: Vec::new(),
        })
    }
}

/// The record that makes this node a member.
fn enrolment(home: &Home, beginning: &Beginning, site: Name) -> Envelope {
    let now_s = signing::now_s();
    let enroll = Enroll {
        node: home.key(),
        number: 0,
        owner: site.clone(),
        site,
        labels: Vec::new(),
        class: weft_node::default_class(),
        issued_at_s: now_s,
        expires_s: now_s.saturating_add(ENROLLED_S),
    };
    let body = codec::encode(&enroll);
    seal(
        Kind::Enroll,
        beginning.mesh_id,
        body,
        &[&beginning.enroll_key],
    )
}

/// Puts records into the node's store, by the door that every record takes.
fn store(context: &Context, home: &Home, records: &[Envelope]) -> Result<(), Failure> {
    let folder = signing::scratch(home.directory())?;
    let path = folder.path().join("begin.weft");
    into_new_file(&path, |out| {
        let mut writer = BundleWriter::begin(out, home.settings().mesh_id)?;
        for record in records {
            writer.record(&record.encode())?;
        }
        writer.finish()
    })?;
    let report = weft_node::import_offline(home, &path)
        .map_err(|error| refusals::import(context, &path, &error))?;
    if report.refused.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Verification,
        "no mesh was made: the first records were refused",
        report.refused.join("; "),
        "weft trust cosign --help",
    ))
}

fn report(context: &Context, home: &Home, beginning: Beginning) -> Result<(), Failure> {
    let report = Report {
        mesh_id: beginning.mesh_id,
        directory: context.directory().to_owned(),
        key: beginning.enroll_path,
        admins: beginning.admins,
        peer_id: weft_node::peer_name(&home.key()),
        channels: home.settings().channels.clone(),
        invite: context.command("mesh invite"),
    };
    context.output.result(&report, |style| {
        let mut rows = vec![
            ("mesh", report.mesh_id.to_string()),
            ("node", report.peer_id.clone()),
            ("folder", report.directory.display().to_string()),
        ];
        if report.admins.is_empty() {
            rows.push((
                "admin key",
                format!("{}  (keep it safe: it signs releases)", quoted(&report.key)),
            ));
        } else {
            let folders = report.admins.iter().map(|folder| quoted(folder));
            let folders: Vec<String> = folders.collect();
            rows.push(("admins", folders.join("\n        ")));
        }
        let mut text = fields(style, &rows);
        if !report.admins.is_empty() {
            text.push_str(
                "\nCarry each folder to its admin and delete it here; this node has a copy of\nthe first one's enroll.key.\n",
            );
        }
        let _ = writeln!(text, "\nNext: {}", style.bold(&context.command("up")));
        let _ = writeln!(
            text,
            "Then, for every other node: {}",
            style.bold(&report.invite)
        );
        text
    })
}
