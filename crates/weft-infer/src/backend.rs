//! What the tensors are computed with. The one file that names burn's ndarray backend, which is
//! deprecated in favour of flex.

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// What burn computes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Backend {
    /// burn's ndarray backend, on the CPU.
    #[default]
    Ndarray,
}

impl Backend {
    /// The name in options and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Backend::Ndarray => "ndarray",
        }
    }

    /// The device that tensors of this backend live on.
    pub fn device(self) -> Device {
        match self {
            #[allow(deprecated)]
            Backend::Ndarray => Device::ndarray(),
        }
    }
}

/// Runs `read` over the numbers of a tensor, row after row, without copying them. `None` where
/// they do not lie in memory like that: on another backend, under autodiff, in a view.
#[allow(deprecated)]
pub(crate) fn with_numbers<R>(tensor: Tensor<2>, read: impl FnOnce(&[f32]) -> R) -> Option<R> {
    use burn_ndarray::{NdArray, NdArrayTensor};

    match tensor.try_into_primitive::<NdArray>() {
        Ok(NdArrayTensor::F32(storage)) => storage.view().as_slice().map(read),
        _ => None,
    }
}
