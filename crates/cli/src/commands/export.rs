//! `headstart export`: backbone and head as one ONNX file that proves itself.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use headstart::{Exported, InputKind, OutKind, Places, Verification, export, read_head};

use crate::force_args::ForceArgs;
use crate::listener::Listener;
use crate::model_args::ModelArgs;
use crate::run_args::RunArgs;
use crate::{Ended, report};

/// Write backbone and head as one ONNX file: uint8 pictures or tokens of texts in, probabilities or
/// numbers out.
///
/// The file is run over sample inputs and compared with the head's own scores before it is written.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Head file.
    #[arg(long, value_name = "FILE")]
    head: PathBuf,
    /// File to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    force: ForceArgs,
    /// Files to compare on, besides the 16 that are made by code.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    samples: Vec<PathBuf>,
    // Flattened last: their headings would hold for what follows.
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    run: RunArgs,
}

pub(crate) fn run(args: &ExportArgs, places: &Places) -> Result<Ended> {
    args.force.check(&args.out, OutKind::Onnx)?;
    let head = read_head(&args.head)?;
    let mut listener = Listener::default();
    let engine = args.run.engine(places).limited_to(1);
    let mut backbone = engine.backbone(&args.model.for_head(&head), &mut |it| listener.hear(it))?;
    let exported = export(&mut backbone, &head, &args.out, &args.samples)?;
    say_export(&args.out, &exported, backbone.runner().recipe().kind());
    Ok(Ended::Good)
}

pub(crate) fn say_export(out: &Path, exported: &Exported, kind: InputKind) {
    let nouns = kind.nouns()[1];
    let Verification { n_samples, max_abs_difference, tolerance } = exported.verification;
    report::say(format!(
        "wrote {} ({}): agrees with the head to {max_abs_difference:.1e} on {n_samples} {nouns} (tolerance {tolerance:.0e})",
        out.display(),
        report::bytes(out.metadata().map_or(0, |it| it.len())),
    ));
    match &exported.page {
        Some(page) => {
            // The page of texts has none in JavaScript.
            let languages = if kind == InputKind::Text { "Python" } else { "Python and JavaScript" };
            report::say(format!("how to use it from {languages}: {}", page.display()));
        }
        None => report::say(format!(
            "{} is not one of ours, and stays: no page on how to use the model",
            out.with_extension("md").display()
        )),
    }
}
