//! What a rehearsal found: the figures, as JSON, as one page, as a few lines.

mod chart;
mod comparison;
mod html;
mod page;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;

use chart::{Axis, Chart, Line};
pub use comparison::{ComparedFigure, Comparison, Sweep, SweepPoint, SweptFigure};
pub use html::escape;
pub use page::page;
pub use text::summary;

/// Version of the JSON.
pub const SCHEMA: u32 = 1;

/// Everything that was found. Times are virtual microseconds since the beginning, where
/// they are not said to be counted from a publication.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What was run.
    pub head: Head,
    /// The findings in a few sentences.
    pub answer: Vec<String>,
    /// How large the fleet was.
    pub fleet: FleetFigures,
    /// Each release, in order of the scenario.
    pub releases: Vec<ReleaseFigures>,
    /// How many nodes ran a release, over time.
    pub curves: Vec<Curve>,
    /// What links between sites carried.
    pub links: LinkFigures,
    /// Who was late, and why.
    pub stragglers: Stragglers,
    /// What was done to the fleet.
    pub happened: Vec<Happened>,
    /// What had to hold.
    pub asserts: Vec<AssertResult>,
    /// What it cost.
    pub cost: Cost,
}

/// What was run, and how to run it again.
#[derive(Clone, Debug, Serialize)]
pub struct Head {
    /// The scenario's headline.
    pub title: String,
    /// What one wanted to know.
    pub question: String,
    /// Name or path of the scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// Part of the fleet, millionths.
    pub scale_ppm: u32,
    /// The commit of the program.
    pub commit: String,
    /// `quantum` or `fluid`.
    pub network: String,
    /// Over every event in order: the same run has the same.
    pub trace_hash: String,
    /// The command that runs it again and compares that hash.
    pub replay: String,
    /// It was interrupted: figures end at `virtual_us`.
    pub partial: bool,
    /// How far virtual time came.
    pub virtual_us: u64,
    /// The scenario's time limit.
    pub limit_us: u64,
}

/// How large the fleet was.
#[derive(Clone, Debug, Serialize)]
pub struct FleetFigures {
    /// Places.
    pub sites: usize,
    /// Nodes.
    pub nodes: usize,
    /// Nodes that play by the rules: all figures are about these.
    pub honest: usize,
    /// Links between sites.
    pub wan_links: usize,
    /// Links within sites.
    pub lan_links: usize,
}

/// One release.
#[derive(Clone, Debug, Serialize)]
pub struct ReleaseFigures {
    /// Its version.
    pub version: String,
    /// When it was published; a thief's too.
    pub at_us: u64,
    /// A thief signed it.
    pub by_thief: bool,
    /// Its model misbehaves.
    pub bad: bool,
    /// Size of its file.
    pub bytes: u64,
    /// Of these, what the release before it did not hold.
    pub new_bytes: u64,
    /// Honest nodes that ran it at any time.
    pub ever_active: usize,
    /// Honest nodes that run it at the end.
    pub active: usize,
    /// Honest nodes that held all of it.
    pub complete: usize,
    /// When the last honest node stopped running it, if none does at the end.
    pub left_us: Option<u64>,
    /// All honest nodes, then each kind of site, then each class.
    pub groups: Vec<GroupFigures>,
}

/// How fast a group was, counted from the publication.
#[derive(Clone, Debug, Serialize)]
pub struct GroupFigures {
    /// `all`, `site` or `class`.
    pub by: &'static str,
    /// Which.
    pub name: String,
    /// When nodes held everything.
    pub complete: Quantiles,
    /// When nodes ran it.
    pub active: Quantiles,
}

/// Of a group: the time by which so many were there; `None` if so many never were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Quantiles {
    /// How many there are.
    pub count: usize,
    /// Of these, never there.
    pub never: usize,
    /// Half.
    pub p50_us: Option<u64>,
    /// 95 of a hundred.
    pub p95_us: Option<u64>,
    /// 99 of a hundred.
    pub p99_us: Option<u64>,
    /// All.
    pub max_us: Option<u64>,
}

