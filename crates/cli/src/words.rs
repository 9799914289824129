//! Notes and values in words.

use headstart::head::Epoch;
use headstart::input::{ImageRecipe, Recipe};
use headstart::{Layout, Note};

use crate::report::{bytes, percent};

const NO_DRIVER: &str = "there is no NVIDIA driver, or it does not answer (version 525 or newer is needed): the \
                         libraries alone do not make CUDA work";
const UNCHECKED: &str =
    "nothing says whether what is there is whole, and it could not be got again: it is left as it is";
const NUMBERS: &str = "all labels are numbers: predicting numbers (--task classification predicts classes)";
const SEVERAL: &str = "labels are joined by `|`: a sample may have several (--task classification makes each \
                       combination a class)";
const COMBINATIONS: &str =
    "labels are several numbers each: every combination is a class (--head linear predicts numbers)";
const ON_EDGE: &str = "warning: the best alpha is at an end of the grid; --alphas may reach further";

/// A note in one line.
pub(crate) fn note(note: &Note) -> String {
    match note {
        Note::DeviceChosen { device, reason } => format!("device {device}: {reason}"),
        Note::DescribedBy { model, path } => format!("{model}: described by {}", path.display()),
        Note::FedAs { model, recipe, tap } => format!(
            "{model}: images are fed as {}\n{model}: cut at `{}`, pooling {}",
            self::recipe(recipe),
            tap.tensor,
            tap.pool
        ),
        Note::DefaultModel { model } => format!(
            "model {model}: a small distilled default that sees 96×96 pixels; --model names a larger one"
        ),
        Note::Getting { package, version } => format!("getting {package} {version} through pip"),
        Note::RuntimeDamaged { reason } => format!("{reason}; getting it again"),
        Note::NoDriver => NO_DRIVER.to_owned(),
        Note::BuildFailed { build, reason } => format!("{build}: {reason}"),
        Note::RuntimeUnchecked => UNCHECKED.to_owned(),
        note => of_samples(note),
    }
}

/// A note of a fit or of an evaluation.
fn of_samples(note: &Note) -> String {
    match note {
        Note::Unlabelled { n } => format!("{n} samples without a label are left out"),
        Note::NewerDataset { store, missing } => format!(
            "{} has a newer dataset in the making, which is not used; shards are missing of {missing}",
            store.display()
        ),
        Note::SplitIgnored { n, example } => {
            format!("{n} samples are left out: `{example}`, for one, is none of train, val, test")
        }
        Note::LabelsAreNumbers => NUMBERS.to_owned(),
        Note::LabelsAreSeveral => SEVERAL.to_owned(),
        Note::CombinationsAreClasses => COMBINATIONS.to_owned(),
        Note::WarmStart { n_new, n_samples, new_labels } => {
            let new = match &new_labels[..] {
                [] => "no label is new".to_owned(),
                labels => format!("new labels: {}", labels.join(", ")),
            };
            format!("warm start: {n_new} of {n_samples} samples are new, {new}")
        }
        Note::ReadFromStore { n_samples, needed_bytes, limit_bytes, n_in_memory } => format!(
            "{} would take {}, more than the {} they may (--max-memory): the store is read again for every pass; \
             {n_in_memory} samples are in memory, to choose alpha on",
            if *n_samples == 1 { "1 sample".to_owned() } else { format!("{n_samples} samples") },
            bytes(*needed_bytes),
            bytes(*limit_bytes),
        ),
        Note::DefaultAlpha { reason, alpha } => format!("{reason}; alpha is {alpha} then"),
        Note::AlphaOnEdge { .. } => ON_EDGE.to_owned(),
        Note::RareLabels { min_support, threshold, labels } => format!(
            "fewer than {min_support} samples have these labels, which are given from probability {threshold} on \
             then: {}",
            labels.join(", ")
        ),
        Note::DefaultThresholds { reason, threshold } => {
            format!("{reason}; labels are given from probability {threshold} on then")
        }
        Note::BestEpoch { epoch } => format!("epoch {epoch} was best"),
        Note::HeldOutTrainedOn { n, n_held_out } => format!(
            "warning: {n} of {n_held_out} held-out samples are files or groups that the head was trained on too"
        ),
        Note::BaselineWins { baseline, accuracy, of_head } => {
            format!("warning: {baseline}: {}, more than the head's {}", percent(*accuracy), percent(*of_head))
        }
        Note::JudgedTrainedOn { n, n_samples } => {
            format!("the head was trained on {n} of these {n_samples} samples (or on their groups)")
        }
        Note::UnknownLabels { n, n_samples, example } => format!(
            "warning: {n} of {n_samples} samples have labels that the head does not know, `{example}` for one: they \
             count as wrong"
        ),
        other => format!("{other:?}"),
    }
}

/// An epoch of a hidden layer's training.
pub(crate) fn epoch(epoch: &Epoch) -> String {
    let score = |loss: f64, accuracy: Option<f64>| match accuracy {
        Some(accuracy) => format!("loss {loss:.4}, accuracy {}", percent(accuracy)),
        None => format!("loss {loss:.4}"),
    };
    let trained = score(epoch.loss, epoch.accuracy);
    match epoch.validation_loss {
        Some(loss) => {
            let held_out = score(loss, epoch.validation_accuracy);
            format!("epoch {:>3}: {trained}; early stopping's share: {held_out}", epoch.epoch)
        }
        None => format!("epoch {:>3}: {trained}", epoch.epoch),
    }
}

/// Splits and classes of a folder's pictures.
pub(crate) fn layout(layout: &Layout) -> String {
    let Layout { splits, classes, n_unlabelled } = layout;
    let mut text = match classes.len() {
        0 => "no classes (pictures lie in no folder of their own)".to_owned(),
        n => {
            let some: Vec<&str> = classes.iter().take(5).map(String::as_str).collect();
            format!("{n} classes ({}{})", some.join(", "), if n > 5 { ", …" } else { "" })
        }
    };
    if !splits.is_empty() {
        text = format!("splits {}; {text}", splits.join(", "));
    }
    if *n_unlabelled > 0 && !classes.is_empty() {
        text = format!("{text}; {n_unlabelled} pictures without a class");
    }
    text
}

/// How inputs are fed, in one line.
fn recipe(recipe: &Recipe) -> String {
    let Recipe::Image(recipe) = recipe;
    let ImageRecipe { short_side, filter, channels, mean, std, background, .. } = recipe;
    let [height, width] = recipe.size;
    let geometry = match short_side {
        Some(side) => format!("short side {side}, centre crop {height}×{width}"),
        None => format!("squeezed to {height}×{width}"),
    };
    let range = if recipe.unit_range { "/255" } else { "0–255" };
    let jpeg = if recipe.scaled_jpeg { ", large JPEGs decoded at a fraction of their size" } else { "" };
    let orientation = if recipe.orientation { "applied" } else { "ignored" };
    let [filter, channels, background] =
        [format!("{filter:?}"), format!("{channels:?}"), format!("{background:?}")]
            .map(|it| it.to_lowercase());
    format!(
        "{geometry}, {filter}, {channels} {range}, mean {mean:?}, std {std:?}, transparent pixels over {background}, \
         EXIF orientation {orientation}{jpeg}"
    )
}
