//! The main job from nothing: pictures, texts or sounds; embeddings, a head, predictions, one file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use headstart::Places;
use headstart_head::HeadModel;
use headstart_store::Store;

use crate::{headstart_setup, program_in, root, say, sentences, shapes, target, tones};

/// Inputs of each class that are fitted on.
const N_TRAIN: usize = 60;
/// Inputs of each class that judge the result.
const N_VALIDATION: usize = 25;

struct Options {
    dataset: Option<PathBuf>,
    model: Option<String>,
    out: PathBuf,
    made: Made,
}

/// What is made by code, where no dataset is named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    Pictures,
    Texts,
    Sounds,
}

impl Made {
    fn make(self, folder: &Path, n_each: usize, seed: u64) -> Result<()> {
        match self {
            Self::Pictures => shapes::draw(folder, n_each, seed),
            Self::Texts => sentences::write(folder, n_each, seed),
            Self::Sounds => tones::make(folder, n_each, seed),
        }
    }

    fn nouns(self) -> &'static str {
        match self {
            Self::Pictures => "pictures",
            Self::Texts => "texts",
            Self::Sounds => "sounds",
        }
    }

    fn n_classes(self) -> usize {
        match self {
            Self::Pictures => shapes::CLASSES.len(),
            Self::Texts => sentences::CLASSES.len(),
            Self::Sounds => tones::CLASSES.len(),
        }
    }
}

/// `demo [--text | --audio] [--dataset DIR] [--model ID] [--out DIR]`.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    let options = parse(arguments)?;
    main_job(&options, &places())
}

/// Where models are: as the environment says, and real weights beside the repository.
fn places() -> Places {
    let mut places = Places::from_environment();
    let shared = root().join("../shared/models");
    if shared.is_dir() && places.model_folders.is_empty() {
        places.model_folders.push(shared);
    }
    places
}

fn main_job(options: &Options, places: &Places) -> Result<()> {
    let out = &options.out;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    heading("Setting up");
    headstart_setup()?;
    let (dataset, unseen) = match &options.dataset {
        Some(dataset) => (dataset.clone(), None),
        None => {
            let nouns = options.made.nouns();
            heading(&format!("Making {nouns}"));
            let (dataset, unseen) = (out.join(nouns), out.join("unseen"));
            for (folder, n_each, seed) in [
                (dataset.join("train"), N_TRAIN, 1),
                (dataset.join("val"), N_VALIDATION, 2),
                (unseen.clone(), 3, 3),
            ] {
                options.made.make(&folder, n_each, seed)?;
            }
            say(&format!("{} classes in {}", options.made.n_classes(), dataset.display()));
            (dataset, Some(text(&unseen)))
        }
    };
    let (store, head, onnx) = (out.join("store"), out.join("demo.head"), out.join("demo.onnx"));
    let (dataset, store, head, onnx) = (text(&dataset), text(&store), text(&head), text(&onnx));
    let headstart = |arguments: &[&str]| {
        let mut arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        if let (Some(model), "extract" | "export") =
            (&options.model, arguments[0].to_str().unwrap_or_default())
        {
            arguments.extend(["--model", model].map(OsString::from));
        }
        // That some inputs fail does not stop what follows.
        let went_on = [ExitCode::SUCCESS, ExitCode::from(1)].contains(&program_in(&arguments, places));
        ensure!(went_on, "`headstart {}` failed", arguments[0].to_string_lossy());
        Ok(())
    };
    heading("Extracting embeddings");
    headstart(&["extract", &dataset, "--store", &store])?;
    heading("Fitting a head");
    headstart(&["fit-head", "--store", &store, "--out", &head])?;
    heading("Judging it by what it has not seen");
    headstart(&["eval", "--store", &store, "--head", &head])?;
    heading("Exporting one file, and predicting with nothing else");
    headstart(&["export", "--head", &head, "--out", &onnx])?;
    let mut predict = vec!["predict".to_owned(), "--model".to_owned(), onnx.clone()];
    match unseen {
        Some(unseen) => predict.push(unseen),
        None => predict.extend(unseen_inputs(Path::new(&store), Path::new(&head))?),
    }
    let predict: Vec<OsString> = predict.iter().map(OsString::from).collect();
    ensure!(program_in(&predict, places) == ExitCode::SUCCESS, "`headstart predict` failed");
    heading("What there is now");
    for (what, place) in [
        (options.made.nouns(), &dataset),
        ("embeddings (Parquet)", &store),
        ("head (safetensors)", &head),
        ("backbone + head (ONNX)", &onnx),
    ] {
        say(&format!("{what:<24}{place}"));
    }
    Ok(())
}

fn heading(text: &str) {
    say(&format!("\n{text}\n{}", "-".repeat(text.chars().count())));
}

