//! ONNX Runtime: the only module that names `ort`.

use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ort::environment::Environment;
use ort::ep::{self, ArbitrarilyConfigurableExecutionProvider, ExecutionProvider, ExecutionProviderDispatch};
use ort::logging::LogLevel;
use ort::session::builder::{AutoDevicePolicy, GraphOptimizationLevel, SessionBuilder};
use ort::value::{TensorRef, ValueType};
use serde::{Deserialize, Serialize};

use crate::device::{Device, Precision};
use crate::error::BackboneError;

/// Oldest ONNX Runtime that works: the API version `ort` was built for.
pub const MINIMUM_VERSION: &str = "1.24.0";

/// An ONNX Runtime library in this process. There can be one; clones share it.
#[derive(Debug, Clone)]
pub struct Runtime {
    environment: Environment,
    path: PathBuf,
    version: String,
}

/// Dropping the environment would make every later one fail, so the first one stays.
static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// Loads ONNX Runtime from a library file, once a process; the same path again gives the same runtime.
    ///
    /// # Errors
    /// [`BackboneError::RuntimeMissing`], [`RuntimeTooOld`](BackboneError::RuntimeTooOld),
    /// [`RuntimeLoad`](BackboneError::RuntimeLoad) when the file is missing, older than
    /// [`MINIMUM_VERSION`] or no ONNX Runtime; [`RuntimeLoadedTwice`](BackboneError::RuntimeLoadedTwice)
    /// when another file is in use.
    pub fn load(path: &Path) -> Result<Self, BackboneError> {
        let needed = || MINIMUM_VERSION.to_owned();
        let path = path
            .canonicalize()
            .map_err(|_| BackboneError::RuntimeMissing { path: path.to_owned(), needed: needed() })?;
        // A panic elsewhere cannot leave this half-written: it is set in one assignment.
        let mut loaded = LOADED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(runtime) = &*loaded {
            if runtime.path != path {
                return Err(BackboneError::RuntimeLoadedTwice { loaded: runtime.path.clone(), asked: path });
            }
            return Ok(runtime.clone());
        }
        let version = library_version(&path)?;
        if parse_version(&version) < parse_version(MINIMUM_VERSION) {
            return Err(BackboneError::RuntimeTooOld { path, found: version, needed: needed() });
        }
        let load_error = |source: Box<dyn std::error::Error + Send + Sync>| BackboneError::RuntimeLoad {
            path: path.clone(),
            source,
        };
        let environment = ort::init_from(&path)
            .map_err(|err| load_error(err.to_string().into()))?
            .with_name("headstart")
            .with_telemetry(false)
            .with_logger(Arc::new(|level, _category: &str, _id: &str, location: &str, message: &str| {
                match level {
                    LogLevel::Error | LogLevel::Fatal => {
                        tracing::debug!(location, "onnxruntime: {message}")
                    }
                    _ => tracing::trace!(location, "onnxruntime: {message}"),
                }
            }))
            .build()
            .map_err(|err| load_error(Box::new(err)))?;
        let runtime = Self { environment, path, version };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// Version of the library, `1.31.1` for instance.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The library file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Execution providers this build of the library was compiled with, by ONNX Runtime's names.
    #[must_use]
    pub fn execution_providers(&self) -> Vec<String> {
        let mut names = vec!["CPUExecutionProvider".to_owned()];
        let optional =
            [(ep::CUDA::NAME, ep::CUDA::is_available()), (ep::OpenVINO::NAME, ep::OpenVINO::is_available())];
        names.extend(
            optional.into_iter().filter(|(_, is)| matches!(is, Ok(true))).map(|(it, _)| it.to_owned()),
        );
        names
    }
}

