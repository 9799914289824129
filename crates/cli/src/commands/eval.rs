//! `headstart eval`: how good a head is on samples of a store.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use headstart::{Samples, judge, read_head};
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
        listener.add_to(&mut value);
        report::data(serde_json::to_string_pretty(&value)?)?;
    } else {
        let what = format!("samples of `{}`", evaluation.split);
        report::data(judged::describe(&evaluation.judged, &what))?;
    }
    Ok(Ended::Good)
}
