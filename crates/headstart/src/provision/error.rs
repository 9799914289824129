//! Why a runtime or a model could not be got.

use std::path::PathBuf;

use headstart_backbone::BackboneError;

use super::Kind;

/// Why a runtime or a model could not be got.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvisionError {
    /// A download failed.
    #[error("cannot download {url}")]
    Download {
        /// Address.
        url: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A download that is not what was expected.
    #[error("{url} has SHA-256 {found}, expected {expected}; the download was thrown away")]
    DownloadHash {
        /// Address.
        url: String,
        /// Its hash.
        found: String,
        /// The expected one.
        expected: String,
    },
    /// There is no runtime for a kind of device.
    #[error("no ONNX Runtime{} found; version {needed} or newer is needed", of_kind(*kind))]
    NoRuntime {
        /// The kind.
        kind: Kind,
        /// Oldest version that works.
        needed: &'static str,
    },
    /// CUDA needs a driver too.
    #[error("{NO_DRIVER}, and no ONNX Runtime for cuda found")]
    NoDriver,
    /// A runtime that was cut short.
    #[error("{reason}")]
    RuntimeDamaged {
        /// The kind.
        kind: Kind,
        /// What is wrong with it.
        reason: String,
    },
    /// A runtime that does not load.
    #[error(transparent)]
    Runtime(Box<Unusable>),
    /// There is no build of the runtime for this machine.
    #[error("no pinned ONNX Runtime for {kind} on {} ({})", std::env::consts::OS, std::env::consts::ARCH)]
    NoBuild {
        /// The kind.
        kind: Kind,
    },
    /// No build of the runtime can be had.
    #[error("cannot get ONNX Runtime for {kind}: {}", reasons.join("; "))]
    Setup {
        /// The kind.
        kind: Kind,
        /// Why, for each build.
        reasons: Vec<String>,
    },
    /// pip failed.
    #[error("pip: {message}")]
    Pip {
        /// What it said last.
        message: String,
    },
    /// What was fetched is not what it should be.
    #[error("{}: {reason}", path.display())]
    Package {
        /// The package.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// A runtime or a device that cannot be used, and what its user needs to know to mend that.
#[derive(Debug)]
pub struct Unusable {
    /// The kind of device.
    pub kind: Kind,
    /// Whether the runtime was named, and not found in the cache.
    pub is_named: bool,
    /// Why it cannot be used.
    pub cause: BackboneError,
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.cause.fmt(f)
    }
}

impl std::error::Error for Unusable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source()
    }
}

/// What is missing where there is no NVIDIA driver.
const NO_DRIVER: &str = "there is no NVIDIA driver, or it does not answer (version 525 or newer is needed)";

fn of_kind(kind: Kind) -> String {
    if kind == Kind::Cpu { String::new() } else { format!(" for {kind}") }
}
