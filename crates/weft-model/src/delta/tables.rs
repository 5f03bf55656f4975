//! The statistics of a piece: which of a few tables each context has, and the tables.
//!
//! ```text
//! tables: count (1 byte, 1 to 8); where it is above 1 the map, runs of (table << 4 | length − 1)
//!         until every context has one; then each table: symbols − 1 (1 byte) and for each of
//!         them its part of 4096 (LEB128), a 0 followed by how many more zeros there are
//! ```

use super::{
    rans::{self, MAX_TABLES, SCALE, SCALE_BITS, Slots},
    varint,
};

const SYMBOLS: usize = 256;
/// What a table is taken to cost beside its symbols, when merging is weighed.
const TABLE_BITS: f64 = 16.0;
/// What a symbol is taken to cost in a table.
const SYMBOL_BITS: f64 = 11.0;
const RUN: usize = 16;

/// A symbol with its context.
#[derive(Clone, Copy)]
pub(super) struct Symbol {
    pub(super) context: u8,
    pub(super) value: u8,
}

/// The tables of one group, on the encoder's side.
pub(super) struct Model {
    map: Vec<u8>,
    /// For each table and symbol: where its slots start, and how many it has.
    tables: Vec<Vec<(u32, u32)>>,
    frequencies: Vec<Vec<u16>>,
}

impl Model {
    /// Counts, and merges the contexts whose statistics are not worth a table each.
    pub(super) fn of(symbols: &[Symbol], contexts: usize) -> Self {
        let mut counts = vec![[0_u32; SYMBOLS]; contexts];
        for symbol in symbols {
            counts[usize::from(symbol.context)][usize::from(symbol.value)] += 1;
        }
        let mut clusters: Vec<Cluster> = counts
            .iter()
            .enumerate()
            .filter(|(_, counts)| counts.iter().any(|count| *count > 0))
            .map(|(context, counts)| Cluster::new(vec![context], counts.to_vec()))
            .collect();
        if clusters.is_empty() {
            clusters.push(Cluster::new(vec![0], one_symbol()));
        }
        merge(&mut clusters);
        let mut map = vec![None; contexts];
        for (table, cluster) in clusters.iter().enumerate() {
            for context in &cluster.contexts {
                map[*context] = Some(table as u8);
            }
        }
        // a context that does not occur goes with the one before it: runs get longer
        let mut before = 0;
        let map = map.into_iter().map(|table| {
            before = table.unwrap_or(before);
            before
        });
        let frequencies: Vec<Vec<u16>> = clusters
            .iter()
            .map(|cluster| normalize(&cluster.counts))
            .collect();
        Self {
            map: map.collect(),
            tables: frequencies.iter().map(|table| starts(table)).collect(),
            frequencies,
        }
    }

    /// Where the symbol's slots start, and how many it has.
    pub(super) fn slots(&self, symbol: Symbol) -> (u32, u32) {
        let table = self.map[usize::from(symbol.context)];
        self.tables[usize::from(table)][usize::from(symbol.value)]
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.tables.len() as u8);
        if self.tables.len() > 1 {
            for run in self.map.chunk_by(|a, b| a == b) {
                for part in run.chunks(RUN) {
                    out.push(part[0] << 4 | (part.len() - 1) as u8);
                }
            }
        }
        for table in &self.frequencies {
            let used = table.iter().rposition(|part| *part > 0).unwrap_or(0) + 1;
            out.push((used - 1) as u8);
            for run in table[..used].chunk_by(|a, b| *a == 0 && *b == 0) {
                varint::write(out, u64::from(run[0]));
                if run[0] == 0 {
                    varint::write(out, run.len() as u64 - 1);
                }
            }
        }
    }
}

/// The tables of one group, on the decoder's side; its room is used again for every piece.
pub(super) struct Lookup {
    map: Vec<u8>,
    pub(super) slots: Box<Slots>,
}

impl Lookup {
    pub(super) fn new() -> Self {
        let slots = vec![0; MAX_TABLES << SCALE_BITS].into_boxed_slice();
        let Ok(slots) = slots.try_into() else {
            unreachable!("as many as there are");
        };
        Self {
            map: Vec::new(),
            slots,
        }
    }

    /// At which slot the table of a context begins.
    #[inline]
    pub(super) fn table(&self, context: usize) -> u32 {
        u32::from(self.map[context]) << SCALE_BITS
    }

