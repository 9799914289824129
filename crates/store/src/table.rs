//! One table of a store: a row a sample with its embedding, in a file that any reader takes as it is.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch, StringArray};
use arrow::csv::WriterBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::writer::FileWriter;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::digest::Digest;
use crate::error::StoreError;
use crate::sample::{self, Sample, SampleTable};
use crate::store::{Store, gather};

/// Bytes of embeddings that are turned into columns at once.
const BATCH_BYTES: usize = 8 << 20;

/// What a table is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// Parquet, with the embedding as a list.
    Parquet,
    /// Arrow's file format (Feather), with the embedding as a list.
    Arrow,
    /// Text, with a column for every feature: `f0`, `f1`, …
    Csv,
    /// Text, without embeddings.
    SamplesCsv,
    /// NumPy's file format: the embeddings alone, `(n_samples, n_features)`.
    Npy,
}

impl TableFormat {
    /// The format that a file's ending stands for.
    #[must_use]
    pub fn of_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_lowercase().as_str() {
            "parquet" => Some(Self::Parquet),
            "arrow" | "feather" => Some(Self::Arrow),
            "csv" => Some(Self::Csv),
            "npy" => Some(Self::Npy),
            _ => None,
        }
    }

    fn has_lists(self) -> bool {
        matches!(self, Self::Parquet | Self::Arrow)
    }
}

impl Store {
    /// Writes the samples of a listing and their embeddings as one table: a row a sample, in their order.
    ///
    /// Columns are `path`, `label`, in lists also `labels` and `targets`, `split`, `group`, `digest` (hexadecimal) and
    /// the embedding; a sample without an embedding has none, in NumPy's format NaNs. Parquet and Arrow name the model
    /// and its fingerprint in their metadata.
    ///
    /// The store is read as often as the embeddings of all samples take more memory than `max_bytes`. `visit` is told
    /// how many samples are written.
    ///
    /// Returns the indices of samples without an embedding.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Parquet`], [`StoreError::Damaged`] as for [`scan`](Self::scan);
    /// [`StoreError::Table`] when `out` cannot be written.
    pub fn write_table(
        &self,
        table: &SampleTable,
        format: TableFormat,
        max_bytes: u64,
        out: &mut (dyn Write + Send),
        visit: &mut dyn FnMut(usize),
    ) -> Result<Vec<usize>, StoreError> {
        let n_features = self.space().n_features;
        let mut sink = Sink::new(self, table, format, out)?;
        if format == TableFormat::SamplesCsv {
            sink.write(&table.samples, &[], &[])?;
            visit(table.samples.len());
            sink.finish()?;
            return Ok(Vec::new());
        }
        let scan = self.scan()?;
        let row_bytes = size_of::<f32>() * n_features;
        let at_once = usize::try_from(max_bytes).unwrap_or(usize::MAX) / row_bytes.max(1);
        let batch_rows = (BATCH_BYTES / row_bytes.max(1)).max(1);
        let (mut missing, mut n_written) = (Vec::new(), 0);
        for samples in table.samples.chunks(at_once.clamp(1, table.samples.len().max(1))) {
            let digests: Vec<Digest> = samples.iter().map(|it| it.digest).collect();
            let rows = gather(&digests, scan.batches(), n_features, f32::NAN)?;
            let mut is_here = vec![true; samples.len()];
            rows.missing.iter().for_each(|it| is_here[*it] = false);
            missing.extend(rows.missing.iter().map(|it| n_written + it));
            let rows = rows.values.chunks(batch_rows * n_features).zip(is_here.chunks(batch_rows));
            for (samples, (values, is_here)) in samples.chunks(batch_rows).zip(rows) {
                sink.write(samples, values, is_here)?;
                n_written += samples.len();
                visit(n_written);
            }
        }
        sink.finish()?;
        Ok(missing)
    }
}

/// What rows are written to.
struct Sink<'a> {
    format: TableFormat,
    schema: SchemaRef,
    n_features: usize,
    writer: Writer<'a>,
}

