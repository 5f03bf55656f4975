//! Scenarios: a fleet, what is published to it, and what goes wrong meanwhile.

mod check;
mod csv;
mod format;
mod mistake;
mod ready;
mod reference;
mod set;
mod units;

pub use check::{MOST_NODES, MOST_SITES};
pub use csv::from_csv;
pub use format::{
    Adversary, Assert, Bad, Churn, Class, Down, Hostile, Late, Mesh, Network, Outage, Partition,
    Release, Scenario, Site, Theft, Until,
};
pub use mistake::{Mistake, Source};
pub use ready::{READY, Ready, ready};
pub use reference::reference;
pub use set::{Setting, set};
pub use units::{Bytes, Clock, DAY_S, Hours, Rate, Share, Skew, Time, Times};

impl Scenario {
    /// Reads and checks a scenario.
    pub fn read(source: Source<'_>) -> Result<Self, Mistake> {
        let scenario: Self =
            toml::from_str(source.text).map_err(|error| source.unreadable(&error))?;
        check::check(&scenario, source)?;
        Ok(scenario)
    }
}
