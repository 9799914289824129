//! Libraries as files: what is asked of them before, or beside, ONNX Runtime's own interface.

use std::ffi::CStr;
use std::path::Path;

use super::Runtime;
use crate::error::BackboneError;

/// Asks a library for its version before anything is called that an old one does not have.
#[expect(unsafe_code, reason = "the version is only to be had through the library's own C function")]
pub(super) fn library_version(path: &Path) -> Result<String, BackboneError> {
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
pub(super) fn load_cuda_libraries(runtime: &Runtime) {
    let Some(folder) = runtime.path.parent() else { return };
    for name in CUDA_LIBRARIES {
        // SAFETY: NVIDIA's libraries, from the folder that the user chose ONNX Runtime from.
        if let Ok(library) = unsafe { libloading::Library::new(folder.join(name)) } {
            // For the provider, which is loaded later.
            std::mem::forget(library);
        }
    }
}

pub(super) fn parse_version(text: &str) -> Vec<u32> {
    text.split('.').map_while(|it| it.parse().ok()).collect()
}