/// Nodes that run a release, over time.
#[derive(Clone, Debug, Serialize)]
pub struct Curve {
    /// Which release.
    pub version: String,
    /// `all`, `site` or `class`.
    pub by: &'static str,
    /// Which.
    pub name: String,
    /// Honest nodes there.
    pub nodes: usize,
    /// Time and number; at most [`CURVE_POINTS`].
    pub points: Vec<(u64, usize)>,
}

/// Points of a curve at most: as many as a page can show.
pub const CURVE_POINTS: usize = 160;

/// What links between sites carried.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LinkFigures {
    /// What every site needs once: the new bytes of all that the admin published.
    pub one_copy_bytes: u64,
    /// Sites that need it over their link: all but the publisher's.
    pub sites: usize,
    /// Carried to sites, all together.
    pub down_bytes: u64,
    /// The least that could be: one copy a site.
    pub least_bytes: u64,
    /// Each kind of site.
    pub kinds: Vec<KindLinks>,
    /// The links that carried most, at most [`LISTED_LINKS`].
    pub heaviest: Vec<OneLink>,
    /// Sites by what came in: tenths of a copy, and how many.
    pub histogram: BTreeMap<u64, usize>,
}

/// Links listed one by one.
pub const LISTED_LINKS: usize = 40;

/// Links of one kind of site.
#[derive(Clone, Debug, Serialize)]
pub struct KindLinks {
    /// The kind.
    pub name: String,
    /// Its places.
    pub sites: usize,
    /// What came in: half, 95 of a hundred, the most.
    pub down_bytes: [u64; 3],
    /// What went out, likewise.
    pub up_bytes: [u64; 3],
}

/// One site's link.
#[derive(Clone, Debug, Serialize)]
pub struct OneLink {
    /// The site.
    pub site: String,
    /// What came in.
    pub down_bytes: u64,
    /// What went out.
    pub up_bytes: u64,
}

/// Who was late with the last good release.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stragglers {
    /// Which.
    pub version: String,
    /// Later than this after its publication: twice what half of the nodes needed.
    pub later_than_us: u64,
    /// Why, and how many.
    pub causes: BTreeMap<String, usize>,
    /// The latest, at most [`LISTED_STRAGGLERS`].
    pub listed: Vec<Straggler>,
}

/// Stragglers listed one by one.
pub const LISTED_STRAGGLERS: usize = 40;

/// One of them.
#[derive(Clone, Debug, Serialize)]
pub struct Straggler {
    /// Its number in the fleet.
    pub node: usize,
    /// Where it is.
    pub site: String,
    /// What it is.
    pub class: String,
    /// When it ran the release, from its publication; `None` for never.
    pub active_us: Option<u64>,
    /// The main cause.
    pub cause: String,
    /// How that is known.
    pub detail: String,
}

/// Something that was done to the fleet.
#[derive(Clone, Debug, Serialize)]
pub struct Happened {
    /// When it began.
    pub at_us: u64,
    /// When it ended.
    pub until_us: u64,
    /// `release`, `outage`, `partition`, `theft`, `rotation`.
    pub kind: &'static str,
    /// For people.
    pub text: String,
}

/// One assert.
#[derive(Clone, Debug, Serialize)]
pub struct AssertResult {
    /// As people say it.
    pub text: String,
    /// It holds.
    pub holds: bool,
    /// What was found.
    pub found: String,
}

/// What it cost.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Cost {
    /// Hours that honest nodes were on, thousandths.
    pub node_hours_milli: u64,
    /// Bytes over links between sites, counted where they leave.
    pub wan_bytes: u64,
    /// Bytes sent, within sites too.
    pub sent_bytes: u64,
    /// Of these, chunks and chunk maps; the rest is talk.
    pub data_bytes: u64,
    /// Messages sent.
    pub messages: u64,
    /// Chunk bytes that honest nodes fetched although they held them.
    pub duplicate_bytes: u64,
    /// Chunks thrown away since their digest was wrong.
    pub chunks_corrupt: u64,
    /// Chunks that nodes stored.
    pub chunks_stored: u64,
    /// Times that an honest node let a peer go.
    pub peers_let_go: u64,
    /// Of these, honest peers.
    pub honest_let_go: u64,
    /// Times that a node went down.
    pub nodes_fell: u64,
    /// Records that honest nodes refused.
    pub records_refused: u64,
    /// Times that an active release was withdrawn.
    pub withdrawn: u64,
    /// Times that a node went back to the release before.
    pub went_back: u64,
}

