//! `headstart fit-head`: a head from a store.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use headstart::head::{AlphaPath, Baselines, HeadModel, Task};
use headstart::{
    FitConfig, Fitted, HeadConfig, Judged, OutKind, Samples, fit, peak_memory_bytes, write_head,
};
use serde_json::json;

use crate::fit_args::FitArgs;
use crate::force_args::ForceArgs;
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
    #[command(flatten)]
    force: ForceArgs,
    /// Print the result as JSON on stdout.
    #[arg(long)]
    json: bool,
    // Flattened last: its headings would hold for what follows.
    #[command(flatten)]
    fit: FitArgs,
}

pub(crate) fn run(args: &FitHeadArgs) -> Result<Ended> {
    let start = Instant::now();
    args.force.check(&args.out, OutKind::Head)?;
    let config = args.fit.config()?;
    let samples = Samples::open(&args.store)?;
    let before = start.elapsed();
    let mut listener = Listener::holding();
    let fitted = fit(&samples, &config, &mut |it| listener.hear(it))?;
    listener.finish();
    let time = before + fitted.fit_time;
    // Whatever is to be said of it: it is there.
    write_head(&fitted.head, &args.out)?;

    say_fitted(&fitted, time, &config, &mut listener);
    report::say(format!("wrote {}", args.out.display()));
    if args.json {
        let mut value = json!({
            "out": args.out,
            "fit": fitted.head.metadata.fit,
            "labels": fitted.head.metadata.outputs.labels,
            "train": fitted.train,
            "validation": fitted.validation,
            "cross_validated": fitted.cross_validated,
            "baselines": fitted.baselines,
            "seconds": time.as_secs_f64(),
        });
        listener.add_to(&mut value);
        report::json(value)?;
    }
    Ok(Ended::Good)
}

/// What it is worth, what it confuses, what there is to warn of; then what it is.
pub(crate) fn say_fitted(fitted: &Fitted, time: Duration, config: &FitConfig, listener: &mut Listener) {
    match &fitted.validation {
        Some(judged) => {
            report::say_first(judged::verdict(judged, "samples it had not seen"));
            judged::table(judged).into_iter().for_each(report::say_table);
            report::say_more(judged::figures(judged));
        }
        None => {
            let what = "samples, all of which it was fitted on: none was held out";
            report::say_first(judged::verdict(&fitted.train, what));
        }
    }
    if let Some(judged) = &fitted.cross_validated {
        report::say(judged::verdict(judged, "training samples, each by a fit without its fold"));
    }
    listener.say_held(|_| true);
    say_fit(&fitted.head, time);
    if let Some(path) = &fitted.head.metadata.fit.path {
        say_path(path, config);
    }
    if let (Some(baselines), Some(Judged::Classes(_))) = (&fitted.baselines, &fitted.validation) {
        say_baselines(baselines);
    }
    let on_train = judged::verdict(&fitted.train, "samples it was fitted on");
    report::say_more(format!("{on_train}; {}", judged::figures(&fitted.train)));
}

fn say_fit(head: &HeadModel, time: Duration) {
    let fit = &head.metadata.fit;
    let alpha = fit.alpha.map(|it| format!(", alpha {}", report::short_number(it))).unwrap_or_default();
    let memory =
        peak_memory_bytes().map(|it| format!(", peak memory {}", report::bytes(it))).unwrap_or_default();
    report::say(format!(
        "{} head: {} features, {}, {} training samples{alpha}, {:.1} s{memory}",
        fit.head,
        head.n_features(),
        match (head.metadata.outputs.task, head.metadata.outputs.labels.len()) {
            (Task::Classification, n) => format!("{n} classes"),
            (Task::Multilabel, n) => format!("{n} labels, any number a sample"),
            (Task::Regression, 1) => "1 number".to_owned(),
            (Task::Regression, n) => format!("{n} numbers"),
        },
        fit.n_samples,
        time.as_secs_f64(),
    ));
    if let Some(certificate) = &fit.certificate {
        report::say_more(format!(
            "certificate: objective {:.6}, at most {:.1e} above its minimum; gradient {:.1e} (tolerance {:.0e}), {} iterations",
            certificate.objective,
            certificate.gap,
            certificate.gradient,
            certificate.tolerance,
            certificate.n_iterations,
        ));
    } else {
        report::say_more("no certificate: what this fits has no one minimum that could be proven");
    }
}

fn say_path(path: &AlphaPath, config: &FitConfig) {
    let at = |index: usize| format!("{:.4} ± {:.4}", path.mean_loss[index], path.standard_error[index]);
    let HeadConfig::Logistic(head) = &config.head else { return };
    let chosen = head.chosen(path);
    report::say_more(format!(
        "{}-fold cross-validation of {} alphas: log-loss {} at alpha {}",
        path.n_folds,
        path.alphas.len(),
        at(chosen),
        report::short_number(path.alphas[chosen]),
    ));
}

fn say_baselines(baselines: &Baselines) {
    let neighbours: Vec<String> =
        baselines.k_nearest.iter().map(|(k, it)| format!("{} ({k})", report::percent(*it))).collect();
    let neighbours = if neighbours.is_empty() { "too few samples".to_owned() } else { neighbours.join(", ") };
    report::say_more(format!(
        "without a fit: majority class {}, nearest class mean {}, nearest neighbours {neighbours}",
        report::percent(baselines.majority),
        report::percent(baselines.nearest_class_mean),
    ));
}
