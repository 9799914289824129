//! How a session is set up: threads, device, what the runtime must not do by itself.

use std::path::Path;

use ort::environment::Environment;
use ort::ep::{self, ArbitrarilyConfigurableExecutionProvider, ExecutionProvider, ExecutionProviderDispatch};
use ort::session::builder::{AutoDevicePolicy, GraphOptimizationLevel, SessionBuilder};

use super::library::{has_cuda_driver, load_cuda_libraries};
use super::{Runtime, SessionConfig};
use crate::device::{Device, Precision};
use crate::error::BackboneError;

/// A session of a device with `intra_threads`, 0 leaving that to the runtime; nothing falls back.
pub(super) fn session_builder(
    runtime: &Runtime,
    config: &SessionConfig,
    has_integers: bool,
    intra_threads: usize,
) -> Result<SessionBuilder, BackboneError> {
    let builder = configured(&runtime.environment, has_integers, intra_threads)
        .map_err(|err| BackboneError::Session { action: "configure a session", source: Box::new(err) })?;
    let Some(provider) = execution_provider(config, intra_threads)? else { return Ok(builder) };
    if let Device::Cuda(_) = config.device {
        load_cuda_libraries(runtime);
    }
    with_provider(builder, &provider).map_err(|err| BackboneError::Device {
        device: config.device.to_string(),
        reason: missing(config.device).to_owned(),
        source: Some(Box::new(err)),
    })
}

/// What may be missing where a provider does not load.
fn missing(device: Device) -> &'static str {
    match device {
        Device::Cuda(_) if !has_cuda_driver() => {
            "there is no NVIDIA driver, or it does not answer (version 525 or newer is needed)"
        }
        Device::Cuda(_) => {
            "its provider does not load: CUDA 12 or cuDNN 9 is missing, or there is no such GPU"
        }
        _ => "its provider does not load: it or its libraries do not lie beside ONNX Runtime's",
    }
}

fn configured(
    environment: &Environment,
    has_integers: bool,
    intra_threads: usize,
) -> ort::Result<SessionBuilder> {
    // Without VNNI, x86 sums 8-bit products in 16 bits that overflow, unless it is told to be exact. Where only weights
    // are of 8 bits there is none, and being told breaks those without a zero point (ONNX Runtime 1.31.1).
    let is_exact = has_integers && !has_vnni();
    Ok(SessionBuilder::new(environment)?
        // `ort` asks for "max efficiency", which may pick an NPU or CoreML unasked.
        .with_auto_device(AutoDevicePolicy::PreferCPU)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(intra_threads)?
        // Waiting threads that spin take the cores from those that decode.
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_config_entry("session.x64quantprecision", if is_exact { "1" } else { "0" })?)
}

fn has_vnni() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512vnni")
        || std::arch::is_x86_feature_detected!("avxvnni");
    #[cfg(not(target_arch = "x86_64"))]
    true
}

fn has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

fn with_provider(
    builder: SessionBuilder,
    provider: &ExecutionProviderDispatch,
) -> ort::Result<SessionBuilder> {
    Ok(builder.with_execution_providers([provider.clone()])?.with_disable_cpu_fallback()?)
}

pub(super) fn with_external_data(builder: SessionBuilder, folder: &Path) -> ort::Result<SessionBuilder> {
    const KEY: &str = "session.model_external_initializers_file_folder_path";
    Ok(builder.with_config_entry(KEY, folder.to_string_lossy())?)
}

fn execution_provider(
    config: &SessionConfig,
    intra_threads: usize,
) -> Result<Option<ExecutionProviderDispatch>, BackboneError> {
    let not_compiled = |name: &str| BackboneError::Device {
        device: config.device.to_string(),
        reason: format!("this ONNX Runtime has no {name}"),
        source: None,
    };
    config.device.check(config.precision)?;
    Ok(match config.device {
        Device::Cpu => None,
        Device::OpenVino => {
            if !matches!(ep::OpenVINO::is_available(), Ok(true)) {
                return Err(not_compiled(ep::OpenVINO::NAME));
            }
            if config.precision == Precision::Bf16 && !has_bf16() {
                return Err(BackboneError::NoBf16);
            }
            let hint = if config.precision == Precision::Bf16 { "bf16" } else { "f32" };
            // Pinned threads of several sessions would all have the same cores.
            let mut cpu = serde_json::json!({
                "INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": "NO"
            });
            if intra_threads > 0 {
                cpu["INFERENCE_NUM_THREADS"] = intra_threads.to_string().into();
            }
            let load_config = serde_json::json!({ "CPU": cpu });
            let provider = ep::OpenVINO::default()
                .with_device_type("CPU")
                .with_arbitrary_config("load_config", load_config.to_string());
            Some(provider.build().error_on_failure())
        }
        Device::Cuda(index) => {
            if !matches!(ep::CUDA::is_available(), Ok(true)) {
                return Err(not_compiled(ep::CUDA::NAME));
            }
            let provider = ep::CUDA::default()
                .with_device_id(i32::try_from(index).unwrap_or(i32::MAX))
                .with_arena_extend_strategy(ep::ArenaExtendStrategy::SameAsRequested)
                .with_tf32(false);
            Some(provider.build().error_on_failure())
        }
    })
}