enum Writer<'a> {
    Parquet(Box<ArrowWriter<&'a mut (dyn Write + Send)>>),
    Arrow(Box<FileWriter<&'a mut (dyn Write + Send)>>),
    Csv(Box<arrow::csv::Writer<&'a mut (dyn Write + Send)>>),
    Npy(&'a mut (dyn Write + Send)),
}

fn failed(err: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Table { source: err.into() }
}

impl<'a> Sink<'a> {
    fn new(
        store: &Store,
        table: &SampleTable,
        format: TableFormat,
        out: &'a mut (dyn Write + Send),
    ) -> Result<Self, StoreError> {
        let space = store.space();
        let n_features = space.n_features;
        let [model, fingerprint] = space.key_values();
        let metadata = [model, fingerprint, ("headstart.root", table.root.clone())];
        let fields = columns(&[], &[], &[], n_features, format).map_err(failed)?;
        let fields: Vec<Field> = fields
            .iter()
            .map(|(name, it)| Field::new(name, it.data_type().clone(), name != "path"))
            .collect();
        let schema = Schema::new(fields);
        let of_schema: HashMap<String, String> =
            metadata.iter().map(|it| (it.0.to_owned(), it.1.clone())).collect();
        let schema = Arc::new(schema.with_metadata(of_schema));
        let writer = match format {
            TableFormat::Parquet => {
                // A writer holds the rows of a group.
                let group_rows = (4 * BATCH_BYTES / (size_of::<f32>() * n_features).max(1)).max(1);
                let properties = WriterProperties::builder()
                    .set_max_row_group_row_count(Some(group_rows))
                    .set_compression(Compression::SNAPPY)
                    .set_column_dictionary_enabled("digest".into(), false)
                    .set_column_dictionary_enabled("embedding.list.item".into(), false)
                    .set_key_value_metadata(Some(
                        metadata.into_iter().map(|it| KeyValue::new(it.0.to_owned(), it.1)).collect(),
                    ))
                    .build();
                let writer = ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties));
                Writer::Parquet(Box::new(writer.map_err(failed)?))
            }
            TableFormat::Arrow => Writer::Arrow(Box::new(FileWriter::try_new(out, &schema).map_err(failed)?)),
            TableFormat::Csv | TableFormat::SamplesCsv => {
                Writer::Csv(Box::new(WriterBuilder::new().with_header(true).build(out)))
            }
            TableFormat::Npy => {
                write_npy_header(out, [table.samples.len(), n_features]).map_err(failed)?;
                Writer::Npy(out)
            }
        };
        let mut sink = Self { format, schema, n_features, writer };
        // A table without a row has its header all the same.
        sink.write(&[], &[], &[])?;
        Ok(sink)
    }

    /// Rows of samples and embeddings; of one that is not here the values are NaN.
    fn write(&mut self, samples: &[Sample], values: &[f32], is_here: &[bool]) -> Result<(), StoreError> {
        if let Writer::Npy(out) = &mut self.writer {
            let bytes: Vec<u8> = values.iter().flat_map(|it| it.to_le_bytes()).collect();
            return out.write_all(&bytes).map_err(failed);
        }
        let columns = columns(samples, values, is_here, self.n_features, self.format).map_err(failed)?;
        let columns = columns.into_iter().map(|it| it.1).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(failed)?;
        match &mut self.writer {
            Writer::Parquet(writer) => writer.write(&batch).map_err(failed),
            Writer::Arrow(writer) => writer.write(&batch).map_err(failed),
            Writer::Csv(writer) => writer.write(&batch).map_err(failed),
            Writer::Npy(_) => Ok(()),
        }
    }

    fn finish(self) -> Result<(), StoreError> {
        match self.writer {
            Writer::Parquet(writer) => writer.close().map(drop).map_err(failed),
            Writer::Arrow(mut writer) => writer.finish().map_err(failed),
            Writer::Csv(_) | Writer::Npy(_) => Ok(()),
        }
    }
}

/// The columns of a table, with their names.
fn columns(
    samples: &[Sample],
    values: &[f32],
    is_here: &[bool],
    n_features: usize,
    format: TableFormat,
) -> Result<Vec<(String, ArrayRef)>, arrow::error::ArrowError> {
    let text = |get: fn(&Sample) -> Option<String>| -> ArrayRef {
        Arc::new(samples.iter().map(get).collect::<StringArray>())
    };
    let label = match format.has_lists() {
        true => sample::class_column(samples),
        // As it is typed: what is read back is what was written.
        false => text(|it| it.label.as_ref().map(ToString::to_string)),
    };
    let mut columns = vec![("path", text(|it| Some(it.path.clone()))), ("label", label)];
    if format.has_lists() {
        columns.extend([("labels", sample::labels(samples)), ("targets", sample::targets(samples))]);
    }
    columns.extend([
        ("split", text(|it| it.split.clone())),
        ("group", text(|it| it.group.clone())),
        ("digest", text(|it| Some(it.digest.to_string()))),
    ]);
    let mut columns: Vec<(String, ArrayRef)> =
        columns.into_iter().map(|(name, it)| (name.to_owned(), it)).collect();
    match format {
        TableFormat::Parquet | TableFormat::Arrow => {
            let item = Arc::new(Field::new("item", DataType::Float32, false));
            let width = i32::try_from(n_features).unwrap_or(i32::MAX);
            let values = Arc::new(Float32Array::from(values.to_vec()));
            let lists = FixedSizeListArray::try_new(item, width, values, Some(is_here.to_vec().into()))?;
            columns.push(("embedding".to_owned(), Arc::new(lists)));
        }
        TableFormat::Csv => columns.extend((0..n_features).map(|feature| {
            let column = values.chunks_exact(n_features).zip(is_here);
            let column = column.map(|(row, is_here)| is_here.then(|| row[feature]));
            (format!("f{feature}"), Arc::new(column.collect::<Float32Array>()) as ArrayRef)
        })),
        TableFormat::SamplesCsv | TableFormat::Npy => {}
    }
    Ok(columns)
}

/// The header of an array of little-endian f32, row-major.
///
/// Source: `numpy/lib/format.py`, version 1.0: magic, length, a Python dictionary, padded to 64 bytes.
fn write_npy_header(out: &mut dyn Write, [n_rows, n_columns]: [usize; 2]) -> io::Result<()> {
    const BEFORE: usize = 10;
    let dictionary =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n_rows}, {n_columns}), }}");
    let length = (BEFORE + dictionary.len() + 1).next_multiple_of(64) - BEFORE;
    out.write_all(b"\x93NUMPY\x01\x00")?;
    out.write_all(&u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes())?;
    out.write_all(format!("{dictionary:<width$}\n", width = length - 1).as_bytes())
}
