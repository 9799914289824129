//! `headstart fit-head`: a head from a store.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;
use headstart_head::{AlphaPath, Baselines, HeadModel, Task};
use headstart_store::Store;
use serde_json::json;

use super::eval::{self, Judged};
use super::{check_out, check_space, read_head, write_file};
use crate::data::{DrawnSplit, Labelled, Role, rows_of};
use crate::fitting::{self, FitOptions, Training};
use crate::{Outcome, machine, report};

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
    options: FitOptions,
}

pub(crate) fn run(args: &FitHeadArgs) -> Result<Outcome> {
    let start = Instant::now();
    check_out(&args.out)?;
    let store = Store::open(&args.store)?;
    let labelled = Labelled::read(&store)?;
    if labelled.n_unlabelled > 0 {
        report::say(format!("{} samples without a label are left out", labelled.n_unlabelled));
    }
    let options = &args.options;
    let task = fitting::choose_task(options, &labelled)?;
    options.check(task)?;
    let drawn = DrawnSplit { fraction: options.validation, seed: options.seed };
    let roles = labelled.roles(task, drawn);
    let others = rows_of(&roles, Role::Other);
    if let Some(first) = others.first() {
        let name = labelled.samples[*first].split.as_deref().unwrap_or_default();
        let n = others.len();
        report::say(format!("{n} samples are left out: `{name}`, for one, is none of train, val, test"));
    }
    let train = rows_of(&roles, Role::Train);
    ensure!(!train.is_empty(), "no sample of {} is in the split `train`", args.store.display());
    let older = options.warm_start.as_deref().map(read_head).transpose()?;
    if let Some(older) = &older {
        check_space(older, store.space())?;
    }
    let training = Training::read(options, &store, &labelled, train)?;
    let head = fitting::fit(options, task, &training, older.as_ref())?;
    let seconds = start.elapsed().as_secs_f64();

    say_fit(&head, seconds);
    if let Some(path) = &head.metadata.fit.path {
        say_path(path, options);
    }
    let judged_by = [Role::Validation, Role::Test].into_iter().find(|it| roles.contains(it));
    let held_out = judged_by.map(|role| rows_of(&roles, role));
    let validation = held_out.as_ref().map(|rows| eval::judge(&head, &store, &labelled, rows)).transpose()?;
    if let Some(held_out) = &held_out {
        let n_known = held_out.iter().filter(|it| labelled.was_trained_on(&head, **it)).count();
        if n_known > 0 {
            report::say(format!(
                "warning: {n_known} of {} held-out samples are files or groups that the head was trained on too",
                held_out.len()
            ));
        }
    }
    let can_compare = task == Task::Classification && !training.in_memory().samples.is_empty();
    let baselines = match held_out.as_ref().filter(|_| can_compare) {
        Some(held_out) => Some(baselines(&head, &training, held_out)?),
        None => None,
    };
    let on_train = eval::judge(&head, &store, &labelled, &training.samples)?;
    match &validation {
        Some(judged) => report::say(eval::describe(judged, "held-out samples")),
        None => report::say("no held-out samples: the figures below are of the training samples"),
    }
    if let (Some(baselines), Some(Judged::Classes(judged))) = (&baselines, &validation) {
        say_baselines(baselines, judged.accuracy);
    }
    report::say(eval::one_line(&on_train, "training samples"));
    write_file(&args.out, &head.to_bytes()?)?;
    report::say(format!("wrote {}", args.out.display()));
    if args.json {
        let value = json!({
            "out": args.out,
            "fit": head.metadata.fit,
            "labels": head.metadata.outputs.labels,
            "train": eval::to_json(&on_train),
            "validation": validation.as_ref().map(eval::to_json),
            "baselines": baselines,
            "seconds": seconds,
        });
        report::data(value.to_string())?;
    }
    Ok(Outcome::Good)
}

fn say_fit(head: &HeadModel, seconds: f64) {
    let fit = &head.metadata.fit;
    let alpha = fit.alpha.map(|it| format!(", alpha {}", short_number(it))).unwrap_or_default();
    let memory = machine::peak_memory_bytes()
        .map(|it| format!(", peak memory {}", report::bytes(it)))
        .unwrap_or_default();
    report::say(format!(
        "{} head: {} features, {} labels, {} training samples{alpha}, {seconds:.1} s{memory}",
        fit.head,
        head.n_features(),
        head.metadata.outputs.labels.len(),
        fit.n_samples,
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
        report::say("no certificate: a hidden layer has many minima");
    }
}

fn say_path(path: &AlphaPath, options: &FitOptions) {
    let at = |index: usize| format!("{:.4} ± {:.4}", path.mean_loss[index], path.standard_error[index]);
    let chosen = options.chosen(path);
    report::say(format!(
        "{}-fold cross-validation of {} alphas: log-loss {} at alpha {}",
        path.n_folds,
        path.alphas.len(),
        at(chosen),
        short_number(path.alphas[chosen]),
    ));
    fitting::warn_of_edge(path.alphas[path.best], &path.alphas);
}

/// What needs no fit, on the same samples; on those in memory, where not all are.
fn baselines(head: &HeadModel, training: &Training<'_>, held_out: &[usize]) -> Result<Baselines> {
    let (labels, labelled) = (&head.metadata.outputs.labels, training.labelled);
    let class =
        |it: &usize| labels.iter().position(|label| label == labelled.label(*it)).unwrap_or(labels.len());
    let training = training.in_memory();
    let [y, y_held_out] =
        [&training.samples, held_out].map(|rows| rows.iter().map(class).collect::<Vec<_>>());
    let x = labelled.embeddings(training.store, held_out)?;
    Ok(Baselines::new(training.x()?, &y, labels.len(), x.view(), &y_held_out)?)
}

fn say_baselines(baselines: &Baselines, accuracy: f64) {
    let neighbours: Vec<String> =
        baselines.k_nearest.iter().map(|(k, it)| format!("{} ({k})", report::percent(*it))).collect();
    let neighbours = if neighbours.is_empty() { "too few samples".to_owned() } else { neighbours.join(", ") };
    report::say(format!(
        "without a fit: majority class {}, nearest class mean {}, nearest neighbours {neighbours}",
        report::percent(baselines.majority),
        report::percent(baselines.nearest_class_mean),
    ));
    let (what, best) = baselines.best();
    if best > accuracy {
        let (accuracy, best) = (report::percent(accuracy), report::percent(best));
        report::say(format!("warning: {what}: {best}, more than the head's {accuracy}"));
    }
}

/// Three digits, without an exponent where that is short.
fn short_number(value: f64) -> String {
    if (1e-3..1e5).contains(&value) { format!("{value:.3}") } else { format!("{value:.2e}") }
}
