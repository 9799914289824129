//! Notes in words: in the program's own, flags and all, so that every face of it says the same.

use std::collections::BTreeMap;
use std::fmt;

use headstart_backbone::Remarks;
use headstart_input::{Filling, InputKind, Recipe};

use crate::error::clip;
use crate::event::Note;
use crate::machine::bytes_in_words;

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

/// In one line, but for how a model is fed, which is two.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&of_model(self))
    }
}

/// What there is to say of what was done to inputs, a line each; `recipe` is what the inputs were prepared by.
#[must_use]
pub fn remarks_in_words(remarks: &Remarks, recipe: &Recipe) -> Vec<String> {
    let of = |n: usize, one: &str, several: &str| match n {
        1 => format!("1 {one}"),
        n => format!("{n} {several}"),
    };
    let mut lines = Vec::new();
    if let (n @ 1.., Recipe::Text(text)) = (remarks.n_cut, recipe) {
        let (texts, most) = (of(n, "text has", "texts have"), text.n_tokens());
        let longest = if n == 1 { "it has" } else { "the longest has" };
        let cut = if n == 1 { "was" } else { "were" };
        lines.push(format!(
            "warning: {texts} more than {most} tokens and {cut} cut ({longest} {}); max-tokens sets how many",
            remarks.longest
        ));
    }
    let Recipe::Audio(audio) = recipe else { return lines };
    if remarks.n_damaged > 0 {
        let sounds = of(remarks.n_damaged, "sound", "sounds");
        lines.push(format!("warning: parts of {sounds} did not decode, or end too early; they are left out"));
    }
    if remarks.n_upsampled > 0 {
        let sounds = of(remarks.n_upsampled, "sound has", "sounds have");
        let (lowest, rate) = (remarks.lowest_rate, audio.sample_rate);
        lines.push(format!(
            "warning: {sounds} a lower rate than the model's {rate} Hz (down to {lowest} Hz): what is above half of that is not there"
        ));
    }
    if remarks.n_short > 0 {
        let sounds = of(remarks.n_short, "sound is", "sounds are");
        let with = if audio.short == Filling::Zeros { "filled up with silence" } else { "repeated" };
        let window = audio.n_window() as f64 / f64::from(audio.sample_rate);
        lines.push(format!("{sounds} shorter than a window of {window} s, and {with}"));
    }
    if remarks.n_silent > 0 {
        lines.push(format!("warning: {} silent", of(remarks.n_silent, "sound is", "sounds are")));
    }
    lines
}

/// A note of a model or a device.
fn of_model(note: &Note) -> String {
    match note {
        Note::DeviceChosen { device, reason } => format!("device {device}: {reason}"),
        Note::DescribedBy { model, path } => format!("{model}: described by {}", path.display()),
        Note::FedAs { model, recipe, tap, normalize } => format!(
            "{model}: {} are fed as {recipe}\n{model}: cut at `{}`, pooling {}{}",
            recipe.kind().nouns()[1],
            tap.tensor,
            tap.pool,
            if *normalize { ", rows of length 1" } else { "" }
        ),
        Note::FedOtherwise { model, registered } => {
            format!("warning: {model} was trained on inputs that are fed otherwise, as {registered}")
        }
        Note::RescalesItself { model, operator, constant } => format!(
            "warning: {model} begins with {operator} by {constant}: it may be made for grey levels (--levels), not for \
             pixels of 0–1"
        ),
        Note::NoClassifier { model, output, n_features } => format!(
            "{model}: no classifier found; its output `{output}` ({n_features} numbers) is the embedding; --tap names \
             another"
        ),
        Note::DefaultModel { model } => format!(
            "model {model}: a small distilled default that sees 96×96 pixels; --model names a larger one"
        ),
        Note::Getting { package, version } => format!("getting {package} {version} through pip"),
        Note::RuntimeDamaged { reason } => format!("{reason}; getting it again"),
        Note::NoDriver => NO_DRIVER.to_owned(),
        Note::BuildFailed { build, reason } => format!("{build}: {reason}"),
        Note::RuntimeUnchecked => UNCHECKED.to_owned(),
        note => of_dataset(note),
    }
}

