use std::{collections::BTreeMap, io::Write, ops::Range, path::Path};

use safetensors::Dtype;

use super::{COPY, DeltaError, Layout, MAGIC, RAW, piece, varint};
use crate::{
    DType,
    chunk::{self, ChunkError},
    gguf::{self, Header},
    map::MappedFile,
    safetensors_file,
};

/// Shorter runs of equal bytes cost as much to name as to send.
const MIN_COPY_BYTES: usize = 16;

/// Of what a delta consists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct DeltaSummary {
    /// The delta itself.
    pub delta_bytes: u64,
    /// The file that it makes.
    pub target_bytes: u64,
    /// Of it, what the base has as it is.
    pub same_bytes: u64,
    /// Of it, what is coded as a difference.
    pub coded_bytes: u64,
    /// Of it, what stands in the delta as it is.
    pub raw_bytes: u64,
}

/// Writes the target as its difference from the base. Both are mapped into memory.
pub fn encode_delta(
    base: &Path,
    target: &Path,
    out: &mut impl Write,
) -> Result<DeltaSummary, DeltaError> {
    let open = |path: &Path| {
        MappedFile::open(path).map_err(|source| DeltaError::Io {
            path: path.to_owned(),
            source,
        })
    };
    let (base_file, target_file) = (open(base)?, open(target)?);
    let base = File::read(base, base_file.bytes())?;
    let target = File::read(target, target_file.bytes())?;
    let mut writer = Writer::begin(out, &base, &target)?;
    for step in plan(&base, &target) {
        writer.step(&step)?;
    }
    Ok(writer.summary)
}

/// A file and where its tensors lie.
pub(super) struct File<'a> {
    pub(super) bytes: &'a [u8],
    /// In the order of the file.
    pub(super) tensors: Vec<Tensor>,
}

pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) layout: Layout,
    pub(super) range: Range<usize>,
}

impl<'a> File<'a> {
    fn read(path: &Path, bytes: &'a [u8]) -> Result<Self, ChunkError> {
        let mut tensors: Vec<Tensor> = if bytes.starts_with(&gguf::MAGIC) {
            let header = Header::parse(bytes).map_err(|source| ChunkError::Gguf {
                path: path.to_owned(),
                source,
            })?;
            let all = header.tensors.into_iter().map(|tensor| Tensor {
                name: tensor.name,
                layout: of_gguf(tensor.dtype),
                range: tensor.range,
            });
            all.collect()
        } else if chunk::is_safetensors(path) {
            let entries =
                safetensors_file::all_entries(bytes).map_err(|source| ChunkError::Safetensors {
                    path: path.to_owned(),
                    source,
                })?;
            let all = entries.into_iter().map(|entry| Tensor {
                name: entry.name,
                layout: of_safetensors(entry.dtype),
                range: entry.range,
            });
            all.collect()
        } else {
            Vec::new()
        };
        tensors.sort_by_key(|tensor| tensor.range.start);
        Ok(Self { bytes, tensors })
    }

    /// What lies before a tensor and behind the one before it, or behind the last.
    fn loose_before(&self, index: usize) -> Range<usize> {
        let start = index
            .checked_sub(1)
            .map_or(0, |before| self.tensors[before].range.end);
        let end = self
            .tensors
            .get(index)
            .map_or(self.bytes.len(), |tensor| tensor.range.start);
        start..end
    }
}

fn of_gguf(dtype: DType) -> Layout {
    match dtype {
        DType::F32 => Layout::F32,
        DType::F16 => Layout::F16,
        DType::BF16 => Layout::BF16,
        DType::Q8_0 => Layout::Q8_0,
        DType::Q4_0 => Layout::Q4_0,
    }
}

fn of_safetensors(dtype: Dtype) -> Layout {
    match dtype {
        Dtype::F32 => Layout::F32,
        Dtype::F16 => Layout::F16,
        Dtype::BF16 => Layout::BF16,
        _ => Layout::Bytes,
    }
}

/// How a stretch of the target is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    how: How,
    target: Range<usize>,
    /// Where it begins in the base; nothing for raw bytes.
    base: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Copy,
    Raw,
    Code(Layout),
}

/// Pairs tensors by name, and what lies between them by the tensor behind it.
fn plan(base: &File<'_>, target: &File<'_>) -> Vec<Step> {
    let names: BTreeMap<&str, usize> = base
        .tensors
        .iter()
        .enumerate()
        .map(|(index, tensor)| (tensor.name.as_str(), index))
        .collect();
    let mut steps = Steps {
        base: base.bytes,
        target: target.bytes,
        made: Vec::new(),
    };
    for (index, tensor) in target.tensors.iter().enumerate() {
        let pair = names.get(tensor.name.as_str()).copied();
        let beside = match pair {
            Some(pair) => base.loose_before(pair),
            // a new tensor at the front does not hide the header
            None if index == 0 => base.loose_before(0),
            None => 0..0,
        };
        steps.loose(target.loose_before(index), beside);
        let pair = pair
            .map(|pair| &base.tensors[pair])
            .filter(|pair| pair.layout == tensor.layout);
        steps.tensor(tensor, pair);
    }
    steps.loose(
        target.loose_before(target.tensors.len()),
        base.loose_before(base.tensors.len()),
    );
    steps.made
}

struct Steps<'a> {
    base: &'a [u8],
    target: &'a [u8],
    made: Vec<Step>,
}

