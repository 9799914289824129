//! `headstart fit-head`: a head from a store.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use headstart::head::{AlphaPath, Baselines, HeadModel, Task};
use headstart::{
    FitConfig, HeadConfig, Judged, Note, Samples, check_out, fit, peak_memory_bytes, write_head,
};
use serde_json::json;

use crate::fit_args::FitArgs;
use crate::listener::Listener;
use crate::{Ended, judged, report};

/// Fit a head on the embeddings of a store.
///
/// Samples of the split `train` are fitted on, those of `val` (or `test`) judge the result. A dataset
/// without splits gets a stratified one, drawn by --seed.
#[derive(Debug, Args)]
pub(crate) struct FitHeadArgs {
    /// Folder of the store.
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// File the head is written to.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print the result as JSON on stdout.
    #[arg(long)]
    json: bool,
    // Flattened last: its headings would hold for what follows.
    #[command(flatten)]
    fit: FitArgs,
}

pub(crate) fn run(args: &FitHeadArgs) -> Result<Ended> {
    let start = Instant::now();
    check_out(&args.out)?;
    let config = args.fit.config()?;
    let samples = Samples::open(&args.store)?;
    let before = start.elapsed();
    let mut listener = Listener::holding();
    let fitted = fit(&samples, &config, &mut |it| listener.hear(it))?;
    let time = before + fitted.fit_time;
    // Whatever is to be said of it: it is there.
    write_head(&fitted.head, &args.out)?;

    say_fit(&fitted.head, time);
    if let Some(path) = &fitted.head.metadata.fit.path {
        say_path(path, &config);
    }
    listener.say_held(|it| matches!(it, Note::AlphaOnEdge { .. } | Note::HeldOutTrainedOn { .. }));
    match &fitted.validation {
        Some(judged) => report::say(judged::describe(judged, "held-out samples")),
        None => report::say("no held-out samples: the figures below are of the training samples"),
    }
    if let (Some(baselines), Some(Judged::Classes(_))) = (&fitted.baselines, &fitted.validation) {
        say_baselines(baselines);
    }
    listener.say_held(|_| true);
    report::say(judged::one_line(&fitted.train, "training samples"));
    report::say(format!("wrote {}", args.out.display()));
    if args.json {
        let mut value = json!({
            "out": args.out,
            "fit": fitted.head.metadata.fit,
            "labels": fitted.head.metadata.outputs.labels,
            "train": fitted.train,
            "validation": fitted.validation,
            "baselines": fitted.baselines,
            "seconds": time.as_secs_f64(),
        });
        listener.add_to(&mut value);
        report::data(value.to_string())?;
    }
    Ok(Ended::Good)
}

fn say_fit(head: &HeadModel, time: Duration) {
    let fit = &head.metadata.fit;
    let alpha = fit.alpha.map(|it| format!(", alpha {}", short_number(it))).unwrap_or_default();
    let memory =
        peak_memory_bytes().map(|it| format!(", peak memory {}", report::bytes(it))).unwrap_or_default();
    report::say(format!(
        "{} head: {} features, {} {}, {} training samples{alpha}, {:.1} s{memory}",
        fit.head,
        head.n_features(),
        head.metadata.outputs.labels.len(),
        match head.metadata.outputs.task {
            Task::Classification => "classes",
            Task::Multilabel => "labels, any number a sample",
            Task::Regression => "numbers",
        },
        fit.n_samples,
        time.as_secs_f64(),
    ));
    if let Some(certificate) = &fit.certificate {
        report::say(format!(
            "certificate: objective {:.6}, at most {:.1e} above its minimum; gradient {:.1e} (tolerance {:.0e}), {} iterations",
            certificate.objective,
            certificate.gap,
            certificate.gradient,
            certificate.tolerance,
            certificate.n_iterations,
        ));
    } else {
        report::say("no certificate: what this fits has no one minimum that could be proven");
    }
}

fn say_path(path: &AlphaPath, config: &FitConfig) {
    let at = |index: usize| format!("{:.4} ± {:.4}", path.mean_loss[index], path.standard_error[index]);
    let HeadConfig::Logistic(head) = &config.head else { return };
    let chosen = head.chosen(path);
    report::say(format!(
        "{}-fold cross-validation of {} alphas: log-loss {} at alpha {}",
        path.n_folds,
        path.alphas.len(),
        at(chosen),
        short_number(path.alphas[chosen]),
    ));
}

fn say_baselines(baselines: &Baselines) {
    let neighbours: Vec<String> =
        baselines.k_nearest.iter().map(|(k, it)| format!("{} ({k})", report::percent(*it))).collect();
    let neighbours = if neighbours.is_empty() { "too few samples".to_owned() } else { neighbours.join(", ") };
    report::say(format!(
        "without a fit: majority class {}, nearest class mean {}, nearest neighbours {neighbours}",
        report::percent(baselines.majority),
        report::percent(baselines.nearest_class_mean),
    ));
}

/// Three digits, without an exponent where that is short.
fn short_number(value: f64) -> String {
    if (1e-3..1e5).contains(&value) { format!("{value:.3}") } else { format!("{value:.2e}") }
}
