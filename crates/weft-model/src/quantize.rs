mod keys;

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use half::f16;
use serde::Serialize;

use crate::config::RopeScaling;
use crate::dtype::DType;
use crate::error::{OpenError, TensorError};
use crate::gguf::{self, TensorPlan, Writer};
use crate::quant;
use crate::source::{Container, ModelSource};
use crate::tensor::{TensorView, permute_rows};
use crate::tokenizer::TokenizerError;

/// Numbers that are converted at a time: memory stays small whatever the tensor.
const PIECE_ELEMENTS: usize = 1 << 20;

/// Models are no secret: whoever the umask lets may read them.
#[cfg(unix)]
const FILE_MODE: u32 = 0o644;

/// The format that a model's matrices are brought into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Quantization {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// Eight bits and a scale for each 32.
    Q8_0,
    /// Four bits and a scale for each 32.
    Q4_0,
}

impl Quantization {
    /// The format of the matrices.
    pub const fn dtype(self) -> DType {
        match self {
            Quantization::F32 => DType::F32,
            Quantization::F16 => DType::F16,
            Quantization::Q8_0 => DType::Q8_0,
            Quantization::Q4_0 => DType::Q4_0,
        }
    }

    /// GGUF's `general.file_type`.
    const fn file_type(self) -> u32 {
        match self {
            Quantization::F32 => 0,
            Quantization::F16 => 1,
            Quantization::Q4_0 => 2,
            Quantization::Q8_0 => 7,
        }
    }
}

impl fmt::Display for Quantization {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.dtype().fmt(out)
    }
}

/// A name that is no quantization.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no quantization (known: f32, f16, q8_0, q4_0)")]
pub struct UnknownQuantization(String);

impl FromStr for Quantization {
    type Err = UnknownQuantization;

