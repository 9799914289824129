//! Where it runs, as arguments.

use clap::Args;
use headstart::backbone::{Precision, RunConfig};
use headstart::input::Limits;
use headstart::{DeviceChoice, Engine, EngineConfig, Places};

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
    pub(crate) precision: Option<Precision>,
    /// Threads that decode and run the model; on cuda, threads that decode [default: one a core].
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Images a session runs at once [default: 1; 2 on openvino, 32 on cuda].
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Most memory one picture may take while it is decoded, in MiB; larger ones are failures.
    #[arg(long, value_name = "MIB", default_value_t = Limits::default().max_bytes >> 20)]
    max_image_memory: u64,
}

impl RunArgs {
    pub(crate) fn engine(&self, places: &Places) -> Engine {
        let max_bytes = self.max_image_memory.saturating_mul(1 << 20);
        let limits = Limits { max_bytes, ..Limits::default() };
        Engine::new(EngineConfig {
            device: self.device,
            precision: self.precision,
            n_workers: self.workers,
            run: RunConfig { batch_size: self.batch_size, limits, ..RunConfig::default() },
            places: Some(places.clone()),
        })
    }
}
