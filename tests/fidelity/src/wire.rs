//! The middle of the network: takes the packets that places send, holds each for as long
//! as the way takes, loses some, and hands them to the place that they are for.
//!
//! The kernel's rate limits stand before and behind it; here nothing waits for room.

use std::{
    collections::VecDeque,
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tun_rs::SyncDevice;

/// Packets under way on one path: 100 Mbit/s for half a second, and more than that is a
/// fault of the test.
const PATH_PACKETS: usize = 1 << 16;
/// Longest packet: the devices' MTU.
const PACKET_BYTES: usize = 1500;
/// Packets taken from one place before others have their turn.
const TURN_PACKETS: usize = 64;
/// A wait ends after this at the latest, to look whether it is over.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// What a place's way to the middle is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) one_way: Duration,
    pub(crate) loss_ppm: u32,
}

/// Forwards until it goes.
pub(crate) struct Wire {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    /// By place: nothing passes.
    cut: Vec<AtomicBool>,
    /// Packets that found a full path: the test's own fault.
    overflowed: AtomicU64,
}

impl Wire {
    /// Packets for `10.77.P.*` go to place P.
    pub(crate) fn start(devices: Vec<SyncDevice>, ways: Vec<Way>, seed: u64) -> Result<Self> {
        for device in &devices {
            device.set_nonblocking(true)?;
        }
        let shared = Arc::new(Shared {
            cut: devices.iter().map(|_| AtomicBool::new(false)).collect(),
            ..Shared::default()
        });
        let paths = devices.len() * devices.len();
        let mut middle = Middle {
            shared: Arc::clone(&shared),
            paths: (0..paths).map(|_| VecDeque::new()).collect(),
            streams: (0..paths as u64)
                .map(|path| Stream::new(seed, path))
                .collect(),
            devices,
            ways,
        };
        let thread = std::thread::Builder::new()
            .name("wire".to_owned())
            .spawn(move || middle.run())
            .context("the middle of the network does not start")?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    pub(crate) fn cut(&self, place: usize, cut: bool) {
        self.shared.cut[place].store(cut, Ordering::SeqCst);
    }

    /// Packets that were lost for want of room.
    pub(crate) fn overflowed(&self) -> u64 {
        self.shared.overflowed.load(Ordering::SeqCst)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Middle {
    shared: Arc<Shared>,
    devices: Vec<SyncDevice>,
    ways: Vec<Way>,
    /// By sender and receiver: when each packet is due. In order, since a path's delay is
    /// always the same.
    paths: Vec<VecDeque<(Instant, Vec<u8>)>>,
    streams: Vec<Stream>,
}

impl Middle {
    fn run(&mut self) {
        while !self.shared.over.load(Ordering::SeqCst) {
            self.wait();
            let mut packet = [0; PACKET_BYTES];
            for from in 0..self.devices.len() {
                for _ in 0..TURN_PACKETS {
                    match self.devices[from].recv(&mut packet) {
                        Ok(length) => self.take(from, &packet[..length]),
                        Err(_) => break,
                    }
                }
            }
            self.hand_out();
        }
    }

    /// Until a packet comes in or is due.
    fn wait(&self) {
        let due = self.paths.iter().filter_map(|path| path.front());
        let due = due.map(|(due, _)| *due).min();
        let wait = due.map_or(LONGEST_WAIT, |due| {
            due.saturating_duration_since(Instant::now())
                .min(LONGEST_WAIT)
        });
        let Ok(timeout) = Timespec::try_from(wait) else {
            return;
        };
        let mut fds: Vec<PollFd<'_>> = self
            .devices
            .iter()
            .map(|device| PollFd::new(device, PollFlags::IN))
            .collect();
        // interrupted or not, the loop looks at everything again
        let _ = poll(&mut fds, Some(&timeout));
    }

    fn take(&mut self, from: usize, packet: &[u8]) {
        let Some(to) = place_of(packet).filter(|to| *to < self.devices.len()) else {
            return;
        };
        let cut = |place: usize| self.shared.cut[place].load(Ordering::SeqCst);
        if cut(from) || cut(to) {
            return;
        }
        let path = from * self.devices.len() + to;
        for place in [from, to] {
            if self.streams[path].below(1_000_000) < self.ways[place].loss_ppm {
                return;
            }
        }
        if self.paths[path].len() >= PATH_PACKETS {
            self.shared.overflowed.fetch_add(1, Ordering::SeqCst);
            return;
        }
        let due = Instant::now() + self.ways[from].one_way + self.ways[to].one_way;
        self.paths[path].push_back((due, packet.to_vec()));
    }

    fn hand_out(&mut self) {
        let now = Instant::now();
        let places = self.devices.len();
        for (index, path) in self.paths.iter_mut().enumerate() {
            while path.front().is_some_and(|(due, _)| *due <= now) {
                let Some((_, packet)) = path.pop_front() else {
                    break;
                };
                if let Err(error) = self.devices[index % places].send(&packet)
                    && error.kind() == ErrorKind::WouldBlock
                {
                    self.shared.overflowed.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    }
}

/// For whom an IPv4 packet is.
fn place_of(packet: &[u8]) -> Option<usize> {
    let version = packet.first()? >> 4;
    match packet.get(16..20)? {
        [10, 77, place, _] if version == 4 => Some(usize::from(*place)),
        _ => None,
    }
}

/// Numbers that are the same for the same seed and path.
struct Stream(u64);

impl Stream {
    fn new(seed: u64, path: u64) -> Self {
        Self(seed ^ path.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// splitmix64
    fn below(&mut self, limit: u64) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_goes_where_its_address_says() {
        let mut packet = [0; 40];
        packet[0] = 0x45;
        packet[16..20].copy_from_slice(&[10, 77, 2, 9]);
        assert_eq!(place_of(&packet), Some(2));
        packet[0] = 0x60;
        assert_eq!(place_of(&packet), None);
        assert_eq!(place_of(&packet[..18]), None);
    }

    #[test]
    fn one_in_a_hundred_is_lost_and_always_the_same_ones() {
        let drawn = |seed: u64| -> Vec<bool> {
            let mut stream = Stream::new(seed, 3);
            (0..100_000)
                .map(|_| stream.below(1_000_000) < 10_000)
                .collect()
        };
        let lost = drawn(1).iter().filter(|lost| **lost).count();
        assert!((900..1_100).contains(&lost), "{lost}");
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }
}