    fn from_str(name: &str) -> Result<Quantization, UnknownQuantization> {
        match name.to_ascii_lowercase().as_str() {
            "f32" => Ok(Quantization::F32),
            "f16" => Ok(Quantization::F16),
            "q8_0" => Ok(Quantization::Q8_0),
            "q4_0" => Ok(Quantization::Q4_0),
            _ => Err(UnknownQuantization(name.to_owned())),
        }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuantizeSummary {
    /// The format of the matrices.
    pub quantization: Quantization,
    /// Number of tensors.
    pub tensors: usize,
    /// Number of weights.
    pub parameters: u64,
    /// Bytes of the weights that were read.
    pub source_bytes: u64,
    /// Bytes of the file that was written.
    pub bytes: u64,
    /// BLAKE3 of that file, in hex.
    pub blake3: String,
}

/// Why a model could not be quantized. Nothing is left behind, and a file that stood at the
/// target is unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// The model's files could not be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A tensor is not there.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// The tokenizer cannot be written.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A weight that is infinite, not a number, or too large for the format.
    #[error("the tensor {name:?} holds {value}, which {dtype} cannot store")]
    Unrepresentable {
        /// The tensor.
        name: String,
        /// The weight.
        value: f32,
        /// The format.
        dtype: DType,
    },
    /// The file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The target.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes a model as one GGUF file with its matrices in the given format.
///
/// The same model gives the same bytes. Norms and biases stay F32; a matrix whose rows are no
/// whole blocks becomes F16. They stand last, so that the large tensors that two versions share
/// are cut into the same chunks. The file appears whole under its name or not at all.
pub fn quantize(
    source: &ModelSource,
    to: Quantization,
    out: &Path,
) -> Result<QuantizeSummary, QuantizeError> {
    let keys = match source.container() {
        Container::Directory => keys::keys_of_directory(source, to)?,
        Container::Gguf(header) => keys::keys_of_gguf(header, source.file_bytes(0), to),
    };
    let plans = plan(source, to)?;
    let tensors: Vec<TensorPlan> = plans.iter().map(|plan| plan.tensor.clone()).collect();
    let failed = |error: io::Error| QuantizeError::Write {
        path: out.to_owned(),
        source: error,
    };

    let folder = match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".weft-quantize-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(FILE_MODE));
    let file = builder.tempfile_in(folder).map_err(failed)?;
    let hashed = Hashed {
        out: BufWriter::with_capacity(1 << 20, file),
        hasher: blake3::Hasher::new(),
    };
    let mut writer = Writer::begin(hashed, &keys, &tensors).map_err(failed)?;
    let mut source_bytes = 0;
    let mut parameters = 0;
    for plan in &plans {
        match &plan.content {
            Content::Factors(factors) => {
                let bytes: Vec<u8> = factors
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect();
                writer.piece(&bytes).map_err(failed)?;
            }
            Content::Weights(name) => {
                let view = source.tensor(name)?;
                source_bytes += view.bytes.len() as u64;
                parameters += view.elements() as u64;
                convert(source, view, plan.tensor.dtype, |piece| {
                    writer.piece(piece).map_err(failed)
                })?;
            }
        }
        writer.end_tensor().map_err(failed)?;
    }
    let (bytes, hashed) = writer.finish().map_err(failed)?;
    let file = hashed
        .out
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(out).map_err(|error| failed(error.error))?;
    Ok(QuantizeSummary {
        quantization: to,
        tensors: plans.len(),
        parameters,
        source_bytes,
        bytes,
        blake3: hashed.hasher.finalize().to_hex().to_string(),
    })
}

/// One tensor of the new file and where its numbers come from.
struct Plan {
    tensor: TensorPlan,
    content: Content,
}

enum Content {
    /// A Hugging Face name of the source.
    Weights(String),
    /// The divisors of the rotary frequencies.
    Factors(Vec<f32>),
}

fn plan(source: &ModelSource, to: Quantization) -> Result<Vec<Plan>, QuantizeError> {
    let mut matrices = Vec::new();
    let mut vectors = Vec::new();
    for name in source.tensor_names() {
        let view = source.tensor(name)?;
        let row = view.row_elements();
        let rows = view.elements() / row.max(1);
        let vector = view.shape.len() < 2;
        let dtype = match to.dtype() {
            _ if vector => DType::F32,
            dtype if dtype.row_bytes(row).is_some() => dtype,
            _ => DType::F16,
        };
        let plan = Plan {
            tensor: TensorPlan {
                name: gguf::gguf_name(name).ok_or_else(|| TensorError::Missing(name.to_owned()))?,
                dtype,
                shape: view.shape.clone(),
                bytes: (rows * dtype.row_bytes(row).unwrap_or(0)) as u64,
            },
            content: Content::Weights(name.to_owned()),
        };
        if vector { &mut vectors } else { &mut matrices }.push(plan);
    }
    let config = source.config();
    let factors = match config.rope_scaling {
        // Has a key of its own.
        Some(RopeScaling::Linear { .. }) | None => None,
        Some(_) => config.rope_factors(),
    };
    if let Some(factors) = factors {
        vectors.push(Plan {
            tensor: TensorPlan {
                name: gguf::ROPE_FACTORS.to_owned(),
                dtype: DType::F32,
                shape: vec![factors.len()],
                bytes: (factors.len() * 4) as u64,
            },
            content: Content::Factors(factors),
        });
    }
    matrices.append(&mut vectors);
    Ok(matrices)
}

/// Hands out a tensor's bytes in the new format, piece by piece, rows in GGUF's order.
fn convert(
    source: &ModelSource,
    view: TensorView<'_>,
    to: DType,
    mut write: impl FnMut(&[u8]) -> Result<(), QuantizeError>,
) -> Result<(), QuantizeError> {
    let permuted;
    let bytes: &[u8] = match source.permuted_heads(&view.name) {
        Some(heads) => {
            let head_dim = source.config().head_dim;
            let row_bytes = view.bytes.len() / (heads * head_dim);
            permuted = permute_rows(&view.bytes, heads, head_dim, row_bytes, false);
            &permuted
        }
        None => &view.bytes,
    };
    if view.dtype == to && !matches!(to, DType::F32 | DType::F16) {
        return write(bytes);
    }
    // A multiple of every block.
    let piece_bytes = PIECE_ELEMENTS / view.dtype.block_elements() * view.dtype.block_bytes();
    for piece in bytes.chunks(piece_bytes) {
        let values = view.dtype.to_f32(piece);
        let largest = if to == DType::F32 {
            f32::MAX
        } else {
            f16::MAX.to_f32()
        };
        let unfit = |value: &&f32| value.is_nan() || value.abs() > largest;
        if let Some(&value) = values.iter().find(unfit) {
            return Err(QuantizeError::Unrepresentable {
                name: view.name.clone(),
                value,
                dtype: to,
            });
        }
        write(&encode(&values, to))?;
    }
    Ok(())
}

fn encode(values: &[f32], to: DType) -> Vec<u8> {
    match to {
        DType::F32 => values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
        DType::F16 => values
            .iter()
            .flat_map(|value| f16::from_f32(*value).to_le_bytes())
            .collect(),
        DType::BF16 => values
            .iter()
            .flat_map(|value| half::bf16::from_f32(*value).to_le_bytes())
            .collect(),
        DType::Q8_0 => quant::quantize_q8_0(values),
        DType::Q4_0 => quant::quantize_q4_0(values),
    }
}

/// Hashes what passes.
struct Hashed<W> {
    out: W,
    hasher: blake3::Hasher,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;
