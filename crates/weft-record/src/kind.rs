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
    /// What an admin says about a rollout.
    Control = 4,
    /// Settings for a class of nodes.
    Blueprint = 5,
    /// A sign of life.
    Beacon = 6,
    /// A node belongs to the mesh.
    Enroll = 7,
    /// All live enrolments in one hash.
    EnrollRoot = 8,
    /// A key or release no longer counts.
    Revoke = 9,
    /// What is counted, and by whom.
    Task = 10,
    /// An opened sum.
    Aggregate = 11,
}

impl Kind {
    /// All that are known here.
    pub const ALL: [Self; 11] = [
        Self::Root,
        Self::Release,
        Self::Head,
        Self::Control,
        Self::Blueprint,
        Self::Beacon,
        Self::Enroll,
        Self::EnrollRoot,
        Self::Revoke,
        Self::Task,
        Self::Aggregate,
    ];

    /// The kind of this number, if it is known.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Root),
            2 => Some(Self::Release),
            3 => Some(Self::Head),
            4 => Some(Self::Control),
            5 => Some(Self::Blueprint),
            6 => Some(Self::Beacon),
            7 => Some(Self::Enroll),
            8 => Some(Self::EnrollRoot),
            9 => Some(Self::Revoke),
            10 => Some(Self::Task),
            11 => Some(Self::Aggregate),
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
            Self::Control => "control",
            Self::Blueprint => "blueprint",
            Self::Beacon => "beacon",
            Self::Enroll => "enroll",
            Self::EnrollRoot => "enroll-root",
            Self::Revoke => "revoke",
            Self::Task => "task",
            Self::Aggregate => "aggregate",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}
