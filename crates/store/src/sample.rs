//! Samples: which files there are, how they are labelled, and which embedding is theirs.

use std::collections::HashMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::digest::Digest;
use crate::error::{StoreError, io, parquet};
use crate::file;

const ROOT_KEY: &str = "headstart.root";
const CHECKSUM_KEY: &str = "headstart.blake3";

/// Rows that are turned into columns at once.
const BATCH_ROWS: usize = 4096;

/// One row of the samples table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Path as the dataset names it: relative to a folder or manifest, else as given.
    pub path: String,
    /// Class, number, or several of either, as the dataset wrote it.
    pub label: Option<String>,
    /// `train`, `val`, `test`, or any other name the dataset uses.
    pub split: Option<String>,
    /// Samples of one group (patient, video, …) must not be separated by a split.
    pub group: Option<String>,
    /// Which embedding is this sample's.
    pub digest: Digest,
    /// What the file looked like when its digest was taken.
    pub stat: FileStat,
}

/// What tells an unchanged file from a changed one without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStat {
    /// Length in bytes.
    pub size: u64,
    /// Time of the last change of content, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Time of the last change of content or inode (Unix), else equal to `mtime_ns`; a program can set
    /// `mtime` back, but not this.
    pub ctime_ns: i64,
}

/// The samples of a store and the folder their paths are relative to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SampleTable {
    /// Absolute folder of the dataset; stats are trusted only for the same folder.
    pub root: String,
    /// The samples, in listing order.
    pub samples: Vec<Sample>,
}

pub(crate) fn write(path: &Path, owner: &str, table: &SampleTable) -> Result<(), StoreError> {
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
    // Values that hardly ever repeat: collecting the different ones would only take memory.
    let properties = ["path", "digest", "size", "mtime_ns", "ctime_ns"]
        .into_iter()
        .fold(properties, |it, column| it.set_column_dictionary_enabled(column.into(), false))
        .build();
    let temporary = file::temporary(path, owner);
    let out = File::create(&temporary).map_err(io("write", &temporary))?;
    let schema = to_batch(&[], path)?.schema();
    let mut writer = ArrowWriter::try_new(out, schema, Some(properties)).map_err(parquet(path))?;
    writer.append_key_value_metadata(KeyValue::new(ROOT_KEY.to_owned(), table.root.clone()));
    writer.append_key_value_metadata(KeyValue::new(CHECKSUM_KEY.to_owned(), checksum(&table.samples)));
    for samples in table.samples.chunks(BATCH_ROWS) {
        writer.write(&to_batch(samples, path)?).map_err(parquet(path))?;
    }
    let out = writer.into_inner().map_err(parquet(path))?;
    file::commit(out, &temporary, path)
}

fn to_batch(samples: &[Sample], path: &Path) -> Result<RecordBatch, StoreError> {
    let text = |get: fn(&Sample) -> Option<&str>| -> ArrayRef {
        Arc::new(samples.iter().map(get).collect::<StringArray>())
    };
    let number =
        |get: fn(&Sample) -> i64| -> ArrayRef { Arc::new(samples.iter().map(get).collect::<Int64Array>()) };
    let digests = FixedSizeBinaryArray::try_from_sparse_iter_with_size(
        samples.iter().map(|it| Some(it.digest.0.as_slice())),
        32,
    );
    RecordBatch::try_from_iter_with_nullable([
        ("path", text(|it| Some(&it.path)), false),
        ("label", text(|it| it.label.as_deref()), true),
        ("split", text(|it| it.split.as_deref()), true),
        ("group", text(|it| it.group.as_deref()), true),
        ("digest", Arc::new(digests.map_err(parquet(path))?) as ArrayRef, false),
        ("size", number(|it| it.stat.size.cast_signed()), false),
        ("mtime_ns", number(|it| it.stat.mtime_ns), false),
        ("ctime_ns", number(|it| it.stat.ctime_ns), false),
    ])
    .map_err(parquet(path))
}

pub(crate) fn read(path: &Path) -> Result<SampleTable, StoreError> {
    or_damaged(path, || read_unguarded(path))
}

/// The folder that the samples of a file are relative to.
pub(crate) fn read_root(path: &Path) -> Result<String, StoreError> {
    or_damaged(path, || {
        let file = File::open(path).map_err(io("read", path))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(parquet(path))?;
        Ok(value_of(&builder, ROOT_KEY).unwrap_or_default())
    })
}

fn value_of(builder: &ParquetRecordBatchReaderBuilder<File>, key: &str) -> Option<String> {
    let metadata = builder.metadata().file_metadata().key_value_metadata()?;
    metadata.iter().find(|it| it.key == key)?.value.clone()
}

/// Runs a read of Parquet; its decoder was not written for damaged files, and divides by their zeros.
fn or_damaged<T>(path: &Path, read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let damaged = StoreError::Damaged { path: path.to_owned() };
    catch_unwind(AssertUnwindSafe(read)).unwrap_or(Err(damaged))
}