/// Asks a library for its version before anything is called that an old one does not have.
#[expect(unsafe_code, reason = "the version is only to be had through the library's own C function")]
fn library_version(path: &Path) -> Result<String, BackboneError> {
    let load_error = |source: Box<dyn std::error::Error + Send + Sync>| BackboneError::RuntimeLoad {
        path: path.to_owned(),
        source,
    };
    // SAFETY: loading runs the library's initialisers; the caller chose this file to be run.
    let library = unsafe { libloading::Library::new(path) }.map_err(|err| load_error(Box::new(err)))?;
    // SAFETY: `OrtGetApiBase` has had this signature in every release of ONNX Runtime; it returns a
    // pointer to a static struct, or null, and the string it leads to is static and NUL-terminated.
    let version = unsafe {
        let get = library
            .get::<unsafe extern "C" fn() -> *const ort::sys::OrtApiBase>(b"OrtGetApiBase\0")
            .map_err(|err| load_error(Box::new(err)))?;
        let base = get().as_ref().ok_or_else(|| load_error("it offers no API".into()))?;
        CStr::from_ptr((base.GetVersionString)()).to_string_lossy().into_owned()
    };
    Ok(version)
}

/// Whether an NVIDIA driver is installed and answers.
#[must_use]
#[expect(unsafe_code, reason = "a driver is asked through its own C function")]
pub fn has_cuda_driver() -> bool {
    let name = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so.1" };
    // SAFETY: the driver's library, from where the system has it; its initialisers are meant to be run.
    let Ok(library) = (unsafe { libloading::Library::new(name) }) else { return false };
    // SAFETY: `cuInit(unsigned int) -> CUresult` has had this signature in every CUDA driver; 0 is success.
    let answer = unsafe { library.get::<unsafe extern "C" fn(u32) -> i32>(b"cuInit\0").map(|it| it(0)) };
    // A driver that has been initialised must stay.
    std::mem::forget(library);
    matches!(answer, Ok(0))
}

/// Libraries that the CUDA provider needs, in an order in which each finds those before it.
const CUDA_LIBRARIES: [&str; 8] = [
    "libcudart.so.12",
    "libcublasLt.so.12",
    "libcublas.so.12",
    "libnvJitLink.so.12",
    "libcufft.so.11",
    "libcurand.so.10",
    "libnvrtc.so.12",
    "libcudnn.so.9",
];

/// Loads the CUDA libraries that lie beside ONNX Runtime: its provider does not look there. Those that do
/// not lie there are left to the system.
#[expect(unsafe_code, reason = "loading a library runs its initialisers")]
fn load_cuda_libraries(runtime: &Runtime) {
    let Some(folder) = runtime.path.parent() else { return };
    for name in CUDA_LIBRARIES {
        // SAFETY: NVIDIA's libraries, from the folder that the user chose ONNX Runtime from.
        if let Ok(library) = unsafe { libloading::Library::new(folder.join(name)) } {
            // For the provider, which is loaded later.
            std::mem::forget(library);
        }
    }
}

fn parse_version(text: &str) -> Vec<u32> {
    text.split('.').map_while(|it| it.parse().ok()).collect()
}

/// How a session computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionConfig {
    /// Where it computes.
    pub device: Device,
    /// In what precision.
    pub precision: Precision,
}

impl Default for SessionConfig {
    /// CPU, f32.
    fn default() -> Self {
        Self { device: Device::Cpu, precision: Precision::F32 }
    }
}

/// Name and shape of a model's input or output as the runtime infers it; `None` is any size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outlet {
    pub(crate) name: String,
    pub(crate) shape: Vec<Option<usize>>,
}

/// One loaded model. A run needs it exclusively: the runtime's internals are not to be shared.
pub(crate) struct Session {
    session: ort::session::Session,
    pub(crate) output: Outlet,
}

