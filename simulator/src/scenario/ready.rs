//! Scenarios that come with the program.

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

macro_rules! ready {
    ($($name:literal),* $(,)?) => {
        &[$(Ready {
            name: $name,
            text: include_str!(concat!("../../scenarios/", $name, ".toml")),
        }),*]
    };
}

/// All of them; each has a page in `docs/scenarios/`.
pub const READY: &[Ready] = ready![
    "clinic-chain",
    "clinic-nights",
    "courier",
    "factory-floor",
    "hostile-peers",
    "rural-network",
    "ship-window",
    "stolen-key",
];

/// The one of this name.
pub fn ready(name: &str) -> Option<Ready> {
    READY.iter().find(|ready| ready.name == name).copied()
}
