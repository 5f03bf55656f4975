/// Why bytes are not a GGUF file that can be used.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// The file does not begin with `GGUF`.
    #[error("the file does not begin with the GGUF magic (it begins with {found:02x?})")]
    WrongMagic {
        /// Its first bytes.
        found: Vec<u8>,
    },
    /// A version that is not 2 or 3.
    #[error("GGUF version {0} is not supported (supported: 2 and 3, little-endian)")]
    UnsupportedVersion(u32),
    /// The header goes on where the file has ended.
    #[error("the file is truncated: {what} at byte {offset} needs {needed} bytes, {left} are left")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Where it begins.
        offset: usize,
        /// How long it says it is.
        needed: u64,
        /// What the file still has.
        left: usize,
    },
    /// A count above its limit.
    #[error("the header claims {count} {what}, the limit is {limit}")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// The claim.
        count: u64,
        /// The limit.
        limit: u64,
    },
    /// A string that is not UTF-8.
    #[error("{what} at byte {offset} is not UTF-8")]
    NotUtf8 {
        /// What was being read.
        what: &'static str,
        /// Where it begins.
        offset: usize,
    },
    /// A value of a type that does not exist.
    #[error("the key {key:?} has the unknown value type {value_type}")]
    UnknownValueType {
        /// The key.
        key: String,
        /// The type's number.
        value_type: u32,
    },
    /// An array of arrays: no key in use has one.
    #[error("the key {key:?} holds an array of arrays, which is not supported")]
    NestedArray {
        /// The key.
        key: String,
    },
    /// A key or tensor that stands there twice.
    #[error("{what} {name:?} stands in the header twice")]
    Duplicate {
        /// A key or a tensor.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A needed key is not there.
    #[error("the key {key:?} is missing")]
    MissingKey {
        /// The key.
        key: String,
    },
    /// A key's value has another type than its meaning asks for.
    #[error("the key {key:?} is not {expected}")]
    WrongKeyType {
        /// The key.
        key: String,
        /// What it should be.
        expected: &'static str,
    },
    /// `general.alignment` is not a power of two in its range.
    #[error("general.alignment is {alignment}, allowed is a power of two from 8 to {limit}")]
    BadAlignment {
        /// The claim.
        alignment: u64,
        /// The limit.
        limit: u64,
    },
    /// A dimension of 0, or a product that overflows.
    #[error("the tensor {name:?} has the impossible shape {shape:?}")]
    BadShape {
        /// The tensor.
        name: String,
        /// Its dimensions, as in the file.
        shape: Vec<u64>,
    },
    /// A quantization that weft cannot read.
    #[error(
        "the tensor {name:?} is stored as {tensor_type}, supported are F32, F16, BF16, Q8_0 and Q4_0"
    )]
    UnsupportedTensorType {
        /// The tensor.
        name: String,
        /// The type's name, or its number where it has none.
        tensor_type: String,
    },
    /// Rows that are not whole blocks.
    #[error("the tensor {name:?} has rows of {row} numbers, not whole blocks of {block}")]
    PartialBlock {
        /// The tensor.
        name: String,
        /// Numbers in a row.
        row: u64,
        /// Numbers in a block.
        block: usize,
    },
    /// A tensor that does not begin on the file's alignment.
    #[error(
        "the tensor {name:?} begins at offset {offset}, which is not a multiple of {alignment}"
    )]
    Unaligned {
        /// The tensor.
        name: String,
        /// Its offset in the data.
        offset: u64,
        /// The file's alignment.
        alignment: u64,
    },
    /// A tensor that goes beyond the end of the file.
    #[error(
        "the tensor {name:?} needs bytes {start} to {end}, the file has {file_bytes}: it is truncated or its header lies"
    )]
    OutsideFile {
        /// The tensor.
        name: String,
        /// Its first byte in the file.
        start: u64,
        /// Behind its last byte.
        end: u64,
        /// The file's length.
        file_bytes: usize,
    },
    /// Two tensors that share bytes.
    #[error("the tensors {first:?} and {second:?} overlap")]
    Overlap {
        /// The one that begins first.
        first: String,
        /// The one that begins inside it.
        second: String,
    },
}
