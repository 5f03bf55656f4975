//! What a site's link carries is bounded by what its nodes need: nobody fetches a chunk
//! again that it wrote, unless a power cut took it.

use super::Violation;
use crate::world::World;

/// Links carry at most this share more than the chunks that were written behind them, in
/// percent: control messages, and answers that came too late.
const SLACK_PERCENT: u64 = 60;
/// Control messages of a run that moves few chunks.
const SLACK_BYTES: u64 = 16 << 20;

/// Into each site came, about, what its nodes wrote.
pub fn uplinks(
    world: &World,
    sites: usize,
    site_of: impl Fn(usize) -> usize,
    chunk_bytes: u64,
) -> Vec<Violation> {
    let written = |site: usize| -> u64 {
        let nodes = (0..world.node_count()).filter(|index| site_of(*index) == site);
        let chunks: u64 = nodes.map(|index| world.peek(index).chunk_writes).sum();
        chunks * chunk_bytes
    };
    let over = (0..sites).filter_map(|site| {
        let most = written(site) * (100 + SLACK_PERCENT) / 100 + SLACK_BYTES;
        let came = world.site_traffic(site).down_bytes;
        (came > most).then(|| Violation {
            checker: "uplink",
            at_us: world.now_us(),
            text: format!("{came} bytes came into site {site}, whose nodes wrote at most {most}"),
        })
    });
    over.collect()
}