    /// Reads what [`Model::write`] wrote; `None` for anything else.
    pub(super) fn read(&mut self, input: &mut &[u8], contexts: usize) -> Option<()> {
        let count = usize::from(byte(input)?);
        if !(1..=MAX_TABLES).contains(&count) {
            return None;
        }
        self.map.clear();
        if count == 1 {
            self.map.resize(contexts, 0);
        }
        while self.map.len() < contexts {
            let run = byte(input)?;
            let (table, length) = (run >> 4, usize::from(run & 15) + 1);
            if usize::from(table) >= count || self.map.len() + length > contexts {
                return None;
            }
            self.map.resize(self.map.len() + length, table);
        }
        for slots in self.slots.chunks_exact_mut(SCALE as usize).take(count) {
            let used = usize::from(byte(input)?) + 1;
            let mut table = [0_u16; SYMBOLS];
            let (mut at, mut sum) = (0, 0);
            while at < used {
                let part = varint::read(input).ok()??;
                if part == 0 {
                    at += usize::try_from(varint::read(input).ok()??.checked_add(1)?).ok()?;
                    continue;
                }
                sum += part;
                if sum > u64::from(SCALE) {
                    return None;
                }
                table[at] = part as u16;
                at += 1;
            }
            if at != used || sum != u64::from(SCALE) {
                return None;
            }
            rans::fill(slots, &table);
        }
        Some(())
    }
}

fn byte(input: &mut &[u8]) -> Option<u8> {
    let (first, rest) = input.split_first()?;
    *input = rest;
    Some(*first)
}

struct Cluster {
    contexts: Vec<usize>,
    counts: Vec<u32>,
    bits: f64,
}

impl Cluster {
    fn new(contexts: Vec<usize>, counts: Vec<u32>) -> Self {
        let bits = bits(counts.iter().copied());
        Self {
            contexts,
            counts,
            bits,
        }
    }
}

/// Merges the two that lose least, until none is worth it and few enough are left.
fn merge(clusters: &mut Vec<Cluster>) {
    let loss = |a: &Cluster, b: &Cluster| {
        let together = a.counts.iter().zip(&b.counts).map(|(a, b)| a + b);
        bits(together) - a.bits - b.bits
    };
    let mut losses: Vec<Vec<f64>> = Vec::new();
    for (index, cluster) in clusters.iter().enumerate() {
        losses.push(clusters[..index].iter().map(|b| loss(cluster, b)).collect());
    }
    loop {
        let mut best = (f64::INFINITY, 0, 0);
        for (a, row) in losses.iter().enumerate() {
            for (b, loss) in row.iter().enumerate() {
                if *loss < best.0 {
                    best = (*loss, a, b);
                }
            }
        }
        let (least, a, b) = best;
        if least.is_infinite() || (least > 0.0 && clusters.len() <= MAX_TABLES) {
            return;
        }
        // a is behind b, so b stays where it is
        let gone = clusters.remove(a);
        losses.remove(a);
        for row in losses.iter_mut().skip(a) {
            row.remove(a);
        }
        let into = &mut clusters[b];
        into.contexts.extend(gone.contexts);
        for (sum, count) in into.counts.iter_mut().zip(&gone.counts) {
            *sum += count;
        }
        into.bits = bits(into.counts.iter().copied());
        for other in 0..clusters.len() {
            let (high, low) = (other.max(b), other.min(b));
            if high != low {
                losses[high][low] = loss(&clusters[high], &clusters[low]);
            }
        }
    }
}

/// What symbols of these counts cost with a table of their own.
fn bits(counts: impl Iterator<Item = u32>) -> f64 {
    let (mut total, mut sum, mut used) = (0_u64, 0.0, 0);
    for count in counts.filter(|count| *count > 0) {
        total += u64::from(count);
        sum += f64::from(count) * f64::from(count).log2();
        used += 1;
    }
    if total == 0 {
        return 0.0;
    }
    let total = total as f64;
    total * total.log2() - sum + TABLE_BITS + SYMBOL_BITS * f64::from(used)
}

fn one_symbol() -> Vec<u32> {
    let mut counts = vec![0; SYMBOLS];
    counts[0] = 1;
    counts
}

/// Parts of 4096, at least one for every symbol that occurs.
fn normalize(counts: &[u32]) -> Vec<u16> {
    let total: u64 = counts.iter().map(|count| u64::from(*count)).sum();
    let scaled = |count: u32| {
        let part = (u64::from(count) * u64::from(SCALE) + total / 2) / total;
        part.max(u64::from(count > 0)) as i64
    };
    let mut parts: Vec<i64> = counts.iter().map(|count| scaled(*count)).collect();
    let mut over: i64 = parts.iter().sum::<i64>() - i64::from(SCALE);
    // what rounding brought is taken where it costs least: from the largest
    while over != 0 {
        let Some(largest) = parts.iter_mut().max() else {
            break;
        };
        let step = if over > 0 {
            over.min(*largest / 2)
        } else {
            over
        };
        *largest -= step;
        over -= step;
    }
    parts.into_iter().map(|part| part as u16).collect()
}

fn starts(frequencies: &[u16]) -> Vec<(u32, u32)> {
    let mut at = 0;
    let all = frequencies.iter().map(|frequency| {
        let start = at;
        at += u32::from(*frequency);
        (start, u32::from(*frequency))
    });
    all.collect()
}
