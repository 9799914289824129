//! Where embeddings are computed, and in what precision.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::BackboneError;

/// Where a model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// ONNX Runtime's own CPU kernels.
    Cpu,
    /// OpenVINO on the CPU.
    OpenVino,
    /// An NVIDIA GPU, by index.
    Cuda(u32),
}

impl Device {
    /// The device without its index: `cpu`, `openvino`, `cuda`.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::OpenVino => "openvino",
            Self::Cuda(_) => "cuda",
        }
    }

    /// ONNX Runtime's name of the execution provider.
    #[must_use]
    pub fn execution_provider(self) -> &'static str {
        match self {
            Self::Cpu => "CPUExecutionProvider",
            Self::OpenVino => "OpenVINOExecutionProvider",
            Self::Cuda(_) => "CUDAExecutionProvider",
        }
    }

    /// Images a session runs at once where nobody says: on a CPU few, which a core's cache holds
    /// (`bench/RESULTS.md`, batches); a GPU wants many.
    #[must_use]
    pub fn batch_size(self) -> usize {
        match self {
            Self::Cpu => 1,
            Self::OpenVino => 2,
            Self::Cuda(_) => 32,
        }
    }

    /// Whether the device offers a precision.
    ///
    /// # Errors
    /// [`BackboneError::Precision`] when it does not.
    pub fn check(self, precision: Precision) -> Result<(), BackboneError> {
        let offered = self.precisions();
        if offered.contains(&precision) {
            return Ok(());
        }
        Err(BackboneError::Precision {
            precision: precision.to_string(),
            device: self.to_string(),
            offered: offered.iter().map(Precision::to_string).collect(),
        })
    }

    /// Precisions the device offers.
    #[must_use]
    pub fn precisions(self) -> &'static [Precision] {
        match self {
            Self::Cpu => &[Precision::F32, Precision::Int8],
            Self::OpenVino => &[Precision::F32, Precision::Bf16, Precision::Int8],
            Self::Cuda(_) => &[Precision::F32, Precision::F16],
        }
    }
}

/// `cpu`, `openvino`, `cuda` or `cuda:1`.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cuda(index) if *index > 0 => write!(f, "cuda:{index}"),
            device => f.write_str(device.kind()),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, index) = text.split_once(':').unwrap_or((text, "0"));
        match (kind, index.parse()) {
            ("cpu", Ok(0)) => Ok(Self::Cpu),
            ("openvino", Ok(0)) => Ok(Self::OpenVino),
            ("cuda", Ok(index)) => Ok(Self::Cuda(index)),
            _ => Err(format!("expected cpu, openvino, cuda or cuda:N, got `{text}`")),
        }
    }
}

/// Arithmetic of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats throughout.
    F32,
    /// 16-bit brain floats in the products.
    Bf16,
    /// Half floats throughout.
    F16,
    /// 8-bit integers: those of a quantised model.
    Int8,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        })
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "f16" => Ok(Self::F16),
            "int8" => Ok(Self::Int8),
            _ => Err(format!("expected f32, bf16, f16 or int8, got `{text}`")),
        }
    }
}
