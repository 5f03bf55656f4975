use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::bounds::MAX_NAME_BYTES;

/// A short name of a channel, model, role or quantization: 1 to 64 of `a-z`,
/// `0-9`, `.`, `_`, `-`; neither `.` nor `..`, so that it may name a folder.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

/// Text that is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing, or too much.
    #[error("a name has 1 to {MAX_NAME_BYTES} characters, this one has {0}")]
    Length(usize),
    /// Something else than `a-z0-9._-`.
    #[error("a name is made of a-z, 0-9, '.', '_' and '-', this one has {0:?}")]
    Character(char),
    /// `.` or `..`.
    #[error("'.' and '..' are no names")]
    Dots,
}

impl Name {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn check(text: &str) -> Result<(), NameError> {
        if text.is_empty() || text.len() > MAX_NAME_BYTES {
            return Err(NameError::Length(text.chars().count()));
        }
        let allowed =
            |character: &char| matches!(character, 'a'..='z' | '0'..='9' | '.' | '_' | '-');
        if let Some(character) = text.chars().find(|character| !allowed(character)) {
            return Err(NameError::Character(character));
        }
        if text == "." || text == ".." {
            return Err(NameError::Dots);
        }
        Ok(())
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::check(text)?;
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Name({})", self.0)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_and_nothing_else() {
        for good in ["a", "stable", "q4_0", "tiny-llm.v2", "...", &"x".repeat(64)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for (bad, why) in [
            ("", NameError::Length(0)),
            (&*"x".repeat(65), NameError::Length(65)),
            ("Stable", NameError::Character('S')),
            ("a/b", NameError::Character('/')),
            ("a b", NameError::Character(' ')),
            ("é", NameError::Character('é')),
            (".", NameError::Dots),
            ("..", NameError::Dots),
        ] {
            assert_eq!(bad.parse::<Name>(), Err(why), "{bad}");
        }
    }
}
