//! How much a node in the background leaves to others: ten peers give to it or take from it,
//! while one plain TCP flow crosses the same uplink the same way.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    api,
    case::Case,
    cases::alone,
    goodput::goodput,
    interrupt,
    lab::{Lab, address},
    limits::Way,
    real::Fleet,
    release::PackedRelease,
};

/// Peers of the node.
const PEERS: usize = 10;
/// Speaks with the node over plain TCP, and is no member.
const BYSTANDER: usize = PEERS + 1;
/// Every uplink, each way.
const UPLINK_MEGABITS: u64 = 20;
/// For so long the node has the uplink for itself; the first part is not counted.
const ALONE: Duration = Duration::from_secs(8);
const FINDS_ITS_PACE: Duration = Duration::from_secs(4);
/// A background that was just ordered has found its pace by then.
const SETTLES: Duration = Duration::from_secs(3);
/// How often it is looked whether chunks pass.
const LOOK: Duration = Duration::from_millis(100);
/// Chunks pass by then.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a plain TCP flow and the node reached over one uplink, bytes a second.
#[derive(Clone, Copy, Debug)]
pub struct Shared {
    /// The flow, with nothing beside it.
    pub flow_alone: f64,
    /// The flow, beside the node in the background.
    pub flow_beside: f64,
    /// The flow, beside the node that does not give way.
    pub flow_beside_foreground: f64,
    /// All that passed the uplink while the node in the background had it for itself.
    pub node_alone: f64,
}

/// Measures it with this binary. The release must be larger than what passes meanwhile, some
/// 60 MB.
pub fn uplink_shared(way: Way, weft: &Path, release: &PackedRelease) -> Result<Shared> {
    interrupt::watch();
    let node = match way {
        Way::Fetch => PEERS,
        Way::Serve => 0,
    };
    let case = case(way);
    let folder = tempfile::tempdir()?;
    let lab = Lab::new(&case, 1)?;
    let mut fleet = Fleet::enroll(&case, &lab, weft, folder.path())?;
    fleet.prepare()?;
    if way == Way::Fetch {
        fleet.settle(release)?;
    }
    lab.limit(&case)?;
    let bench = Bench {
        way,
        lab: &lab,
        node,
    };
    let flow_alone = bench.flow()?;
    if way == Way::Fetch {
        fleet.node_mut(node).start(&lab)?;
        fleet.node_mut(node).status(&lab)?;
    }
    bench.order(&fleet, true)?;
    let _publishing = match way {
        Way::Fetch => None,
        Way::Serve => Some(fleet.publish(release)?),
    };
    let end = Instant::now() + PATIENCE;
    while bench.chunk_bytes(&fleet)? == 0 {
        ensure!(Instant::now() < end, "nothing moves");
        interrupt::sleep_until(Instant::now() + LOOK)?;
    }
    interrupt::sleep_until(Instant::now() + FINDS_ITS_PACE)?;
    let (began, before) = (Instant::now(), bench.uplink_bytes()?);
    interrupt::sleep_until(Instant::now() + ALONE.saturating_sub(FINDS_ITS_PACE))?;
    let passed = bench.uplink_bytes()? - before;
    let node_alone = passed as f64 / began.elapsed().as_secs_f64();
    let flow_beside = bench.flow()?;
    bench.order(&fleet, false)?;
    interrupt::sleep_until(Instant::now() + SETTLES)?;
    let inside = bench.chunk_bytes(&fleet)?;
    let flow_beside_foreground = bench.flow()?;
    ensure!(
        bench.chunk_bytes(&fleet)? > inside,
        "the release was through before the end"
    );
    Ok(Shared {
        flow_alone,
        flow_beside,
        flow_beside_foreground,
        node_alone,
    })
}

/// The bystander's node never runs; the one that fetches comes when the others have it all.
fn case(way: Way) -> Case {
    let case = alone(BYSTANDER + 1, UPLINK_MEGABITS);
    match way {
        Way::Fetch => Case {
            late: vec![PEERS, BYSTANDER],
            meet_all: vec![PEERS],
            ..case
        },
        Way::Serve => Case {
            late: vec![BYSTANDER],
            ..case
        },
    }
}

struct Bench<'a> {
    way: Way,
    lab: &'a Lab,
    node: usize,
}

impl Bench<'_> {
    /// What a plain TCP flow carries the same way.
    fn flow(&self) -> Result<f64> {
        let (from, to) = match self.way {
            Way::Fetch => (BYSTANDER, self.node),
            Way::Serve => (self.node, BYSTANDER),
        };
        goodput(self.lab, from, to, &address(to, 0))
    }

    fn order(&self, fleet: &Fleet<'_>, background: bool) -> Result<()> {
        let home = fleet.node(self.node).home();
        let limits = json!({ "background": background });
        api::post(self.lab.node(self.node), home, "/weft/v1/limit", &limits)?;
        Ok(())
    }

    fn uplink_bytes(&self) -> Result<u64> {
        let bytes = self.lab.bytes()?[self.node];
        Ok(match self.way {
            Way::Fetch => bytes.down,
            Way::Serve => bytes.up,
        })
    }

    fn chunk_bytes(&self, fleet: &Fleet<'_>) -> Result<u64> {
        let home = fleet.node(self.node).home();
        let status: Value = api::get(self.lab.node(self.node), home, "/weft/v1/status")?;
        let key = match self.way {
            Way::Fetch => "uplink_bytes_in",
            Way::Serve => "uplink_bytes_out",
        };
        status["traffic"][key].as_u64().context("no traffic told")
    }
}
