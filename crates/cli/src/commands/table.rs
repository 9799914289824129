//! `headstart table`: a store as one table.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use headstart::{OutKind, Store, write_table};
use serde_json::json;

use crate::force_args::ForceArgs;
use crate::listener::Listener;
use crate::{Ended, report};

/// Write a store as one table: a row a sample, with its label and its embedding.
///
/// For pandas, polars, DuckDB, NumPy, R. The files inside a store are its own: parts may hold an embedding
/// twice, and listings may be in the making. A table has every sample once, and names model and fingerprint.
#[derive(Debug, Args)]
pub(crate) struct TableArgs {
    /// Folder of the store.
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// File to write: .parquet, .arrow, .csv, or .npy (embeddings alone; the samples lie beside, in
    /// NAME.samples.csv).
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    force: ForceArgs,
    /// Most memory for embeddings; where it is not enough the store is read several times [default: half of
    /// the machine's].
    #[arg(long, value_name = "MIB")]
    max_memory: Option<u64>,
    /// Print what was written as JSON on stdout.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &TableArgs) -> Result<Ended> {
    args.force.check(&args.out, OutKind::Table)?;
    let store = Store::open(&args.store).map_err(headstart::Error::from)?;
    let max_memory = args.max_memory.map(|it| it.saturating_mul(1 << 20));
    let mut listener = Listener::default();
    let written = write_table(&store, &args.out, max_memory, &mut |it| listener.hear(it))?;
    listener.finish();
    let (n_samples, n_features) = (written.n_samples, store.space().n_features);
    let beside = written.samples.as_ref().map_or(String::new(), |it| format!(" and {}", it.display()));
    report::say(format!(
        "wrote {}{beside}: {n_samples} samples, {n_features} features ({})",
        args.out.display(),
        report::bytes(args.out.metadata().map_or(0, |it| it.len())),
    ));
    if args.json {
        let mut value = json!({
            "out": args.out,
            "samples": written.samples,
            "n_samples": n_samples,
            "n_features": n_features,
            "fingerprint": store.space().fingerprint(),
        });
        listener.add_to(&mut value);
        report::json(value)?;
    }
    Ok(Ended::Good)
}
