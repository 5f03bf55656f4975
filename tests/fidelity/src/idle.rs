//! How much of this machine's time nobody used: where it is little, the machine was
//! measured and not the network.

use anyhow::{Context as _, Result};

/// Counters of all cores, in ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuTime {
    idle: u64,
    all: u64,
}

impl CpuTime {
    pub(crate) fn now() -> Result<Self> {
        let text = std::fs::read_to_string("/proc/stat")?;
        let line = text.lines().next().context("/proc/stat is empty")?;
        let fields = line.split_whitespace().skip(1);
        let ticks: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
        // user, nice, system, idle, waiting for the disk, ...
        let idle = ticks.iter().skip(3).take(2).sum();
        let all = ticks.iter().take(8).sum();
        Ok(Self { idle, all })
    }

    /// Part of the time since then in which nobody wanted a core.
    pub(crate) fn idle_since(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1);
        self.idle.saturating_sub(before.idle) as f64 / all as f64
    }
}