impl Steps<'_> {
    fn tensor(&mut self, tensor: &Tensor, pair: Option<&Tensor>) {
        let range = tensor.range.clone();
        let Some(pair) = pair else {
            return self.add(How::Raw, range, 0);
        };
        // rows that were added stand at the end
        let unit = tensor.layout.unit_bytes();
        let common = range.len().min(pair.range.len()) / unit * unit;
        let (shared, rest) = (range.start..range.start + common, range.start + common);
        let from = pair.range.start;
        let same = self.target[shared.clone()] == self.base[from..from + common];
        let how = if same {
            How::Copy
        } else {
            How::Code(tensor.layout)
        };
        self.add(how, shared, from);
        self.add(How::Raw, rest..range.end, 0);
    }

    /// Headers and padding: of one length byte for byte, else by how they begin and end.
    fn loose(&mut self, range: Range<usize>, beside: Range<usize>) {
        let (new, old) = (&self.target[range.clone()], &self.base[beside.clone()]);
        if new == old {
            return self.add(How::Copy, range, beside.start);
        }
        if new.len() == old.len() {
            return self.add(How::Code(Layout::Bytes), range, beside.start);
        }
        let equal = |pairs: &mut dyn Iterator<Item = (&u8, &u8)>| {
            let count = pairs.take_while(|(a, b)| a == b).count();
            if count < MIN_COPY_BYTES { 0 } else { count }
        };
        let front = equal(&mut new.iter().zip(old));
        let back = equal(&mut new[front..].iter().rev().zip(old[front..].iter().rev()));
        let (middle, end) = (range.start + front, range.end - back);
        self.add(How::Copy, range.start..middle, beside.start);
        self.add(How::Raw, middle..end, 0);
        self.add(How::Copy, end..range.end, beside.end - back);
    }

    /// Adds a step, to the one before where the two go on without a gap.
    fn add(&mut self, how: How, target: Range<usize>, base: usize) {
        if target.is_empty() {
            return;
        }
        if let Some(last) = self.made.last_mut()
            && last.how == how
            && (how == How::Raw || last.base + last.target.len() == base)
        {
            last.target.end = target.end;
            return;
        }
        self.made.push(Step { how, target, base });
    }
}

struct Writer<'a, W> {
    out: &'a mut W,
    base: &'a [u8],
    target: &'a [u8],
    /// Where the bytes of the base that were used last end.
    used_to: usize,
    summary: DeltaSummary,
}

impl<'a, W: Write> Writer<'a, W> {
    fn begin(out: &'a mut W, base: &File<'a>, target: &File<'a>) -> Result<Self, DeltaError> {
        let mut writer = Self {
            out,
            base: base.bytes,
            target: target.bytes,
            used_to: 0,
            summary: DeltaSummary {
                target_bytes: target.bytes.len() as u64,
                ..DeltaSummary::default()
            },
        };
        writer.put(MAGIC)?;
        writer.put(&(base.bytes.len() as u64).to_le_bytes())?;
        writer.put(&(target.bytes.len() as u64).to_le_bytes())?;
        Ok(writer)
    }

    fn step(&mut self, step: &Step) -> Result<(), DeltaError> {
        match step.how {
            How::Copy => self.copy(step.target.len(), step.base),
            How::Raw => self.raw(step.target.clone()),
            How::Code(layout) => {
                let (mut at, mut base) = (step.target.start, step.base);
                while at < step.target.end {
                    let length = layout.piece_bytes().min(step.target.end - at);
                    self.coded(layout, at..at + length, base)?;
                    at += length;
                    base += length;
                }
                Ok(())
            }
        }
    }

    fn copy(&mut self, length: usize, base: usize) -> Result<(), DeltaError> {
        self.summary.same_bytes += length as u64;
        self.head(COPY, length, Some(base))
    }

    fn raw(&mut self, range: Range<usize>) -> Result<(), DeltaError> {
        self.summary.raw_bytes += range.len() as u64;
        self.head(RAW, range.len(), None)?;
        self.put(&self.target[range])
    }

    /// One piece: equal, coded or raw, whichever is least.
    fn coded(&mut self, layout: Layout, range: Range<usize>, at: usize) -> Result<(), DeltaError> {
        let length = range.len();
        let (base, target) = (&self.base[at..at + length], &self.target[range.clone()]);
        if base == target {
            return self.copy(length, at);
        }
        let payload = piece::encode(layout, base, target);
        if payload.len() >= length {
            return self.raw(range);
        }
        self.summary.coded_bytes += length as u64;
        self.head(layout.tag(), length, Some(at))?;
        let mut payload_length = Vec::new();
        varint::write(&mut payload_length, payload.len() as u64);
        self.put(&payload_length)?;
        self.put(&payload)
    }

    fn head(&mut self, tag: u8, length: usize, base: Option<usize>) -> Result<(), DeltaError> {
        let mut head = vec![tag];
        varint::write(&mut head, length as u64);
        if let Some(base) = base {
            let place = base as i64 - self.used_to as i64;
            varint::write(&mut head, varint::zigzag(place));
            self.used_to = base + length;
        }
        self.put(&head)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), DeltaError> {
        self.summary.delta_bytes += bytes.len() as u64;
        self.out.write_all(bytes).map_err(DeltaError::Write)
    }
}
