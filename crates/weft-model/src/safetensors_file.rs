use std::ops::Range;

use safetensors::tensor::Metadata;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use crate::dtype::DType;

/// Headers of known models stay below 2 MiB; the format's own limit is 100 MB.
const MAX_HEADER_BYTES: u64 = 16 << 20;
const LENGTH_BYTES: usize = 8;

/// Why bytes are not a safetensors file that can be used.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SafetensorsError {
    /// Too short for the header's length.
    #[error("the file has {0} bytes, too short for a safetensors header")]
    TooShort(usize),
    /// A header above the limit.
    #[error("the header claims {claimed} bytes, the limit is {limit}")]
    HeaderTooLong {
        /// The claim.
        claimed: u64,
        /// The limit.
        limit: u64,
    },
    /// A header that goes beyond the end of the file.
    #[error("the header claims {claimed} bytes, the file has {left} behind its length field")]
    HeaderOutsideFile {
        /// The claim.
        claimed: u64,
        /// What there is.
        left: usize,
    },
    /// A header that is not what the format asks for.
    #[error("the header is not valid: {0}")]
    BadHeader(String),
    /// The tensors end before or behind the end of the file.
    #[error(
        "the header describes {claimed} bytes of tensors, the file has {found}: it is truncated or its header lies"
    )]
    WrongLength {
        /// What the header describes.
        claimed: usize,
        /// What there is.
        found: usize,
    },
    /// Numbers of a type that weft cannot read.
    #[error("the tensor {name:?} is stored as {dtype}, supported are F32, F16 and BF16")]
    UnsupportedDtype {
        /// The tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
}

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry<T> {
    pub(crate) name: String,
    pub(crate) dtype: T,
    pub(crate) shape: Vec<usize>,
    /// Its bytes in the file.
    pub(crate) range: Range<usize>,
}

/// Where each tensor is, whatever its type, in the file's order; the header's lengths are held
/// against the file first.
pub(crate) fn all_entries(file: &[u8]) -> Result<Vec<Entry<Dtype>>, SafetensorsError> {
    let Some((length, rest)) = file.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(SafetensorsError::TooShort(file.len()));
    };
    let claimed = u64::from_le_bytes(*length);
    if claimed > rest.len() as u64 {
        return Err(SafetensorsError::HeaderOutsideFile {
            claimed,
            left: rest.len(),
        });
    }
    if claimed > MAX_HEADER_BYTES {
        return Err(SafetensorsError::HeaderTooLong {
            claimed,
            limit: MAX_HEADER_BYTES,
        });
    }
    let header_bytes = claimed as usize;
    let data_start = LENGTH_BYTES + header_bytes;
    let (_, metadata) = SafeTensors::read_metadata(file).map_err(|error| {
        if matches!(error, SafeTensorError::MetadataIncompleteBuffer)
            && let Ok(metadata) = serde_json::from_slice::<Metadata>(&rest[..header_bytes])
        {
            return SafetensorsError::WrongLength {
                claimed: metadata.data_len(),
                found: file.len() - data_start,
            };
        }
        SafetensorsError::BadHeader(error.to_string())
    })?;
    let mut entries: Vec<Entry<Dtype>> = metadata
        .tensors()
        .into_iter()
        .map(|(name, info)| Entry {
            name,
            dtype: info.dtype,
            shape: info.shape.clone(),
            range: data_start + info.data_offsets.0..data_start + info.data_offsets.1,
        })
        .collect();
    entries.sort_by(|a, b| (a.range.start, &a.name).cmp(&(b.range.start, &b.name)));
    Ok(entries)
}

/// The tensors of a model's file: only types that weft reads.
pub(crate) fn entries(file: &[u8]) -> Result<Vec<Entry<DType>>, SafetensorsError> {
    let known = |entry: Entry<Dtype>| {
        let dtype = match entry.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            other => {
                return Err(SafetensorsError::UnsupportedDtype {
                    name: entry.name,
                    dtype: format!("{other:?}"),
                });
            }
        };
        Ok(Entry {
            name: entry.name,
            dtype,
            shape: entry.shape,
            range: entry.range,
        })
    };
    all_entries(file)?.into_iter().map(known).collect()
}
