use serde::{Deserialize, Serialize};
use weft_keys::PublicKey;

use crate::{
    Invalid, Kind, MeshId, Name, RecordId,
    bounds::{BASIS_POINTS, MAX_KEPT, MAX_KEYS, MAX_KINDS, MAX_RESETS, MAX_ROLES, MAX_SCOPE_NAMES},
    check,
};

/// Who may sign what. Signed by the root before it and by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The mesh: the hash of the first root's body with this field zeroed.
    pub mesh_id: MeshId,
    /// 1 for the first, then one more each time.
    pub version: u64,
    /// The root before it; none for the first.
    pub prev: Option<RecordId>,
    /// Keys that sign the next root, sorted.
    pub keys: Vec<PublicKey>,
    /// How many of them it takes.
    pub threshold: u16,
    /// Who signs everything else, sorted by name.
    pub roles: Vec<Role>,
    /// Channels that begin a new epoch, sorted by channel.
    pub resets: Vec<Reset>,
    /// Records of lost signers that still count, sorted.
    pub kept: Vec<Kept>,
    /// Sets the least time that nodes believe in, even back: for a mesh whose clock was
    /// driven ahead. Seconds since 1970.
    pub time_reset_s: Option<u64>,
    /// From when until when it is fresh.
    pub validity: Validity,
    /// The least privacy that any telemetry task of this mesh must give.
    pub privacy: PrivacyFloors,
}

/// Keys that together may sign some kinds of record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// For people.
    pub name: Name,
    /// Its keys, sorted.
    pub keys: Vec<PublicKey>,
    /// How many of them it takes.
    pub threshold: u16,
    /// Kinds of record by number, sorted; numbers that a node does not know yet are allowed.
    pub kinds: Vec<u8>,
    /// For which channels.
    pub channels: Scope,
    /// For which sites.
    pub sites: Scope,
}

/// Where a role's signature counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Everywhere.
    All,
    /// Only here: at least one, sorted.
    Only(Vec<Name>),
}

/// A channel begins anew: heads of earlier epochs no longer count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// The channel.
    pub channel: Name,
    /// The new epoch, above every earlier one.
    pub epoch: u64,
    /// The last head that is still trusted, if any: what the new epoch begins with.
    pub base: Option<RecordId>,
}

/// A record that counts although its signer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Kept {
    /// Its kind.
    pub kind: u8,
    /// The record.
    pub id: RecordId,
}

/// When a root is fresh, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    /// When it was signed.
    pub from_s: u64,
    /// When it should have been renewed; `u64::MAX` for never.
    pub until_s: u64,
}

/// The least privacy of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivacyFloors {
    /// Contributors of an aggregate, at least.
    pub k: u32,
    /// Most that one site may contribute, in basis points of all contributors.
    pub k_site_bp: u16,
    /// Most privacy loss of one epoch, in thousandths.
    pub epsilon_milli: u32,
}

impl Root {
    /// The first root of a new mesh, with its mesh id filled in.
    ///
    /// Lists are sorted here; everything else is checked when it is admitted.
    pub fn genesis(
        mut keys: Vec<PublicKey>,
        threshold: u16,
        mut roles: Vec<Role>,
        validity: Validity,
        privacy: PrivacyFloors,
    ) -> Result<Self, Invalid> {
        keys.sort_unstable();
        roles.iter_mut().for_each(Role::sort);
        roles.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut root = Self {
            mesh_id: MeshId::ZERO,
            version: 1,
            prev: None,
            keys,
            threshold,
            roles,
            resets: Vec::new(),
            kept: Vec::new(),
            time_reset_s: None,
            validity,
            privacy,
        };
        root.mesh_id = crate::mesh_id_of(&root);
        root.check()?;
        Ok(root)
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        check_keys("root keys", &self.keys, self.threshold)?;
        match (self.version, self.prev) {
            (0, _) => return Err(Invalid::Contradiction("a root's version is 1 or more")),
            (1, Some(_)) => return Err(Invalid::Contradiction("the first root follows none")),
            (1, None) | (_, Some(_)) => {}
            (_, None) => return Err(Invalid::Contradiction("only the first root follows none")),
        }
        if self.version == 1 && !(self.resets.is_empty() && self.kept.is_empty()) {
            return Err(Invalid::Contradiction(
                "the first root has nothing to reset or keep",
            ));
        }
        check::length("roles", self.roles.len(), 0, MAX_ROLES)?;
        check::sorted("roles", self.roles.iter().map(|role| &role.name))?;
        self.roles.iter().try_for_each(Role::check)?;
        check::length("resets", self.resets.len(), 0, MAX_RESETS)?;
        check::sorted("resets", self.resets.iter().map(|reset| &reset.channel))?;
        for reset in &self.resets {
            // the first epoch of every channel is 0
            check::number("a reset's epoch", reset.epoch, 1, u64::MAX)?;
        }
        check::length("kept", self.kept.len(), 0, MAX_KEPT)?;
        check::sorted("kept", self.kept.iter())?;
        check::number(
            "until_s",
            self.validity.until_s,
            self.validity.from_s,
            u64::MAX,
        )?;
        check::number(
            "k_site_bp",
            u64::from(self.privacy.k_site_bp),
            0,
            u64::from(BASIS_POINTS),
        )
    }
}

impl Role {
    /// Brings its lists into the order they must have.
    pub fn sort(&mut self) {
        self.keys.sort_unstable();
        self.kinds.sort_unstable();
        for scope in [&mut self.channels, &mut self.sites] {
            if let Scope::Only(names) = scope {
                names.sort_unstable();
            }
        }
    }

    fn check(&self) -> Result<(), Invalid> {
        check_keys("a role's keys", &self.keys, self.threshold)?;
        check::length("a role's kinds", self.kinds.len(), 1, MAX_KINDS)?;
        check::sorted("a role's kinds", self.kinds.iter())?;
        if self.kinds.iter().any(|kind| *kind <= Kind::Root.number()) {
            return Err(Invalid::Contradiction(
                "no role may sign roots, and there is no kind 0",
            ));
        }
        self.channels.check("a role's channels")?;
        self.sites.check("a role's sites")
    }
}

impl Scope {
    /// Whether it covers this name.
    pub fn contains(&self, name: &Name) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.binary_search(name).is_ok(),
        }
    }

    /// Whether it covers all that the other covers.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Only(_), Self::All) => false,
            (Self::Only(_), Self::Only(names)) => names.iter().all(|name| self.contains(name)),
        }
    }

    pub(crate) fn check(&self, field: &'static str) -> Result<(), Invalid> {
        let Self::Only(names) = self else {
            return Ok(());
        };
        check::length(field, names.len(), 1, MAX_SCOPE_NAMES)?;
        check::sorted(field, names.iter())
    }
}

fn check_keys(field: &'static str, keys: &[PublicKey], threshold: u16) -> Result<(), Invalid> {
    check::length(field, keys.len(), 1, MAX_KEYS)?;
    check::sorted(field, keys.iter())?;
    check::number("a threshold", u64::from(threshold), 1, keys.len() as u64)
}