fn read_unguarded(path: &Path) -> Result<SampleTable, StoreError> {
    let file = File::open(path).map_err(io("read", path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(parquet(path))?;
    let (root, expected) = (value_of(&builder, ROOT_KEY), value_of(&builder, CHECKSUM_KEY));
    let mut samples = Vec::new();
    for batch in builder.build().map_err(parquet(path))? {
        let batch = batch.map_err(parquet(path))?;
        let column = |name: &str| {
            batch.column_by_name(name).ok_or_else(|| StoreError::MissingColumn {
                path: path.to_owned(),
                column: name.to_owned(),
                found: batch.schema().fields().iter().map(|it| it.name().clone()).collect(),
            })
        };
        // Another writer may have chosen another text or integer type: cast, do not assume.
        let text = |name| cast(column(name)?, &DataType::Utf8).map_err(parquet(path));
        let number = |name| cast(column(name)?, &DataType::Int64).map_err(parquet(path));
        let digest = cast(column("digest")?, &DataType::FixedSizeBinary(32)).map_err(parquet(path))?;
        let (paths, labels, splits, groups) = (text("path")?, text("label")?, text("split")?, text("group")?);
        let (sizes, mtimes, ctimes) = (number("size")?, number("mtime_ns")?, number("ctime_ns")?);
        let optional = |array: &ArrayRef, row: usize| {
            let array = array.as_string::<i32>();
            array.is_valid(row).then(|| array.value(row).to_owned())
        };
        for row in 0..batch.num_rows() {
            let integer = |array: &ArrayRef| array.as_primitive::<Int64Type>().value(row);
            samples.push(Sample {
                path: optional(&paths, row).unwrap_or_default(),
                label: optional(&labels, row),
                split: optional(&splits, row),
                group: optional(&groups, row),
                digest: Digest(digest.as_fixed_size_binary().value(row).try_into().expect("32 bytes")),
                stat: FileStat {
                    size: integer(&sizes).cast_unsigned(),
                    mtime_ns: integer(&mtimes),
                    ctime_ns: integer(&ctimes),
                },
            });
        }
    }
    // Tables written by other programs have no checksum and are taken as they are.
    if expected.is_some_and(|it| it != checksum(&samples)) {
        return Err(StoreError::Damaged { path: path.to_owned() });
    }
    Ok(SampleTable { root: root.unwrap_or_default(), samples })
}

/// BLAKE3 of everything in the rows, each field with its length before it.
fn checksum(samples: &[Sample]) -> String {
    let mut hasher = blake3::Hasher::new();
    for Sample { path, label, split, group, digest, stat } in samples {
        for text in [Some(path), label.as_ref(), split.as_ref(), group.as_ref()] {
            let length = text.map_or(u64::MAX, |it| it.len() as u64);
            hasher.update(&length.to_le_bytes()).update(text.map_or(&[], |it| it.as_bytes()));
        }
        hasher.update(&digest.0).update(&stat.size.to_le_bytes());
        hasher.update(&stat.mtime_ns.to_le_bytes()).update(&stat.ctime_ns.to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Reads columns of any Parquet file as text, one map a row.
///
/// For manifests: numbers are written as Rust prints them, nulls are left out of their row, as are
/// optional columns that the file does not have.
///
/// # Errors
/// [`StoreError::Io`] and [`StoreError::Parquet`] when the file does not read;
/// [`StoreError::MissingColumn`] when a required column is not there.
pub fn read_text_columns(
    path: &Path,
    required: &[&str],
    optional: &[&str],
) -> Result<Vec<HashMap<String, String>>, StoreError> {
    or_damaged(path, || read_text_columns_unguarded(path, required, optional))
}

fn read_text_columns_unguarded(
    path: &Path,
    required: &[&str],
    optional: &[&str],
) -> Result<Vec<HashMap<String, String>>, StoreError> {
    let file = File::open(path).map_err(io("read", path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(parquet(path))?;
    let found: Vec<String> = builder.schema().fields().iter().map(|it| it.name().clone()).collect();
    if let Some(missing) = required.iter().find(|it| !found.iter().any(|name| name == *it)) {
        let column = (*missing).to_owned();
        return Err(StoreError::MissingColumn { path: path.to_owned(), column, found });
    }
    let mut rows = Vec::new();
    for batch in builder.build().map_err(parquet(path))? {
        let batch = batch.map_err(parquet(path))?;
        let first_row = rows.len();
        rows.resize_with(first_row + batch.num_rows(), HashMap::new);
        for name in required.iter().chain(optional) {
            let Some(column) = batch.column_by_name(name) else {
                continue;
            };
            let text = cast(column, &DataType::Utf8).map_err(parquet(path))?;
            let text = text.as_string::<i32>();
            for row in (0..batch.num_rows()).filter(|row| text.is_valid(*row)) {
                rows[first_row + row].insert((*name).to_owned(), text.value(row).to_owned());
            }
        }
    }
    Ok(rows)
}
