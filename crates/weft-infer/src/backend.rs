//! What the tensors are computed with. The one file that may name burn's ndarray backend.

use burn::tensor::Device;
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
            // Deprecated in favour of flex, and required here: it stays until flex has taken over.
            #[allow(deprecated)]
            Backend::Ndarray => Device::ndarray(),
        }
    }
}
