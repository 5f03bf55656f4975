//! Two ways to share links must tell the same story: over many shapes of network, the
//! release reaches half of the nodes, and the last of them, at nearly the same time.

use weft_core::Limits;
use weft_sim::{
    Admin, NetworkModel, NodeSpec, Outage, Site, Timing, VirtualDisk, VirtualRelease, World,
};

use crate::harness::{SECOND_US, publish};

/// What may lie between the two, in thousandths.
const APART: u64 = 30;
/// Runs of each: what a single one draws by chance must not decide.
const SEEDS: std::ops::Range<u64> = 1..33;
const MB: u64 = 1_000_000;
const CHUNK_BYTES: u32 = 262_144;

/// A network, and what happens to it.
struct Net {
    /// Sites beside the first, which is a LAN without an uplink.
    sites: Vec<Site>,
    nodes: Vec<NodeSpec>,
    links: Vec<(usize, usize)>,
    chunks: u32,
    chunk_bytes: u32,
    fault: fn(&mut World),
}

/// A site by its uplink and downlink in kB/s, its distance and its losses.
fn site(up_kb: u64, down_kb: u64, wan_ms: u64, loss_ppm: u32) -> Site {
    Site {
        uplink_bytes_per_sec: up_kb * 1_000,
        downlink_bytes_per_sec: down_kb * 1_000,
        lan_round_trip_us: 1_000,
        wan_round_trip_us: wan_ms * 1_000,
        loss_ppm,
        ..Site::default()
    }
}

/// A node by its site and its NIC in kB/s; 0: no limit.
fn node(site: usize, up_kb: u64, down_kb: u64) -> NodeSpec {
    NodeSpec {
        site,
        uplink_bytes_per_sec: up_kb * 1_000,
        downlink_bytes_per_sec: down_kb * 1_000,
        ..NodeSpec::default()
    }
}

impl Net {
    fn lan(nodes: Vec<NodeSpec>, links: Vec<(usize, usize)>) -> Self {
        Self {
            sites: Vec::new(),
            nodes,
            links,
            chunks: 192,
            chunk_bytes: CHUNK_BYTES,
            fault: |_| {},
        }
    }

    /// Sites of so many nodes with a NIC of this many kB/s each; all of a site are linked,
    /// and the first two of a site with the first two of the sites that `tree` names.
    fn wan(sites: Vec<Site>, each: usize, nic_kb: u64, tree: &[(usize, usize)]) -> Self {
        let (mut nodes, mut links) = (Vec::new(), Vec::new());
        for place in 0..sites.len() {
            let first = nodes.len();
            nodes.extend((0..each).map(|_| node(place + 1, nic_kb, nic_kb)));
            links.extend(mesh(first, each));
        }
        for &(a, b) in tree {
            for pair in 0..each.min(2) {
                links.push((a * each + pair, b * each + pair));
            }
        }
        Self {
            sites,
            ..Self::lan(nodes, links)
        }
    }

    fn chunks(self, chunks: u32, chunk_bytes: u32) -> Self {
        Self {
            chunks,
            chunk_bytes,
            ..self
        }
    }

    /// When half of the nodes, and 99 in 100 of them, had the release active: the means
    /// over all seeds.
    fn completions(&self, model: NetworkModel, timing: Timing) -> (u64, u64) {
        let (mut half_us, mut last_us) = (0, 0);
        for seed in SEEDS {
            let mut times = self.run(seed, model, timing);
            times.sort_unstable();
            half_us += times[times.len() / 2];
            last_us += times[times.len() * 99 / 100];
        }
        let runs = SEEDS.end - SEEDS.start;
        (half_us / runs, last_us / runs)
    }

    fn run(&self, seed: u64, model: NetworkModel, timing: Timing) -> Vec<u64> {
        let mut admin = Admin::new(seed);
        let release = VirtualRelease::new("1.0.0", self.chunks, self.chunk_bytes, 0);
        let mut world = World::with_network(seed, admin.mesh_id(), model);
        world.set_timing(timing);
        for site in &self.sites {
            world.add_site(site.clone());
        }
        for (index, spec) in self.nodes.iter().enumerate() {
            let mut disk = VirtualDisk::default();
            if index == 0 {
                disk.preload(&release);
            }
            world.add_member(&mut admin, spec.clone(), disk);
        }
        for &(a, b) in &self.links {
            world.connect(a, b);
        }
        world.run(5 * SECOND_US, |_| false);
        let begun_us = world.now_us();
        publish(&mut world, &mut admin, &release);
        (self.fault)(&mut world);
        let all = world.node_count() as u64;
        let done = world.run(7_200 * SECOND_US, |world| {
            world.figures().activations >= all
        });
        assert!(done, "it never ends under {model:?}");
        (1..world.node_count())
            .map(|index| world.activated_us(index).unwrap() - begun_us)
            .collect()
    }

