//! The commands: arguments, what they do, what they print.

pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod export;
pub(crate) mod extract;
pub(crate) mod fit_head;
pub(crate) mod models;
pub(crate) mod predict;
mod quantize;
pub(crate) mod setup;

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use clap::Args;
use headstart_backbone::{
    Backbone, BackboneError, DecodeLimits, Device, PipelineConfig, Precision, Runtime, SessionConfig,
};
use headstart_head::HeadModel;
use headstart_store::{EmbeddingSpace, Failure};

use crate::models::{ModelArgs, prepare};
use crate::provision::{self, Kind};
use crate::report;

/// Where and how much at once.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Where it runs")]
pub(crate) struct RunArgs {
    /// Device: cpu, openvino, cuda, cuda:N, or auto for the best that is set up. The device asked for is
    /// used, or the run stops.
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
    /// Precision: f32, bf16 on openvino, f16 on cuda, or int8, which a quantised model has and no other.
    /// Default: int8 for a quantised model, else f32.
    #[arg(long)]
    precision: Option<Precision>,
    /// Threads that decode and run the model; on cuda, threads that decode [default: one a core].
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Images a session runs at once [default: 1; 2 on openvino, 32 on cuda].
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Most memory one picture may take while it is decoded, in MiB; larger ones are failures.
    #[arg(long, value_name = "MIB", default_value_t = DecodeLimits::default().max_bytes >> 20)]
    max_image_memory: u64,
}

/// A runtime, how its sessions compute, and how much at once.
struct Opened {
    runtime: Runtime,
    session: SessionConfig,
    n_workers: usize,
    pipeline: PipelineConfig,
}

/// `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeviceChoice {
    Auto,
    Is(Device),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            text => text.parse().map(Self::Is).map_err(|err: String| format!("{err}; or auto")),
        }
    }
}

impl RunArgs {
    /// Settles on a device and a precision, and loads the runtime for them.
    fn open(&self, is_quantized: bool) -> Result<Opened> {
        let default = if is_quantized { Precision::Int8 } else { Precision::F32 };
        let precision = self.precision.unwrap_or(default);
        let device = match self.device {
            DeviceChoice::Is(device) => device,
            DeviceChoice::Auto => {
                let (device, reason) = provision::best_device(precision)?;
                report::say(format!("device {device}: {reason}"));
                device
            }
        };
        // Before a runtime is looked for that could not do it either.
        device.check(precision)?;
        let runtime = provision::load_runtime(Kind::of(device))?;
        let session = SessionConfig { device, precision };
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let n_workers = self.workers.unwrap_or_else(cores).max(1);
        let is_gpu = matches!(device, Device::Cuda(_));
        let default = PipelineConfig::default();
        let pipeline = PipelineConfig {
            n_decoders: if is_gpu { n_workers } else { 0 },
            batch_size: self.batch_size.unwrap_or(device.batch_size()).max(1),
            pad_batches: is_gpu,
            limits: DecodeLimits {
                max_bytes: self.max_image_memory.saturating_mul(1 << 20),
                ..default.limits
            },
        };
        Ok(Opened { runtime, session, n_workers, pipeline })
    }
}

impl Opened {
    /// Threads that have something to do for `n_images`.
    fn n_threads(&self, n_images: usize) -> usize {
        self.n_workers.min(n_images).max(1)
    }
}

/// Prepares and loads a backbone for about `n_images`, and the runtime for it.
fn load_backbone(model: &ModelArgs, run: &RunArgs, n_images: usize) -> Result<(Opened, Backbone)> {
    let model = prepare(model)?;
    let opened = run.open(model.is_quantized())?;
    let n_threads = opened.n_threads(n_images);
    let backbone = Backbone::load(&opened.runtime, model, &opened.session, n_threads);
    let backbone = backbone.map_err(|err| with_hint(err, &opened))?;
    Ok((opened, backbone))
}

/// How a device that cannot be used is mended.
fn with_hint(err: BackboneError, opened: &Opened) -> anyhow::Error {
    let kind = Kind::of(opened.session.device);
    if !matches!(err, BackboneError::Device { .. }) || kind == Kind::Cpu {
        return err.into();
    }
    let command = provision::setup_command(kind);
    let hint = if provision::is_named() {
        format!(
            "ORT_DYLIB_PATH names the runtime: unset it and run `{command}`, or name one that has the device"
        )
    } else {
        format!("`{command}` gets the libraries, or mends them; `headstart doctor` shows what is there")
    };
    anyhow::anyhow!("{:#}\n\n{hint}", anyhow::Error::new(err))
}

/// Tells the first failures one by one.
fn say_first<'a>(failures: impl IntoIterator<Item = &'a Failure>) {
    for failure in failures.into_iter().take(5) {
        report::say(format!("  {failure}"));
    }
}

/// Refuses a head of another embedding space, and says what differs.
fn check_space(head: &HeadModel, space: &EmbeddingSpace) -> Result<()> {
    let differences = || match serde_json::from_value::<EmbeddingSpace>(head.metadata.space.clone()) {
        Ok(of_head) => of_head
            .differences(space)
            .iter()
            .map(|it| it.replace("here ", "head ").replace("asked for ", "now "))
            .collect(),
        Err(_) => vec!["the head does not say on which".to_owned()],
    };
    Ok(head.check_fingerprint(&space.fingerprint(), differences)?)
}

/// Reads a head file.
fn read_head(path: &Path) -> Result<HeadModel> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    HeadModel::from_bytes(&bytes).with_context(|| format!("{}", path.display()))
}

/// Refuses a place where no file can be put, before anything is computed for it, and makes its folder.
fn check_out(path: &Path) -> Result<()> {
    ensure!(!path.is_dir(), "{} is a folder", path.display());
    // A file takes the place of what is there: a device would be gone.
    ensure!(!path.exists() || path.is_file(), "{} is no regular file", path.display());
    let folder = folder_of(path);
    let written = std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
    written.map(drop).with_context(|| format!("cannot write {}", path.display()))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a file under a temporary name beside its destination, syncs it and renames it into place.
fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    let context = || format!("cannot write {}", path.display());
    let mut file = tempfile::NamedTempFile::new_in(folder_of(path)).with_context(context)?;
    file.write_all(bytes).with_context(context)?;
    file.as_file().sync_all().with_context(context)?;
    // Temporary files are private to the user; what is shipped has the usual permissions.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let permissions = std::fs::Permissions::from_mode(0o644);
        file.as_file().set_permissions(permissions).with_context(context)?;
    }
    file.persist(path).map_err(|err| err.error).with_context(context)?;
    Ok(())
}
