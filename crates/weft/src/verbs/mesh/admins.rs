//! The keys of several admins, each in a folder of their own.

use std::{
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use weft_keys::{PublicKey, SecretKey};
use weft_record::{Name, NameError};

use crate::{
    context::quoted,
    failure::{Exit, Failure},
    refusals,
    signing::{Genesis, Plan},
    verbs::key::new_key,
};

/// What was made.
pub(super) struct Made {
    pub(super) genesis: Genesis,
    pub(super) folders: Vec<PathBuf>,
    /// The first admin's; any admin's will do.
    pub(super) enroll_key: SecretKey,
}

/// The keys of one admin.
struct Admin {
    root: SecretKey,
    release: SecretKey,
    head: SecretKey,
    enroll: SecretKey,
}

/// Makes all keys, and a root that all root keys have signed.
pub(super) fn make(
    folder: &Path,
    count: u16,
    threshold: u16,
    role_threshold: u16,
) -> Result<Made, Failure> {
    for (flag, needed) in [
        ("--threshold", threshold),
        ("--role-threshold", role_threshold),
    ] {
        if needed > count {
            return Err(Failure::new(
                Exit::Usage,
                format!("{flag} {needed} cannot be met"),
                format!("there are {count} admins, so at most {count} can sign"),
                format!("weft mesh init --admins {count} {flag} {count}"),
            ));
        }
    }
    let folders = (1..=count).map(|number| folder.join(format!("admin-{number}")));
    let folders: Vec<PathBuf> = folders.collect();
    if let Some(taken) = folders.iter().find(|folder| folder.exists()) {
        return Err(Failure::new(
            Exit::Refused,
            format!("{} exists already", taken.display()),
            "keys are never overwritten",
            "weft mesh init --keys ANOTHER_FOLDER …",
        ));
    }
    let admins = folders.iter().map(|folder| Admin::make(folder));
    let admins = admins.collect::<Result<Vec<_>, Failure>>()?;
    let publics = |key: fn(&Admin) -> &SecretKey| -> Vec<PublicKey> {
        admins.iter().map(|admin| key(admin).public()).collect()
    };
    let (release, head) = (publics(|one| &one.release), publics(|one| &one.head));
    let enroll = publics(|one| &one.enroll);
    let plan = Plan {
        root: (publics(|one| &one.root), threshold),
        roles: vec![
            // whoever runs a node that enrolls can also give the sign of life
            (role("beacon")?, enroll.clone(), 1),
            (role("enroll")?, enroll, 1),
            (role("head")?, head, role_threshold),
            (role("release")?, release, role_threshold),
        ],
    };
    let signers: Vec<&SecretKey> = admins.iter().map(|admin| &admin.root).collect();
    let genesis = Genesis::of(plan, &signers)?;
    let first = admins.into_iter().next().ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            "a mesh needs an admin",
            "",
            "weft mesh init --help",
        )
    })?;
    Ok(Made {
        genesis,
        folders,
        enroll_key: first.enroll,
    })
}

impl Admin {
    fn make(folder: &Path) -> Result<Self, Failure> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| Failure::file(quoted(folder), &error))?;
        let key = |name: &str| {
            let key = new_key(&folder.join(format!("{name}.key")))?;
            // for a root that is changed without the secret half
            let path = folder.join(format!("{name}.pub"));
            weft_keys::save_public(&path, &key.public())
                .map_err(|error| refusals::key_file(&path, &error))?;
            Ok(key)
        };
        Ok(Self {
            root: key("root")?,
            release: key("release")?,
            head: key("head")?,
            enroll: key("enroll")?,
        })
    }
}

fn role(name: &str) -> Result<Name, Failure> {
    name.parse()
        .map_err(|error: NameError| Failure::new(Exit::Failed, "no role", error.to_string(), ""))
}
