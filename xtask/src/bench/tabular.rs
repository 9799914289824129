//! Coefficients on real tables, against scikit-learn run to 1e-10.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use headstart_head::{LogisticConfig, Scaler, fit_logistic};
use ndarray::{Array2, Axis};
use serde_json::{Value, json};

use crate::{python, root, say};

/// Largest difference of a coefficient, relative to the largest coefficient, on each classification set.
pub(crate) fn coefficient_errors() -> Result<Vec<Value>> {
    let folder = root().join("../shared/datasets/tabular");
    ensure!(folder.is_dir(), "the benchmark needs the tables of {}", folder.display());
    let script = root().join("tests/python/tabular.py");
    let output = Command::new(python::prepare()?).arg(script).arg(&folder).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut errors = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let answer: Value = serde_json::from_str(line)?;
        let Some(theirs) = answer["coef"].as_array() else { continue };
        let name = answer["set"].as_str().context("a name")?;
        let theirs: Vec<Vec<f64>> = serde_json::from_value(json!(theirs))?;
        let (x, y) = table(&folder.join(name).join("train.csv"))?;
        let x = Scaler::fit(x.view()).transform(x.view());
        let n_classes = y.iter().max().context("samples")? + 1;
        let config = LogisticConfig { tolerance: 1e-9, gap_tolerance: 1e-12, ..LogisticConfig::default() };
        let fit = fit_logistic(x.view(), &y, n_classes, None, &config)?;
        // scikit-learn gives two classes one row, the difference of our two columns.
        let ours = match theirs.len() {
            1 => (&fit.coef.column(1) - &fit.coef.column(0)).insert_axis(Axis(1)),
            _ => fit.coef,
        };
        let largest = theirs.iter().flatten().fold(0.0_f64, |a, b| a.max(b.abs()));
        let difference = |((row, column), it): ((usize, usize), &f64)| (it - theirs[column][row]).abs();
        let error = ours.indexed_iter().map(difference).fold(0.0_f64, f64::max) / largest;
        say(&format!("{name}: coefficients within {error:.1e} of scikit-learn's"));
        errors.push(json!({"set": name, "coef_error": error}));
    }
    Ok(errors)
}

/// Features and classes of a CSV whose last column is the class.
fn table(path: &Path) -> Result<(Array2<f64>, Vec<usize>)> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for line in text.lines().skip(1) {
        let (features, class) = line.rsplit_once(',').context("a comma")?;
        x.extend(features.split(',').map(|it| it.trim().parse::<f64>()).collect::<Result<Vec<_>, _>>()?);
        y.push(class.trim().trim_end_matches(".0").parse()?);
    }
    Ok((Array2::from_shape_vec((y.len(), x.len() / y.len()), x)?, y))
}
