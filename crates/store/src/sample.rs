//! Samples: which files there are, how they are labelled, and which embedding is theirs.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, Float64Builder, Int64Array, ListBuilder, RecordBatch,
    StringArray, StringBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::digest::Digest;
use crate::error::{StoreError, io, parquet};
use crate::file;
use crate::label::Label;

const ROOT_KEY: &str = "headstart.root";
const CHECKSUM_KEY: &str = "headstart.blake3";

/// Rows that are turned into columns at once.
const BATCH_ROWS: usize = 4096;

/// One row of the samples table.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Path as the dataset names it: relative to a folder or manifest, else as given.
    pub path: String,
    /// What it is known to be.
    pub label: Option<Label>,
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
#[derive(Debug, Clone, Default, PartialEq)]
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
        ("label", class_column(samples), true),
        ("labels", labels(samples), true),
        ("targets", targets(samples), true),
        ("split", text(|it| it.split.as_deref()), true),
        ("group", text(|it| it.group.as_deref()), true),
        ("digest", Arc::new(digests.map_err(parquet(path))?) as ArrayRef, false),
        ("size", number(|it| it.stat.size.cast_signed()), false),
        ("mtime_ns", number(|it| it.stat.mtime_ns), false),
        ("ctime_ns", number(|it| it.stat.ctime_ns), false),
    ])
    .map_err(parquet(path))
}

/// The classes of samples that have one, null for others.
pub(crate) fn class_column(samples: &[Sample]) -> ArrayRef {
    let class = |it: &Sample| if let Some(Label::Class(it)) = &it.label { Some(it.clone()) } else { None };
    Arc::new(samples.iter().map(class).collect::<StringArray>())
}

/// The labels of samples that may have several, null for others.
pub(crate) fn labels(samples: &[Sample]) -> ArrayRef {
    let item = Field::new("item", DataType::Utf8, false);
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(Arc::new(item));
    for sample in samples {
        let classes = if let Some(Label::Classes(it)) = &sample.label { Some(it) } else { None };
        classes.into_iter().flatten().for_each(|it| builder.values().append_value(it));
        builder.append(classes.is_some());
    }
    Arc::new(builder.finish())
}

/// The numbers of samples that have some, null for others.
pub(crate) fn targets(samples: &[Sample]) -> ArrayRef {
    let item = Field::new("item", DataType::Float64, false);
    let mut builder = ListBuilder::new(Float64Builder::new()).with_field(Arc::new(item));
    for sample in samples {
        let numbers = if let Some(Label::Numbers(it)) = &sample.label { Some(it) } else { None };
        numbers.into_iter().flatten().for_each(|it| builder.values().append_value(*it));
        builder.append(numbers.is_some());
    }
    Arc::new(builder.finish())
}

/// Reads samples; also whether their labels are typed, which they are not in files of before.
pub(crate) fn read(path: &Path) -> Result<(SampleTable, bool), StoreError> {
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
pub(crate) fn or_damaged<T>(
    path: &Path,
    read: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let damaged = StoreError::Damaged { path: path.to_owned() };
    catch_unwind(AssertUnwindSafe(read)).unwrap_or(Err(damaged))
}

fn read_unguarded(path: &Path) -> Result<(SampleTable, bool), StoreError> {
    let file = File::open(path).map_err(io("read", path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(parquet(path))?;
    let (root, expected) = (value_of(&builder, ROOT_KEY), value_of(&builder, CHECKSUM_KEY));
    let (mut samples, mut is_typed) = (Vec::new(), true);
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
        // Stores of before have but the text.
        let list = |name, item: DataType| {
            let list = DataType::List(Arc::new(Field::new("item", item, true)));
            batch.column_by_name(name).map(|it| cast(it, &list).map_err(parquet(path))).transpose()
        };
        let (several, targets) = (list("labels", DataType::Utf8)?, list("targets", DataType::Float64)?);
        is_typed &= several.is_some() && targets.is_some();
        let optional = |array: &ArrayRef, row: usize| {
            let array = array.as_string::<i32>();
            array.is_valid(row).then(|| array.value(row).to_owned())
        };
        for row in 0..batch.num_rows() {
            let integer = |array: &ArrayRef| array.as_primitive::<Int64Type>().value(row);
            samples.push(Sample {
                path: optional(&paths, row).unwrap_or_default(),
                label: label(optional(&labels, row), several.as_ref(), targets.as_ref(), row),
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
    Ok((SampleTable { root: root.unwrap_or_default(), samples }, is_typed))
}

/// The label of a row, whichever column has it.
fn label(
    class: Option<String>,
    several: Option<&ArrayRef>,
    targets: Option<&ArrayRef>,
    row: usize,
) -> Option<Label> {
    let of_row = |it: Option<&ArrayRef>| {
        Some(it?.as_list::<i32>()).filter(|it| it.is_valid(row)).map(|it| it.value(row))
    };
    if let Some(classes) = of_row(several) {
        let classes = classes.as_string::<i32>().iter().flatten().map(str::to_owned);
        return Some(Label::Classes(classes.collect()));
    }
    if let Some(numbers) = of_row(targets) {
        let numbers = numbers.as_primitive::<Float64Type>().iter().flatten();
        return Some(Label::Numbers(numbers.collect()));
    }
    class.map(Label::Class)
}

/// BLAKE3 of everything in the rows, each field with its length before it.
fn checksum(samples: &[Sample]) -> String {
    let mut hasher = blake3::Hasher::new();
    for Sample { path, label, split, group, digest, stat } in samples {
        let text = |it: Option<&String>, hasher: &mut blake3::Hasher| {
            let length = it.map_or(u64::MAX, |it| it.len() as u64);
            hasher.update(&length.to_le_bytes()).update(it.map_or(&[], |it| it.as_bytes()));
        };
        text(Some(path), &mut hasher);
        Label::identify(label.as_ref(), &mut |bytes| {
            hasher.update(bytes);
        });
        text(split.as_ref(), &mut hasher);
        text(group.as_ref(), &mut hasher);
        hasher.update(&digest.0).update(&stat.size.to_le_bytes());
        hasher.update(&stat.mtime_ns.to_le_bytes()).update(&stat.ctime_ns.to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}
