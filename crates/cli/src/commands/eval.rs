//! `headstart eval`: how good a head is on samples of a store.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use headstart::{Evaluation, Judged, Samples, Wrong, judge, read_head};
use serde_json::json;

use crate::listener::Listener;
use crate::{Ended, judged, report};

/// Judge a head on samples of a store.
#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// Folder of the store.
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// Head file.
    #[arg(long, value_name = "FILE")]
    head: PathBuf,
    /// Split to judge on: train, val, test or all. Default: val, else test. Where the dataset has none,
    /// train is what the head was fitted on and val is everything else.
    #[arg(long)]
    split: Option<String>,
    /// List every sample it is wrong about: what was said, and how surely.
    #[arg(long)]
    errors: bool,
    /// Print that list as CSV alone.
    #[arg(long, requires = "errors", conflicts_with = "json")]
    csv: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &EvalArgs) -> Result<Ended> {
    let samples = Samples::open(&args.store)?;
    let head = read_head(&args.head)?;
    let mut listener = Listener::holding();
    let evaluation = judge(&head, &samples, args.split.as_deref(), &mut |it| listener.hear(it))?;
    listener.say_held(|_| true);
    if args.json {
        let mut value = json!(evaluation.judged);
        value["split"] = json!(evaluation.split);
        value["n_trained_on"] = json!(evaluation.n_trained_on);
        if args.errors {
            value["errors"] = json!(evaluation.wrong);
        }
        listener.add_to(&mut value);
        report::pretty_json(value)?;
    } else if args.csv {
        print_csv(&evaluation.wrong)?;
    } else {
        report::data(judged::verdict(&evaluation.judged, &format!("samples of `{}`", evaluation.split)))?;
        report::data(judged::figures(&evaluation.judged))?;
        judged::table(&evaluation.judged).map_or(Ok(()), report::data)?;
        if args.errors {
            print_errors(&evaluation)?;
        }
    }
    Ok(Ended::Good)
}

fn print_csv(wrong: &[Wrong]) -> Result<()> {
    report::csv(["path", "label", "said", "score"])?;
    for Wrong { path, label, said, score } in wrong {
        report::csv([path, label, said, &score.to_string()])?;
    }
    Ok(())
}

fn print_errors(evaluation: &Evaluation) -> Result<()> {
    let is_number = matches!(evaluation.judged, Judged::Numbers(_));
    let titles = ["sample", "is", "was taken for", if is_number { "off by" } else { "surely" }];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for Wrong { path, label, said, score } in &evaluation.wrong {
        let score = if is_number { format!("{score:.4}") } else { format!("{:>6}", report::percent(*score)) };
        rows.push(vec![path.clone(), label.clone(), said.clone(), score]);
    }
    report::data(report::table(&rows))
}