impl Session {
    /// Loads a model from memory, its external data from `external_data_folder`. A run of it takes
    /// `intra_threads`; 0 leaves that to the runtime.
    pub(crate) fn load(
        runtime: &Runtime,
        model: &[u8],
        external_data_folder: Option<&Path>,
        config: &SessionConfig,
        intra_threads: usize,
    ) -> Result<Self, BackboneError> {
        let failed = |source: ort::Error| BackboneError::Session {
            action: "load the model",
            source: Box::new(source),
        };
        let mut builder = session_builder(runtime, config, intra_threads)?;
        if let Some(folder) = external_data_folder {
            builder = with_external_data(builder, folder).map_err(failed)?;
        }
        let session = builder.commit_from_memory(model).map_err(|err| match config.device {
            Device::Cpu => failed(err),
            // The provider registered, then could not take the model: still the device's failure.
            device => BackboneError::Device {
                device: device.to_string(),
                reason: "the model does not run on it".to_owned(),
                source: Some(Box::new(err)),
            },
        })?;
        let output =
            session.outputs().first().map(outlet).unwrap_or(Outlet { name: String::new(), shape: vec![] });
        Ok(Self { session, output })
    }

    /// Runs a batch of uint8 images, appends the rows of the first output to `out` and returns their width.
    pub(crate) fn run(
        &mut self,
        shape: [usize; 4],
        pixels: &[u8],
        out: &mut Vec<f32>,
    ) -> Result<usize, BackboneError> {
        let failed = |source| BackboneError::Session { action: "run the model", source: Box::new(source) };
        let n_images = shape[0];
        let input = TensorRef::from_array_view((shape, pixels)).map_err(failed)?;
        let outputs = self.session.run(ort::inputs![input]).map_err(failed)?;
        let (shape, values) = outputs[0].try_extract_tensor::<f32>().map_err(failed)?;
        // What the shape says first is not trusted: a squeezed output has no batch dimension at all.
        if n_images == 0 || !values.len().is_multiple_of(n_images) {
            return Err(BackboneError::Output { n_images, shape: shape.to_vec() });
        }
        out.extend_from_slice(values);
        Ok(values.len() / n_images)
    }

    /// Runs a batch of uint8 images and shows every output: its index, shape and values.
    pub(crate) fn run_all(
        &mut self,
        shape: [usize; 4],
        pixels: &[u8],
        visit: &mut impl FnMut(usize, &[usize], &[f32]),
    ) -> Result<(), BackboneError> {
        let failed = |source| BackboneError::Session { action: "run the model", source: Box::new(source) };
        let input = TensorRef::from_array_view((shape, pixels)).map_err(failed)?;
        let names: Vec<String> = self.session.outputs().iter().map(|it| it.name().to_owned()).collect();
        let outputs = self.session.run(ort::inputs![input]).map_err(failed)?;
        for (index, name) in names.iter().enumerate() {
            let (shape, values) = outputs[name.as_str()].try_extract_tensor::<f32>().map_err(failed)?;
            let shape: Vec<usize> = shape.iter().map(|it| usize::try_from(*it).unwrap_or(0)).collect();
            visit(index, &shape, values);
        }
        Ok(())
    }
}

fn outlet(it: &ort::value::Outlet) -> Outlet {
    let shape = match it.dtype() {
        ValueType::Tensor { shape, .. } => shape.iter().map(|dim| usize::try_from(*dim).ok()).collect(),
        _ => Vec::new(),
    };
    Outlet { name: it.name().to_owned(), shape }
}

fn session_builder(
    runtime: &Runtime,
    config: &SessionConfig,
    intra_threads: usize,
) -> Result<SessionBuilder, BackboneError> {
    let builder = configured(&runtime.environment, intra_threads)
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

fn configured(environment: &Environment, intra_threads: usize) -> ort::Result<SessionBuilder> {
    Ok(SessionBuilder::new(environment)?
        // `ort` asks for "max efficiency", which may pick an NPU or CoreML unasked.
        .with_auto_device(AutoDevicePolicy::PreferCPU)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(intra_threads)?
        // Waiting threads that spin take the cores from those that decode.
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        // Without VNNI, x86 sums 8-bit products in 16 bits that overflow, unless it is told to be exact.
        .with_config_entry("session.x64quantprecision", if has_vnni() { "0" } else { "1" })?)
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

fn with_external_data(builder: SessionBuilder, folder: &Path) -> ort::Result<SessionBuilder> {
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
