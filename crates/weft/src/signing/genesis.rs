//! The first record of a mesh: who may sign what, from the beginning.

use weft_keys::{PublicKey, SecretKey};
use weft_record::{
    Envelope, Kind, MeshId, Name, NameError, PrivacyFloors, Role, Root, Scope, Validity, codec,
    seal,
};

use super::now_s;
use crate::failure::{Exit, Failure};

/// The roles of a mesh, and what each signs.
pub(crate) const ROLES: [(&str, &[Kind]); 4] = [
    ("beacon", &[Kind::Beacon]),
    ("enroll", &[Kind::Enroll, Kind::EnrollRoot, Kind::Revoke]),
    (
        "head",
        &[Kind::Head, Kind::Control, Kind::Blueprint, Kind::Task],
    ),
    ("release", &[Kind::Release, Kind::Revoke]),
];
/// A root is to be renewed within a year, so that keys are not forgotten; what is
/// active stays active after it.
pub(crate) const ROOT_VALIDITY_S: u64 = 365 * 24 * 3600;
/// The least privacy that any telemetry of a new mesh must give: nothing is opened
/// below 20 contributors, no site is more than a tenth of them.
const PRIVACY: PrivacyFloors = PrivacyFloors {
    k: 20,
    k_site_bp: 1_000,
    epsilon_milli: 1_000,
};

/// Who is to sign what in a new mesh.
pub(crate) struct Plan {
    /// Keys that sign roots, and how many of them it takes.
    pub(crate) root: (Vec<PublicKey>, u16),
    /// Of the roles that somebody has: name, keys, and how many of them it takes.
    pub(crate) roles: Vec<(Name, Vec<PublicKey>, u16)>,
}

/// The first record of a mesh; it counts once enough root keys have signed it.
pub(crate) struct Genesis {
    pub(crate) mesh_id: MeshId,
    pub(crate) envelope: Envelope,
}

impl Genesis {
    /// A root with one key for everything, which its admin can divide later.
    pub(crate) fn new(key: &SecretKey) -> Result<Self, Failure> {
        let public = key.public();
        let role = |(name, _): &(&str, _)| Ok((role_name(name)?, vec![public], 1));
        let plan = Plan {
            root: (vec![public], 1),
            roles: ROLES.iter().map(role).collect::<Result<_, Failure>>()?,
        };
        Self::of(plan, &[key])
    }

    /// A root of these keys and roles, signed by those who are here.
    pub(crate) fn of(plan: Plan, keys: &[&SecretKey]) -> Result<Self, Failure> {
        let roles = plan.roles.into_iter().map(|(name, keys, threshold)| {
            let mut role = new_role(name)?;
            (role.keys, role.threshold) = (keys, threshold);
            role.sort();
            Ok(role)
        });
        let roles = roles.collect::<Result<Vec<_>, Failure>>()?;
        let from_s = now_s();
        let validity = Validity {
            from_s,
            until_s: from_s.saturating_add(ROOT_VALIDITY_S),
        };
        let (root_keys, threshold) = plan.root;
        let root = Root::genesis(root_keys, threshold, roles, validity, PRIVACY)
            .map_err(|error| impossible(error.to_string()))?;
        let mesh_id = root.mesh_id;
        Ok(Self {
            mesh_id,
            envelope: seal(Kind::Root, mesh_id, codec::encode(&root), keys),
        })
    }
}

/// A role that weft knows, with no key yet.
pub(crate) fn new_role(name: Name) -> Result<Role, Failure> {
    let known = ROLES.iter().find(|(known, _)| *known == name.as_str());
    let Some((_, kinds)) = known else {
        let names: Vec<&str> = ROLES.iter().map(|(name, _)| *name).collect();
        return Err(Failure::new(
            Exit::Usage,
            format!("there is no role `{name}`"),
            format!("the roles of a mesh are {}", names.join(", ")),
            "weft trust rotate --help",
        ));
    };
    let mut role = Role {
        name,
        keys: Vec::new(),
        threshold: 1,
        kinds: kinds.iter().map(|kind| kind.number()).collect(),
        channels: Scope::All,
        sites: Scope::All,
    };
    role.sort();
    Ok(role)
}

fn role_name(name: &str) -> Result<Name, Failure> {
    name.parse()
        .map_err(|error: NameError| impossible(error.to_string()))
}

fn impossible(why: String) -> Failure {
    Failure::new(
        Exit::Refused,
        "no root could be made",
        why,
        "weft trust genesis --help",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use weft_record::{Memo, Trust};

    use super::*;

    #[test]
    fn a_genesis_is_its_own_mesh() {
        let key = SecretKey::from_seed([7; 32]);
        let genesis = Genesis::new(&key).unwrap();
        let mut trust = Trust::new(genesis.mesh_id);
        trust
            .admit(genesis.envelope, now_s(), &mut Memo::default())
            .unwrap();
        let root = trust.root().unwrap();
        assert_eq!(root.keys, [key.public()]);
        assert_eq!(root.roles.len(), ROLES.len());
    }

    #[test]
    fn no_plan_can_ask_for_more_signatures_than_there_are_keys() {
        let key = SecretKey::from_seed([7; 32]);
        let plan = |threshold, roles| Plan {
            root: (vec![key.public()], threshold),
            roles,
        };
        assert!(Genesis::of(plan(1, Vec::new()), &[&key]).is_ok());
        assert!(Genesis::of(plan(2, Vec::new()), &[&key]).is_err());
        let role = |name: &str| vec![(name.parse().unwrap(), vec![key.public()], 2)];
        assert!(Genesis::of(plan(1, role("head")), &[&key]).is_err());
        assert!(Genesis::of(plan(1, role("emperor")), &[&key]).is_err());
    }
}