    fn agrees(&self) {
        let fluid = self.completions(NetworkModel::Fluid, Timing::Split);
        let quantum = self.completions(NetworkModel::Quantum, Timing::Split);
        near(("fluid", fluid), ("quantum", quantum));
    }

    /// What large fleets leave out changes little.
    fn agrees_when_fused(&self) {
        let split = self.completions(NetworkModel::Quantum, Timing::Split);
        let fused = self.completions(NetworkModel::Quantum, Timing::Fused);
        near(("split", split), ("fused", fused));
    }
}

fn near(one: (&str, (u64, u64)), other: (&str, (u64, u64))) {
    let ((name, times), (other_name, other_times)) = (one, other);
    for (what, us, other_us) in [
        ("half of the nodes", times.0, other_times.0),
        ("the last nodes", times.1, other_times.1),
    ] {
        let apart = us.abs_diff(other_us) * 1_000 / us;
        assert!(
            apart <= APART,
            "{what}: {us} us under {name}, {other_us} us under {other_name}: {apart} in 1000"
        );
    }
}

/// Links between all of so many nodes from `first` on.
fn mesh(first: usize, nodes: usize) -> Vec<(usize, usize)> {
    let all = first..first + nodes;
    all.clone()
        .flat_map(|a| all.clone().map(move |b| (a, b)))
        .filter(|(a, b)| a < b)
        .collect()
}

/// A ring with a chord from each node to the one `step` further.
fn ring(nodes: usize, step: usize) -> Vec<(usize, usize)> {
    let around = |step: usize| (0..nodes).map(move |index| (index, (index + step) % nodes));
    around(1).chain(around(step)).collect()
}

fn star(nodes: usize) -> Vec<(usize, usize)> {
    (1..nodes).map(|index| (0, index)).collect()
}

fn same(nodes: usize, up_kb: u64, down_kb: u64) -> Vec<NodeSpec> {
    (0..nodes).map(|_| node(0, up_kb, down_kb)).collect()
}

#[test]
fn one_pair() {
    Net::lan(same(2, 4_000, 0), star(2)).agrees();
}

#[test]
fn a_star_shares_the_uplink_of_its_middle() {
    Net::lan(same(9, 8_000, 0), star(9)).agrees();
}

#[test]
fn a_star_of_slow_receivers() {
    let mut nodes = same(9, 20_000, 0);
    for (index, spec) in nodes.iter_mut().enumerate().skip(1) {
        spec.downlink_bytes_per_sec = (1 + index as u64 % 4) * MB;
    }
    Net::lan(nodes, star(9)).agrees();
}

#[test]
fn a_chain() {
    let links = (1..8).map(|index| (index - 1, index)).collect();
    Net::lan(same(8, 6_000, 6_000), links).agrees();
}

#[test]
fn a_ring_with_chords() {
    Net::lan(same(16, 5_000, 5_000), ring(16, 5)).agrees();
}

#[test]
fn a_lan_where_all_are_linked() {
    Net::lan(same(10, 10_000, 10_000), mesh(0, 10)).agrees();
}

#[test]
fn a_lan_with_a_slow_publisher() {
    let mut nodes = same(12, 12_500, 12_500);
    nodes[0].uplink_bytes_per_sec = MB;
    Net::lan(nodes, ring(12, 3)).agrees();
}

#[test]
fn a_lan_of_unlike_nics() {
    let kinds = [1_000, 2_000, 5_000, 12_500];
    let nodes = (0..16).map(|index| node(0, kinds[index % 4], kinds[(index + 1) % 4]));
    Net::lan(nodes.collect(), ring(16, 3)).agrees();
}

#[test]
fn receivers_slower_than_senders() {
    Net::lan(same(12, 12_500, 3_000), ring(12, 4)).agrees();
}

#[test]
fn nodes_that_cap_what_they_fetch() {
    let mut nodes = same(10, 12_500, 12_500);
    for spec in nodes.iter_mut().skip(1).step_by(2) {
        spec.limits = Limits::fetching(2 * MB);
    }
    Net::lan(nodes, ring(10, 3)).agrees();
}

#[test]
fn large_chunks() {
    let net = Net::lan(same(10, 10_000, 10_000), ring(10, 3));
    net.chunks(128, 1_048_576).agrees();
}

#[test]
fn small_chunks() {
    let net = Net::lan(same(10, 2_000, 2_000), ring(10, 3));
    net.chunks(256, 65_536).agrees();
}

#[test]
fn two_sites_over_a_thin_uplink() {
    let sites = vec![site(2_000, 0, 20, 0), site(0, 0, 20, 0)];
    Net::wan(sites, 6, 12_500, &[(0, 1)]).agrees();
}

