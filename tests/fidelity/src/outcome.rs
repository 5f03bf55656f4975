//! What a run came to, on either side.

use std::time::Duration;

use crate::case::Case;

/// What passed a place's uplink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteBytes {
    /// To other places.
    pub up: u64,
    /// From other places.
    pub down: u64,
}

impl SiteBytes {
    /// What came to it since an earlier count.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            up: self.up - before.up,
            down: self.down - before.down,
        }
    }
}

/// One run of one case.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// How long after the publisher took the head the first other node began to fetch. A
    /// real publisher imports its release meanwhile, a virtual one has it.
    pub began: Duration,
    /// When each node held the last byte, from that beginning on; the publisher's is not
    /// among them.
    pub completed: Vec<Duration>,
    /// When each node had the release active.
    pub activated: Vec<Duration>,
    /// What passed each place's uplink until the last had everything.
    pub bytes: Vec<SiteBytes>,
    /// Chunk bytes that nodes of other places sent to each place.
    pub chunk_bytes: Vec<u64>,
    /// Chunk bytes that the publisher sent.
    pub publisher_chunk_bytes: u64,
    /// Where it came from.
    pub fetched: Fetched,
}

/// What each node sent to each other one, in chunk bytes: what a node counted before it was
/// killed counts too.
#[derive(Clone, Debug)]
pub(crate) struct Served(Vec<Vec<u64>>);

impl Served {
    pub(crate) fn new(nodes: usize) -> Self {
        Self(vec![vec![0; nodes]; nodes])
    }

    pub(crate) fn add(&mut self, from: usize, to: usize, bytes: u64) {
        self.0[from][to] += bytes;
    }

    pub(crate) fn since(&self, before: &Self) -> Self {
        let rows = self.0.iter().zip(&before.0);
        let row = |(after, before): (&Vec<u64>, &Vec<u64>)| {
            let cells = after.iter().zip(before);
            cells
                .map(|(after, before)| after.saturating_sub(*before))
                .collect()
        };
        Self(rows.map(row).collect())
    }

    pub(crate) fn by_publisher(&self) -> u64 {
        self.0[0].iter().sum()
    }

    /// Into each place, from others.
    pub(crate) fn over_uplinks(&self, case: &Case) -> Vec<u64> {
        let mut bytes = vec![0; case.places.len()];
        for (from, row) in self.0.iter().enumerate() {
            for (to, sent) in row.iter().enumerate() {
                let (to, from) = (case.place_of(to).0, case.place_of(from).0);
                if from != to {
                    bytes[to] += sent;
                }
            }
        }
        bytes
    }
}

/// Where what all nodes fetched came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Chunks from the publisher.
    pub from_publisher: u64,
    /// Chunks from others.
    pub from_others: u64,
    /// Bytes of chunks that came twice.
    pub bytes_duplicate: u64,
}

impl Outcome {
    /// When half of the nodes had everything.
    pub fn half(&self) -> Duration {
        middle(&self.completed)
    }

    /// When the last node had everything.
    pub fn last(&self) -> Duration {
        self.completed.iter().max().copied().unwrap_or_default()
    }
}

/// What several runs of one case came to: the middle of each figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// When half of the nodes had everything.
    pub half: Duration,
    /// When the last node had everything.
    pub last: Duration,
    /// What passed each place's uplink.
    pub bytes: Vec<SiteBytes>,
}

impl Summary {
    /// Of these runs.
    pub fn of(outcomes: &[Outcome]) -> Self {
        let all = |figure: &dyn Fn(&Outcome) -> Duration| -> Duration {
            middle(&outcomes.iter().map(figure).collect::<Vec<_>>())
        };
        let places = outcomes.first().map_or(0, |outcome| outcome.bytes.len());
        let bytes = |place: usize, figure: &dyn Fn(SiteBytes) -> u64| -> u64 {
            let of_place = outcomes
                .iter()
                .filter_map(|outcome| outcome.bytes.get(place));
            middle(&of_place.copied().map(figure).collect::<Vec<_>>())
        };
        Self {
            half: all(&Outcome::half),
            last: all(&Outcome::last),
            bytes: (0..places)
                .map(|place| SiteBytes {
                    up: bytes(place, &|bytes| bytes.up),
                    down: bytes(place, &|bytes| bytes.down),
                })
                .collect(),
        }
    }
}

/// The middle one; of two, the smaller.
fn middle<T: Copy + Ord + Default>(values: &[T]) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let place = sorted.len().saturating_sub(1) / 2;
    sorted.get(place).copied().unwrap_or_default()
}

impl Fetched {
    pub(crate) fn add(&mut self, is_publisher: bool, chunks: u64) {
        if is_publisher {
            self.from_publisher += chunks;
        } else {
            self.from_others += chunks;
        }
    }
}
