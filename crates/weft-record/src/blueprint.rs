use serde::{Deserialize, Serialize};

use crate::{
    Invalid, Label, Name, Scope,
    bounds::{BASIS_POINTS, MAX_LABELS, MAX_VARIANTS, MAX_WINDOWS, MINUTES_PER_DAY},
    check, label,
};

/// Settings for a class of nodes. Of two with one name the higher version counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blueprint {
    /// Its name.
    pub name: Name,
    /// How often it was changed.
    pub version: u64,
    /// For which nodes.
    pub selector: Selector,
    /// What they are told.
    pub settings: BlueprintSettings,
    /// When it was signed, in seconds since 1970; for people.
    pub issued_at_s: u64,
}

/// Which nodes are meant, by what their signed enrolment says: all of it must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    /// At these sites.
    pub sites: Scope,
    /// Of these classes of hardware.
    pub classes: Scope,
    /// With all of these labels, sorted.
    pub labels: Vec<Label>,
}

/// Settings; what is left out stays as the node has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlueprintSettings {
    /// The channel to follow.
    pub channel: Option<Name>,
    /// Quantizations, best first.
    pub variants: Vec<Name>,
    /// Most bytes fetched a second.
    pub cap_fetch_bytes_per_sec: Option<u64>,
    /// Most bytes served a second.
    pub cap_serve_bytes_per_sec: Option<u64>,
    /// Caps by the hour, sorted.
    pub timetable: Vec<Window>,
    /// Room for the cache of attention keys and values.
    pub cache_bytes: Option<u64>,
    /// How answers are sampled when a prompt does not say.
    pub sampling: Option<Sampling>,
}

/// A part of the week with a cap of its own, in the node's local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Window {
    /// Bit 0 is Monday.
    pub days: u8,
    /// First minute of the day.
    pub from_minute: u16,
    /// The minute after the last.
    pub until_minute: u16,
    /// Most bytes fetched a second in it; 0 for none at all.
    pub cap_fetch_bytes_per_sec: u64,
}

/// How answers are sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampling {
    /// Temperature in thousandths.
    pub temperature_milli: u32,
    /// Nucleus, in basis points.
    pub top_p_bp: u16,
    /// Most candidates; 0 for all.
    pub top_k: u32,
    /// Most tokens of an answer.
    pub max_tokens: u32,
}

impl Blueprint {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        self.selector.sites.check("a blueprint's sites")?;
        self.selector.classes.check("a blueprint's classes")?;
        label::check("a blueprint's labels", &self.selector.labels, MAX_LABELS)?;
        let settings = &self.settings;
        check::length("variants", settings.variants.len(), 0, MAX_VARIANTS)?;
        check::length("timetable", settings.timetable.len(), 0, MAX_WINDOWS)?;
        check::sorted("timetable", settings.timetable.iter())?;
        settings.timetable.iter().try_for_each(Window::check)?;
        let nucleus_bp = settings.sampling.map_or(1, |sampling| sampling.top_p_bp);
        check::number(
            "top_p_bp",
            u64::from(nucleus_bp),
            1,
            u64::from(BASIS_POINTS),
        )
    }
}

impl Window {
    fn check(&self) -> Result<(), Invalid> {
        let (from, until) = (u64::from(self.from_minute), u64::from(self.until_minute));
        check::number("a window's days", u64::from(self.days), 1, 0x7f)?;
        check::number("until_minute", until, from + 1, u64::from(MINUTES_PER_DAY))
    }
}
