//! Public keys on the command line: the key itself, or a file that holds one.

use std::{path::Path, str::FromStr};

use weft_keys::PublicKey;
use weft_record::Name;

/// A public key, given as 64 digits or as a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Public(pub(crate) PublicKey);

impl FromStr for Public {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(key) => Ok(Self(key)),
            Err(_) if Path::new(text).exists() => weft_keys::load_public(Path::new(text))
                .map(Self)
                .map_err(|error| error.to_string()),
            Err(error) => Err(format!("{error}, or a file that holds one")),
        }
    }
}

/// `ROLE=KEY`: who gets which role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoleKey {
    pub(crate) role: Name,
    pub(crate) key: PublicKey,
}

impl FromStr for RoleKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (role, key) = text
            .split_once('=')
            .ok_or("write it like release=PUBLIC_KEY")?;
        Ok(Self {
            role: role.parse().map_err(|error| format!("`{role}`: {error}"))?,
            key: key.parse::<Public>()?.0,
        })
    }
}

/// `ROLE=NUMBER`: how many of a role's keys must sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoleNumber {
    pub(crate) role: Name,
    pub(crate) number: u16,
}

impl FromStr for RoleNumber {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (role, number) = text.split_once('=').ok_or("write it like release=2")?;
        Ok(Self {
            role: role.parse().map_err(|error| format!("`{role}`: {error}"))?,
            number: number
                .parse()
                .map_err(|error| format!("`{number}`: {error}"))?,
        })
    }
}