#[test]
fn two_sites_over_a_thin_downlink() {
    let sites = vec![site(0, 0, 20, 0), site(0, 1_500, 20, 0)];
    Net::wan(sites, 6, 12_500, &[(0, 1)]).agrees();
}

#[test]
fn a_hub_with_four_branches() {
    let mut sites = vec![site(6_000, 6_000, 10, 0)];
    sites.extend((0..4).map(|_| site(1_250, 2_500, 30, 0)));
    Net::wan(sites, 4, 12_500, &[(0, 1), (0, 2), (0, 3), (0, 4)]).agrees();
}

#[test]
fn a_tree_three_deep() {
    let sites = vec![
        site(5_000, 5_000, 10, 0),
        site(2_500, 2_500, 20, 0),
        site(2_500, 2_500, 20, 0),
        site(1_250, 1_250, 30, 0),
        site(1_250, 1_250, 30, 0),
        site(1_250, 1_250, 30, 0),
    ];
    let tree = [(0, 1), (0, 2), (1, 3), (1, 4), (2, 5)];
    Net::wan(sites, 3, 12_500, &tree).agrees();
}

#[test]
fn branches_of_unlike_uplinks() {
    let mut sites = vec![site(8_000, 8_000, 10, 0)];
    sites.extend([500, 1_000, 2_000, 4_000].map(|kb| site(kb, kb, 25, 0)));
    let net = Net::wan(sites, 3, 12_500, &[(0, 1), (0, 2), (0, 3), (0, 4), (1, 4)]);
    net.chunks(256, 65_536).agrees();
}

#[test]
fn sites_that_receive_faster_than_they_send() {
    let sites = (0..4).map(|_| site(1_000, 6_000, 20, 0)).collect();
    Net::wan(sites, 4, 12_500, &[(0, 1), (0, 2), (1, 3), (2, 3)]).agrees();
}

#[test]
fn a_link_that_loses_packets() {
    let sites = vec![site(0, 0, 20, 1_000), site(0, 0, 20, 0)];
    Net::wan(sites, 5, 12_500, &[(0, 1)]).agrees();
}

#[test]
fn far_sites_that_lose_many_packets() {
    let sites = (0..3).map(|_| site(4_000, 4_000, 60, 5_000)).collect();
    let net = Net::wan(sites, 4, 12_500, &[(0, 1), (1, 2), (0, 2)]);
    net.chunks(256, 65_536).agrees();
}

#[test]
fn far_sites_without_limits() {
    let sites = (0..3).map(|_| site(0, 0, 150, 0)).collect();
    Net::wan(sites, 4, 8_000, &[(0, 1), (1, 2)]).agrees();
}

#[test]
fn an_uplink_that_gets_slower_and_faster() {
    let sites = vec![site(4_000, 4_000, 20, 0), site(4_000, 4_000, 20, 0)];
    let mut net = Net::wan(sites, 5, 12_500, &[(0, 1)]);
    net.fault = |world| {
        world.run(5 * SECOND_US, |_| false);
        world.set_site(1, MB, MB);
        world.run(10 * SECOND_US, |_| false);
        world.set_site(1, 6 * MB, 6 * MB);
    };
    net.agrees();
}

#[test]
fn a_node_that_goes_down_and_comes_back() {
    let mut net = Net::lan(same(10, 4_000, 4_000), ring(10, 3));
    net.fault = |world| {
        world.run(5 * SECOND_US, |_| false);
        world.stop(3, Outage::Kill);
        world.run(10 * SECOND_US, |_| false);
        world.start(3);
    };
    net.agrees();
}

#[test]
fn a_partition_that_heals() {
    let mut net = Net::lan(same(10, 3_000, 3_000), ring(10, 3));
    net.fault = |world| {
        world.run(4 * SECOND_US, |_| false);
        world.partition(&[5, 6, 7, 8, 9]);
        world.run(12 * SECOND_US, |_| false);
        world.heal();
    };
    net.agrees();
}

#[test]
fn steps_of_a_chunk_taken_as_one_in_a_lan() {
    Net::lan(same(12, 12_500, 12_500), ring(12, 3)).agrees_when_fused();
    Net::lan(same(10, 10_000, 10_000), mesh(0, 10)).agrees_when_fused();
}

#[test]
fn steps_of_a_chunk_taken_as_one_over_sites() {
    let sites = vec![
        site(2_000, 2_000, 20, 0),
        site(1_000, 2_000, 40, 0),
        site(3_000, 1_500, 10, 0),
    ];
    Net::wan(sites, 5, 12_500, &[(0, 1), (1, 2), (0, 2)]).agrees_when_fused();
}