/// A note of a dataset.
fn of_dataset(note: &Note) -> String {
    let counts =
        |it: &BTreeMap<String, usize>| it.iter().map(|(name, n)| format!("{n} {name}")).collect::<Vec<_>>();
    match note {
        Note::FormatsNotRead { input_kind, formats } => format!(
            "warning: {} of formats that are not read: {}; convert them to {}",
            input_kind.nouns()[1],
            counts(formats).join(", "),
            if *input_kind == InputKind::Audio { "WAV or FLAC" } else { "JPEG or PNG" }
        ),
        Note::ManifestsAreSplits { manifests } => format!("splits that are read: {}", manifests.join(", ")),
        Note::EmptyFolders { folders } => {
            format!("warning: folders with nothing in them, which become no class: {}", some_of(folders))
        }
        Note::OneFolder { folder } => format!("all inputs lie in {folder}: what lies in that counts"),
        Note::FoldersAreFolds { folders } => format!(
            "{} hold the same folders: taken for folds, all of which are used (a manifest can name splits)",
            folders.join(", ")
        ),
        Note::LabelIsTop { folder, label } => format!(
            "inputs in {folder} have the label `{label}`, the topmost folder (--label-from parent or path)"
        ),
        Note::SpellingsMerged { classes } => {
            format!(
                "written in two forms of Unicode that look alike, and taken for one: {}",
                classes.join(", ")
            )
        }
        Note::ColumnsTaken { columns } => format!("columns that are read: {}", columns.join(", ")),
        Note::NotASplit { column, value } => format!(
            "column `{}` is not read: {:?} names no split; --split-as {}=train says that it does",
            clip(column),
            clip(value),
            clip(value)
        ),
        Note::TableReadAs { delimiter, is_utf16 } => format!(
            "a table of {} with {delimiter:?} between fields",
            if *is_utf16 { "UTF-16" } else { "UTF-8" }
        ),
        Note::ColumnsAreLabels { columns } => {
            format!("{} hold only yes and no: each is a label that a sample may have", columns.join(", "))
        }
        Note::MissingNumbers { words } => {
            format!(
                "in a column of numbers these are none, and such rows have no label: {}",
                counts(words).join(", ")
            )
        }
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
        Note::ConstantLabels { n_samples, labels } => format!(
            "warning: all {n_samples} training samples have these labels, which are given always and not fitted: {}",
            labels.join(", ")
        ),
        Note::OneSample { labels } => {
            format!("warning: only one training sample each is of {}", some_of(labels))
        }
        Note::NumbersAreClasses { n_classes } => format!(
            "all labels are numbers, and taken for {n_classes} classes (--head linear, or --task regression with --head \
             mlp, predicts numbers)"
        ),
        Note::NotAllNumbers { n_numbers, n_samples, path, label } => format!(
            "warning: {n_numbers} of {n_samples} labels are numbers, but that of {path} is `{}`: all are taken for \
             classes (--missing names what says that there is no label)",
            clip(label)
        ),
        Note::SameBytesOtherLabels { n, example: [(a, of_a), (b, of_b)] } => format!(
            "warning: {n} samples have another label than an equal file: {a} is `{}`, {b} is `{}`",
            clip(of_a),
            clip(of_b)
        ),
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
            bytes_in_words(*needed_bytes),
            bytes_in_words(*limit_bytes),
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
            "warning: {n} of {n_samples} samples have labels that the head does not know, `{}` for one: they count \
             as wrong",
            clip(example)
        ),
        other => format!("{other:?}"),
    }
}

/// The first of many names.
fn some_of(names: &[String]) -> String {
    let some: Vec<String> = names.iter().take(5).map(|it| clip(it)).collect();
    format!("{}{}", some.join(", "), if names.len() > 5 { ", …" } else { "" })
}

fn percent(share: f64) -> String {
    format!("{:.1}%", 100.0 * share)
}
