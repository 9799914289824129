//! What a head is worth, in words.

use headstart::Judged;
use headstart::head::{ClassificationReport, MultilabelReport};

use crate::report;

/// Labels up to which each gets a line of its own.
const MAX_LABELS: usize = 20;

/// Pairs of classes, and classes, that are told of many.
const N_WORST: usize = 10;

/// What was asked for, in one line: how good it is.
pub(crate) fn verdict(judged: &Judged, what: &str) -> String {
    match judged {
        Judged::Classes(it) => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
            let n_right = (it.accuracy * it.n_samples as f64).round() as usize;
            let [low, high] = it.accuracy_interval.map(report::whole_percent);
            format!(
                "right on {n_right} of {} {what}: {}; between {low} and {high} is likely (always `{}`: {})",
                it.n_samples,
                report::percent(it.accuracy),
                it.majority_class,
                report::percent(it.majority_accuracy),
            )
        }
        Judged::Labels(it) => format!(
            "{} {what}: mean average precision {}, all labels right on {}",
            it.n_samples,
            report::percent(it.mean_average_precision),
            report::percent(it.exact_match),
        ),
        Judged::Numbers(it) => {
            format!("off by {:.4} on average on {} {what} (R² {:.4})", it.mae, it.n_samples, it.r2)
        }
    }
}

/// The other figures, in one line.
pub(crate) fn figures(judged: &Judged) -> String {
    match judged {
        Judged::Classes(it) => format!("macro-F1 {:.3}, log-loss {:.3}", it.macro_f1, it.log_loss),
        Judged::Labels(it) => {
            format!("micro-F1 {:.3}, macro-F1 {:.3}, log-loss {:.3}", it.micro_f1, it.macro_f1, it.log_loss)
        }
        Judged::Numbers(it) => format!("root mean squared error {:.4}", it.rmse),
    }
}

/// What it confuses: all of it, or a line a label, where that fits a screen; else the worst.
pub(crate) fn table(judged: &Judged) -> Option<String> {
    match judged {
        Judged::Classes(it) if it.labels.len() <= MAX_LABELS => Some(confusion(it)),
        Judged::Classes(it) => Some(worst(it)),
        Judged::Labels(it) if it.labels.len() <= MAX_LABELS => Some(by_label(it)),
        Judged::Labels(_) | Judged::Numbers(_) => None,
    }
}

/// The pairs that are confused most often, and the classes that are found least often.
fn worst(it: &ClassificationReport) -> String {
    let mut pairs: Vec<(u64, usize, usize)> = Vec::new();
    for (truth, counts) in it.confusion.iter().enumerate() {
        pairs.extend(
            counts.iter().enumerate().filter(|it| it.0 != truth && *it.1 > 0).map(|it| (*it.1, truth, it.0)),
        );
    }
    pairs.sort_by_key(|it| (std::cmp::Reverse(it.0), it.1, it.2));
    let mut rows = vec![vec!["most confused".to_owned(), "taken for".to_owned(), "times".to_owned()]];
    let row = |(n, truth, said): &(u64, usize, usize)| {
        vec![it.labels[*truth].clone(), it.labels[*said].clone(), format!("{n:>5}")]
    };
    rows.extend(pairs.iter().take(N_WORST).map(row));
    let count = |truth: usize| it.confusion[truth].iter().sum::<u64>();
    let mut classes: Vec<usize> = (0..it.labels.len()).filter(|it| count(*it) > 0).collect();
    let recall = |truth: usize| it.confusion[truth][truth] as f64 / count(truth) as f64;
    classes.sort_by(|a, b| recall(*a).total_cmp(&recall(*b)));
    let mut recalls = vec![vec!["least often found".to_owned(), "recall".to_owned(), "samples".to_owned()]];
    let row = |truth: &usize| {
        let (recall, n) = (report::percent(recall(*truth)), count(*truth));
        vec![it.labels[*truth].clone(), format!("{recall:>6}"), format!("{n:>7}")]
    };
    recalls.extend(classes.iter().take(N_WORST).map(row));
    format!("{}\n{}", report::table(&rows), report::table(&recalls))
}

fn by_label(report: &MultilabelReport) -> String {
    let titles = ["label", "samples", "precision", "recall", "F1", "average precision", "from"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    let cell = |title: usize, text: String| format!("{text:>width$}", width = titles[title].len());
    for it in &report.labels {
        let precision = it.average_precision.map_or("none".to_owned(), report::percent);
        rows.push(vec![
            it.label.clone(),
            cell(1, it.support.to_string()),
            cell(2, report::percent(it.precision)),
            cell(3, report::percent(it.recall)),
            format!("{:.3}", it.f1),
            cell(5, precision),
            format!("{:.3}", it.threshold),
        ]);
    }
    report::table(&rows)
}

fn confusion(it: &ClassificationReport) -> String {
    let cut = |it: &str| it.chars().take(12).collect::<String>();
    let width = it.confusion.iter().flatten().map(|n| n.to_string().len()).max().unwrap_or(1);
    let widths: Vec<usize> = it.labels.iter().map(|it| cut(it).chars().count().max(width)).collect();
    let mut rows = vec![vec!["true \\ predicted".to_owned()]];
    rows[0].extend(it.labels.iter().zip(&widths).map(|(it, width)| format!("{:>width$}", cut(it))));
    for (label, counts) in it.labels.iter().zip(&it.confusion) {
        let mut row = vec![label.clone()];
        row.extend(counts.iter().zip(&widths).map(|(n, width)| format!("{n:>width$}")));
        rows.push(row);
    }
    report::table(&rows)
}