/// An input of each class (of the first twelve) that the head was not fitted on.
fn unseen_inputs(store: &Path, head: &Path) -> Result<Vec<String>> {
    let head = HeadModel::from_bytes(&std::fs::read(head)?)?;
    let table = Store::open(store)?.samples()?;
    let mut of_class = BTreeMap::new();
    for sample in &table.samples {
        let identity = u64::from_le_bytes(*sample.digest.0.first_chunk().context("a digest is longer")?);
        if head.trained_on.binary_search(&identity).is_err() {
            of_class
                .entry(sample.label.as_ref().map(ToString::to_string))
                .or_insert_with(|| Path::new(&table.root).join(&sample.path));
        }
    }
    ensure!(!of_class.is_empty(), "no input was held out");
    Ok(of_class.into_values().take(12).map(|it| it.to_string_lossy().into_owned()).collect())
}

fn parse(arguments: &[OsString]) -> Result<Options> {
    let mut options =
        Options { dataset: None, model: None, out: target().join("demo"), made: Made::Pictures };
    let mut arguments = arguments.iter();
    while let Some(name) = arguments.next() {
        let made = match name.to_str() {
            Some("--text") => Some(Made::Texts),
            Some("--audio") => Some(Made::Sounds),
            _ => None,
        };
        if let Some(made) = made {
            options.made = made;
            continue;
        }
        let value = arguments.next().with_context(|| format!("{} needs a value", name.to_string_lossy()))?;
        match name.to_string_lossy().as_ref() {
            "--dataset" => options.dataset = Some(PathBuf::from(value)),
            "--model" => options.model = Some(value.to_string_lossy().into_owned()),
            "--out" => options.out = PathBuf::from(value),
            other => bail!("no option `{other}`; expected --text, --audio, --dataset, --model, --out"),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use headstart_head::argmax;
    use headstart_store::{Label, Sample};
    use ndarray::Array2;

    use super::*;

    /// Share of the held-out inputs that the demo's head gets right.
    fn accuracy(made: Made, out: &Path) -> f64 {
        let options = Options { dataset: None, model: None, out: out.to_owned(), made };
        main_job(&options, &places()).expect("it goes through");
        let store = Store::open(&out.join("store")).expect("a store");
        let head = std::fs::read(out.join("demo.head")).expect("a head");
        let head = HeadModel::from_bytes(&head).expect("it reads");
        let mut samples = store.samples().expect("samples").samples;
        samples.retain(|it| it.split.as_deref() == Some("val"));
        let digests: Vec<_> = samples.iter().map(|it| it.digest).collect();
        let rows = store.load(&digests).expect("rows").values;
        let x = Array2::from_shape_vec((samples.len(), store.space().n_features), rows).expect("its shape");
        let probabilities = head.predict(x.view()).expect("it fits");
        let rows = probabilities.rows().into_iter().zip(&samples);
        let label = |row: usize| head.metadata.outputs.labels[row].as_str();
        let class =
            |it: &Sample| if let Some(Label::Class(it)) = &it.label { Some(it.clone()) } else { None };
        let hits =
            rows.filter(|(row, it)| Some(label(argmax(row.iter().copied())).to_owned()) == class(it)).count();
        assert_eq!(samples.len(), made.n_classes() * N_VALIDATION);
        assert!(out.join("demo.onnx").is_file());
        hits as f64 / samples.len() as f64
    }

    /// Measured: 98% of 100 (80% with random weights), and probes vary by a few points.
    #[test]
    fn the_demo_learns_what_the_compiled_in_backbone_can_teach() {
        let folder = tempfile::tempdir().expect("a folder");
        let accuracy = accuracy(Made::Pictures, folder.path());
        assert!(accuracy >= 0.85, "{accuracy}");
    }

    #[test]
    fn the_demo_learns_texts() {
        let folder = tempfile::tempdir().expect("a folder");
        let accuracy = accuracy(Made::Texts, folder.path());
        assert!(accuracy >= 0.85, "{accuracy}");
    }

    #[test]
    fn the_demo_learns_sounds() {
        let folder = tempfile::tempdir().expect("a folder");
        let accuracy = accuracy(Made::Sounds, folder.path());
        assert!(accuracy >= 0.85, "{accuracy}");
    }

    /// A folder as people have them: splits of other names, a file that is no picture, one that is broken.
    #[test]
    fn the_demo_goes_through_a_folder_that_is_not_tidy() {
        let folder = tempfile::tempdir().expect("a folder");
        let dataset = folder.path().join("photos");
        shapes::draw(&dataset.join("train"), 6, 1).expect("drawn");
        shapes::draw(&dataset.join("valid"), 2, 2).expect("drawn");
        std::fs::write(dataset.join("valid/circle/.DS_Store"), "no picture").expect("written");
        std::fs::write(dataset.join("train/cross/broken.png"), "no picture").expect("written");
        let out = folder.path().join("out");
        let options = Options { dataset: Some(dataset), model: None, out: out.clone(), made: Made::Pictures };
        main_job(&options, &places()).expect("it goes through");
        let unseen = unseen_inputs(&out.join("store"), &out.join("demo.head")).expect("pictures");
        assert_eq!(unseen.len(), shapes::CLASSES.len());
        assert!(unseen.iter().all(|it| it.contains("/valid/") && Path::new(it).is_file()), "{unseen:?}");
    }
}
