//! How a dataset is read, as arguments.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use headstart::{Dataset, DatasetConfig, InputKind, LabelFrom, kind_of};

/// How a dataset is read, where that is not plain.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "How the dataset is read")]
pub(crate) struct DatasetArgs {
    /// Which folder of an input is its label [default: the topmost, below splits].
    #[arg(long, value_name = "FOLDER", value_enum)]
    label_from: Option<FolderName>,
    /// Column of a manifest that holds the path [default: path, filename, image, …, whichever is there].
    #[arg(long, value_name = "NAME")]
    path_column: Option<String>,
    /// Column of a manifest that holds texts [default: text, sentence, question, …, whichever is there].
    #[arg(long, value_name = "NAME")]
    text_column: Option<String>,
    /// Columns of a manifest that hold the label [default: label, class, target, category, …]. Several make
    /// several targets; or, where all hold only yes and no, several labels.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    label_columns: Vec<String>,
    /// A text that says that there is no label; words like nan are none among numbers anyway.
    #[arg(long, value_name = "TEXT")]
    missing: Vec<String>,
    /// What a value of the split column stands for: 1=train, for instance.
    #[arg(long, value_name = "VALUE=SPLIT", value_parser = parse_split)]
    split_as: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FolderName {
    /// The topmost.
    Top,
    /// The one that it lies in.
    Parent,
    /// All of them.
    Path,
}

impl DatasetArgs {
    /// The dataset at a path, or from stdin where that is `-`; of inputs of a kind.
    pub(crate) fn open(&self, path: &Path, kind: InputKind) -> Result<Dataset> {
        if path == Path::new("-") {
            let mut list = Vec::new();
            std::io::stdin().lock().read_to_end(&mut list).context("cannot read the list on stdin")?;
            return Ok(Dataset::from_stdin(&list, kind)?);
        }
        ensure!(
            kind == InputKind::Text || self.text_column.is_none(),
            "--text-column is for models of texts; this one takes {}",
            kind.nouns()[1]
        );
        Ok(Dataset::open(path, &self.config(kind))?)
    }

    /// What the inputs of a dataset are, by a look at it; pictures on stdin.
    pub(crate) fn kind_of(&self, path: &Path) -> InputKind {
        if path == Path::new("-") {
            InputKind::Image
        } else {
            kind_of(path, &self.config(InputKind::default()))
        }
    }

    /// Refuses a dataset that is not there: to know what it holds takes a model.
    pub(crate) fn check(&self, path: &Path) -> Result<()> {
        if path != Path::new("-") && !path.exists() {
            Dataset::open(path, &DatasetConfig::default())?;
        }
        Ok(())
    }

    fn config(&self, kind: InputKind) -> DatasetConfig {
        DatasetConfig {
            kind,
            text_column: self.text_column.clone(),
            path_column: self.path_column.clone(),
            label_columns: self.label_columns.clone(),
            missing: self.missing.clone(),
            splits: self.split_as.iter().cloned().collect(),
            label_from: self.label_from.map(|it| match it {
                FolderName::Top => LabelFrom::Top,
                FolderName::Parent => LabelFrom::Parent,
                FolderName::Path => LabelFrom::Path,
            }),
        }
    }
}

fn parse_split(text: &str) -> Result<(String, String), String> {
    let (value, split) = text.rsplit_once('=').ok_or("expected VALUE=SPLIT")?;
    match split {
        "train" | "val" | "test" => Ok((value.to_owned(), split.to_owned())),
        _ => Err(format!("split `{split}` is none of train, val, test")),
    }
}
