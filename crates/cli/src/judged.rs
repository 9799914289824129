//! What a head is worth, in words.

use headstart::Judged;
use headstart::head::{ClassificationReport, MultilabelReport};

use crate::report;

/// Labels up to which each gets a line of its own.
const MAX_LABELS: usize = 20;

/// The figures in one line.
pub(crate) fn one_line(judged: &Judged, what: &str) -> String {
    match judged {
        Judged::Classes(it) => format!(
            "{} {what}: accuracy {} (95% interval {}–{}), macro-F1 {:.3}, log-loss {:.3}; always `{}`: {}",
            it.n_samples,
            report::percent(it.accuracy),
            report::percent(it.accuracy_interval[0]),
            report::percent(it.accuracy_interval[1]),
            it.macro_f1,
            it.log_loss,
            it.majority_class,
            report::percent(it.majority_accuracy),
        ),
        Judged::Labels(it) => format!(
            "{} {what}: mean average precision {}, micro-F1 {:.3}, macro-F1 {:.3}, all labels right {}, log-loss {:.3}",
            it.n_samples,
            report::percent(it.mean_average_precision),
            it.micro_f1,
            it.macro_f1,
            report::percent(it.exact_match),
            it.log_loss,
        ),
        Judged::Numbers(it) => format!(
            "{} {what}: mean absolute error {:.4}, root mean squared error {:.4}, R² {:.4}",
            it.n_samples, it.mae, it.rmse, it.r2
        ),
    }
}

/// The line above, and the confusion matrix or a line a label where it fits a screen.
pub(crate) fn describe(judged: &Judged, what: &str) -> String {
    let line = one_line(judged, what);
    match judged {
        Judged::Classes(it) if it.labels.len() <= MAX_LABELS => format!("{line}\n{}", confusion(it)),
        Judged::Labels(it) if it.labels.len() <= MAX_LABELS => format!("{line}\n{}", by_label(it)),
        _ => line,
    }
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
