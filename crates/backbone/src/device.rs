//! Where embeddings are computed, and in what precision.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::BackboneError;

/// Most memory that the weights of all sessions of a model may take together.
const WEIGHTS_LIMIT: u64 = 4 << 30;

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

    /// How a run goes best on the device, where nobody says otherwise.
    pub(crate) fn policy(self) -> Policy {
        // On a CPU few at once, which a core's cache holds (`bench/RESULTS.md`, batches); a GPU wants many.
        match self {
            Self::Cpu => Policy { batch_size: 1, pads_batches: false, decodes_beside: false },
            Self::OpenVino => Policy { batch_size: 2, pads_batches: false, decodes_beside: false },
            Self::Cuda(_) => Policy { batch_size: 32, pads_batches: true, decodes_beside: true },
        }
    }

    /// Threads of each session: one, since runs are independent and threads in one wait for each other,
    /// unless the weights, which every session holds for itself, would take too much memory. A GPU has one
    /// session.
    pub(crate) fn threads_of_sessions(self, n_workers: usize, n_weight_bytes: u64) -> Vec<usize> {
        if let Self::Cuda(_) = self {
            return vec![1];
        }
        let n_workers = n_workers.max(1);
        let fit = usize::try_from(WEIGHTS_LIMIT / n_weight_bytes.max(1)).unwrap_or(usize::MAX);
        let n_sessions = fit.clamp(1, n_workers);
        (0..n_sessions).map(|it| (n_workers + it) / n_sessions).collect()
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

/// How a run goes best on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Inputs a session runs at once.
    pub(crate) batch_size: usize,
    /// Whether a batch that is not full is filled up.
    pub(crate) pads_batches: bool,
    /// Whether inputs are decoded by threads of their own, since the session leaves the cores alone.
    pub(crate) decodes_beside: bool,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_a_thread_unless_so_many_weights_do_not_fit() {
        let (mobilenet, vit_base, vit_giant) = (14 << 20, 343 << 20, 5 << 30);
        let cpu = |n_workers, n_bytes| Device::Cpu.threads_of_sessions(n_workers, n_bytes);
        assert_eq!(cpu(0, mobilenet), [1]);
        assert_eq!(cpu(1, vit_giant), [1]);
        assert_eq!(cpu(64, mobilenet), [1; 64]);
        assert_eq!(cpu(8, vit_base), [1; 8]);
        // Eleven fit, and no thread is idle.
        assert_eq!(cpu(64, vit_base), [5, 5, 6, 6, 6, 6, 6, 6, 6, 6, 6]);
        assert_eq!(Device::OpenVino.threads_of_sessions(2, mobilenet), [1, 1]);
        assert_eq!(Device::OpenVino.threads_of_sessions(64, vit_giant), [64]);
        assert_eq!(Device::Cuda(1).threads_of_sessions(64, mobilenet), [1]);
    }
}
