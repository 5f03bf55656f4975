/// What a record is. Further kinds follow; a node refuses and counts those it
/// does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Kind {
    /// Who may sign what.
    Root = 1,
    /// A model, by the hashes of its files.
    Release = 2,
    /// Which release a channel is at.
    Head = 3,
}

impl Kind {
    /// The kind of this number, if it is known.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Root),
            2 => Some(Self::Release),
            3 => Some(Self::Head),
            _ => None,
        }
    }

    /// Its number on the wire.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Its name, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Release => "release",
            Self::Head => "head",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}
