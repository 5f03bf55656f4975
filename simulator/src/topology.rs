//! Where nodes are: sites with a LAN, each behind one uplink.

/// One place with a LAN behind one uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// For people.
    pub name: String,
    /// Bytes a second from the site to the others; 0: no limit.
    pub uplink_bytes_per_sec: u64,
    /// Bytes a second from the others to the site; 0: no limit.
    pub downlink_bytes_per_sec: u64,
    /// Between two nodes of the site, there and back.
    pub lan_round_trip_us: u64,
    /// Between the site and the middle of the network, there and back: two sites are as
    /// far apart as theirs together.
    pub wan_round_trip_us: u64,
    /// Packets lost on the way through the uplink or downlink, millionths.
    pub loss_ppm: u32,
}

impl Default for Site {
    /// A LAN with an uplink that limits nothing.
    fn default() -> Self {
        Self {
            name: "site".to_owned(),
            uplink_bytes_per_sec: 0,
            downlink_bytes_per_sec: 0,
            lan_round_trip_us: 4_000,
            wan_round_trip_us: 20_000,
            loss_ppm: 0,
        }
    }
}

/// Bytes over a site's uplink so far, data and control.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteTraffic {
    /// From the site to the others.
    pub up_bytes: u64,
    /// From the others to the site.
    pub down_bytes: u64,
}

/// How links are shared between those who send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetworkModel {
    /// Links serve whole chunks in turn: fast, for large fleets.
    #[default]
    Quantum,
    /// Every transfer has its exact fair share of every link at every moment: slow, to
    /// hold the other against.
    Fluid,
}

/// How finely the steps of a chunk are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// Hashing, writing and reading a chunk are events of their own, and anything may
    /// happen between them.
    #[default]
    Split,
    /// A chunk arrives when it is hashed and written: fewer events, for large fleets.
    Fused,
}
