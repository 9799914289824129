//! A store as one table, for whatever reads Parquet, Arrow, CSV or NumPy's files.

use std::path::{Path, PathBuf};

use headstart_backbone::Progress;
use headstart_store::{SampleTable, Store, TableFormat};

use crate::error::{Error, io};
use crate::event::{Event, Events, Note, note};
use crate::files::{OutKind, atomic_file, check_out};
use crate::machine;

/// A table that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableWritten {
    /// Rows.
    pub n_samples: usize,
    /// Where the samples are, where the table itself has but embeddings.
    pub samples: Option<PathBuf>,
}

/// Writes every sample of a store and its embedding as a row of one file: Parquet, Arrow (`.arrow`, `.feather`), CSV or
/// NumPy's (`.npy`), by the file's ending. Of `.npy`, which holds the embeddings alone, the samples lie beside, in the
/// same order, as `<name>.samples.csv`.
///
/// The rows are those of the dataset that was last listed as a whole, each once, whatever lies in the store besides:
/// parts of shards and of killed runs, listings in the making. At most `max_memory` bytes of embeddings are held, by
/// default half of the machine's; where that is not enough the store is read several times.
///
/// # Errors
/// [`Error::TableFormat`] for another ending; [`Error::NoSamples`]; [`Error::MissingEmbeddings`]; [`Error::Store`],
/// [`Error::Io`].
pub fn write_table(
    store: &Store,
    out: impl AsRef<Path>,
    max_memory: Option<u64>,
    events: &mut Events<'_>,
) -> Result<TableWritten, Error> {
    let out = out.as_ref();
    let format = TableFormat::of_path(out).ok_or_else(|| Error::TableFormat { path: out.to_owned() })?;
    check_out(out, OutKind::Any)?;
    let table = store.samples()?;
    let n_samples = table.samples.len();
    if n_samples == 0 {
        return Err(Error::NoSamples { path: store.dir().to_owned() });
    }
    if let Some(newer) = store.unfinished()? {
        note(events, Note::NewerDataset { store: store.dir().to_owned(), missing: newer.to_string() });
    }
    let max_memory = max_memory.or_else(|| machine::memory_bytes().map(|it| it / 2)).unwrap_or(1 << 30);
    write_file(store, &table, format, max_memory, out, events)?;
    let samples = (format == TableFormat::Npy).then(|| out.with_extension("samples.csv"));
    if let Some(samples) = &samples {
        write_file(store, &table, TableFormat::SamplesCsv, max_memory, samples, events)?;
    }
    Ok(TableWritten { n_samples, samples })
}

fn write_file(
    store: &Store,
    table: &SampleTable,
    format: TableFormat,
    max_memory: u64,
    out: &Path,
    events: &mut Events<'_>,
) -> Result<(), Error> {
    let n_inputs = table.samples.len();
    let mut file = atomic_file(out)?;
    let mut progress = |n_done| {
        events(Event::Progress(Progress { n_inputs, n_done, ..Progress::default() }));
    };
    let missing = store.write_table(table, format, max_memory, &mut file, &mut progress)?;
    if let Some(first) = missing.first() {
        return Err(Error::MissingEmbeddings {
            n: missing.len(),
            n_samples: n_inputs,
            store: store.dir().to_owned(),
            first: table.samples[*first].path.clone(),
        });
    }
    file.commit().map_err(io("write", out))
}
