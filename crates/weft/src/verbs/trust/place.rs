//! Where a channel goes back to: a head by its place or the first digits of its id.

use std::str::FromStr;

use weft_record::{Head, Name, RecordId, Trust, Verified};

use crate::failure::{Exit, Failure};

/// What a channel begins anew with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// Nothing.
    None,
    /// A head, by its place or the first digits of its id.
    Head(String),
}

impl FromStr for Base {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("name a head by its place or its id, or say `none`".to_owned()),
            "none" => Ok(Self::None),
            text => Ok(Self::Head(text.to_owned())),
        }
    }
}

/// `CHANNEL=HEAD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResetTo {
    pub(crate) channel: Name,
    pub(crate) base: Base,
}

impl FromStr for ResetTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (channel, base) = text
            .split_once('=')
            .ok_or("write it like stable=7 or stable=none")?;
        Ok(Self {
            channel: channel
                .parse()
                .map_err(|error| format!("`{channel}`: {error}"))?,
            base: base.parse()?,
        })
    }
}

impl Base {
    /// The head, which must be known and alone at its place.
    pub(crate) fn find(
        &self,
        trust: &Trust,
        channel: &Name,
    ) -> Result<Option<Verified<Head>>, Failure> {
        let Self::Head(text) = self else {
            return Ok(None);
        };
        let epoch = trust.epoch(channel);
        let heads = trust.heads(channel);
        let mut found: Vec<&Verified<Head>> = match text.parse::<u64>() {
            Ok(seq) => heads
                .iter()
                .filter(|head| head.epoch == epoch && head.seq == seq)
                .collect(),
            Err(_) => Vec::new(),
        };
        if found.is_empty() && text.len() >= 4 {
            let named = |head: &&Verified<Head>| head.id().to_string().starts_with(text.as_str());
            found = heads.iter().filter(named).collect();
        }
        match found.as_slice() {
            [head] => Ok(Some((*head).clone())),
            [] => Err(Failure::new(
                Exit::NotFound,
                format!("channel {channel} has no head `{text}`"),
                "it names no place since the channel's last reset and begins no head's id",
                "weft trust show",
            )),
            several => {
                let ids: Vec<RecordId> = several.iter().map(|head| head.id()).collect();
                let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                Err(Failure::new(
                    Exit::Refused,
                    format!("channel {channel} has several heads `{text}`"),
                    ids.join(", "),
                    "name one by the first digits of its id",
                ))
            }
        }
    }
}