impl Quantiles {
    /// Of these times; `never` more did not come.
    pub fn of(mut times: Vec<u64>, never: usize) -> Self {
        times.sort_unstable();
        let count = times.len() + never;
        let at = |per_cent: usize| {
            let rank = (count * per_cent).div_ceil(100).max(1);
            times.get(rank - 1).copied()
        };
        Self {
            count,
            never,
            p50_us: at(50),
            p95_us: at(95),
            p99_us: at(99),
            max_us: at(100),
        }
    }
}

/// Half, 95 of a hundred, and the most.
pub(crate) fn spread(mut values: Vec<u64>) -> [u64; 3] {
    values.sort_unstable();
    [50, 95, 100].map(|per_cent| {
        let rank = (values.len() * per_cent).div_ceil(100).max(1);
        values.get(rank - 1).copied().unwrap_or(0)
    })
}

/// The commit that this program was built from; `+changes` if files of the core or of the
/// simulator had changed since.
pub const COMMIT: &str = env!("WEFT_SIM_COMMIT");

impl Report {
    /// As JSON, for programs.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Says what was run, and how to run it again.
    pub fn name(&mut self, scenario: &str, replay: &str) {
        scenario.clone_into(&mut self.head.scenario);
        self.head.replay = format!("{replay} --expect {}", self.head.trace_hash);
    }

    /// Whether every assert holds.
    pub fn holds(&self) -> bool {
        self.asserts.iter().all(|assert| assert.holds)
    }

    /// The last good release.
    pub fn main_release(&self) -> Option<&ReleaseFigures> {
        let good = |release: &&ReleaseFigures| !release.bad && !release.by_thief;
        self.releases.iter().rev().find(good)
    }

    /// Figures that runs can be compared by: name, unit, value (none if never reached).
    pub fn figures(&self) -> Vec<(&'static str, Unit, Option<u64>)> {
        let main = self.main_release();
        let all = main.and_then(|release| release.groups.first());
        let time = |pick: fn(&Quantiles) -> Option<u64>| all.and_then(|group| pick(&group.active));
        let coverage =
            main.map(|release| release.active as u64 * 1_000_000 / self.fleet.honest.max(1) as u64);
        let most_in = self.links.kinds.iter().map(|kind| kind.down_bytes[2]).max();
        vec![
            ("coverage at the end", Unit::Ppm, coverage),
            ("half run it after", Unit::Us, time(|times| times.p50_us)),
            ("95 % run it after", Unit::Us, time(|times| times.p95_us)),
            ("99 % run it after", Unit::Us, time(|times| times.p99_us)),
            ("all run it after", Unit::Us, time(|times| times.max_us)),
            (
                "bytes between sites",
                Unit::Bytes,
                Some(self.cost.wan_bytes),
            ),
            ("most bytes into a site", Unit::Bytes, most_in),
            ("bytes sent in all", Unit::Bytes, Some(self.cost.sent_bytes)),
            (
                "bytes fetched twice",
                Unit::Bytes,
                Some(self.cost.duplicate_bytes),
            ),
        ]
    }
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Microseconds.
    Us,
    /// Bytes.
    Bytes,
    /// Millionths.
    Ppm,
}

impl Unit {
    /// A value for people.
    pub fn told(self, value: u64) -> String {
        use crate::scenario::{Bytes, Share, Time};
        match self {
            Self::Us => Time { us: value }.to_string(),
            Self::Bytes => Bytes(value).to_string(),
            Self::Ppm => Share { ppm: value as u32 }.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_never_came_counts() {
        let times = Quantiles::of((1..=96).collect(), 4);
        assert_eq!((times.p50_us, times.p95_us), (Some(50), Some(95)));
        assert_eq!((times.p99_us, times.max_us), (None, None));
        assert_eq!(Quantiles::of(Vec::new(), 0).max_us, None);
        assert_eq!(spread(vec![3, 1, 2]), [2, 3, 3]);
    }
}
