//! Embeddings in Parquet: `digest: FixedSizeBinary(32)`, `embedding: FixedSizeList<Float32>`.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, FixedSizeBinaryArray, FixedSizeListArray, Float32Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Float32Type, Schema, SchemaRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::digest::Digest;
use crate::error::{StoreError, parquet};
use crate::file;
use crate::space::EmbeddingSpace;

/// Hexadecimal digits of the hash in a part's name.
const HASH_DIGITS: usize = 32;

/// Bytes of a row group: what a writer holds in memory, and a reader at a time.
const ROW_GROUP_BYTES: usize = 4 << 20;

/// Some embeddings of a store.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingBatch {
    /// What each row is filed under.
    pub digests: Vec<Digest>,
    /// `(n_digests, n_features)`, row-major.
    pub rows: Vec<f32>,
}

/// Writes one part.
pub(crate) struct PartWriter {
    writer: ArrowWriter<File>,
    schema: SchemaRef,
    n_features: i32,
}

impl PartWriter {
    pub(crate) fn new(file: File, path: &Path, space: &EmbeddingSpace) -> Result<Self, StoreError> {
        let n_features = i32::try_from(space.n_features).unwrap_or(i32::MAX);
        let item = Arc::new(Field::new("item", DataType::Float32, false));
        let schema = Arc::new(Schema::new(vec![
            Field::new("digest", DataType::FixedSizeBinary(32), false),
            Field::new("embedding", DataType::FixedSizeList(item, n_features), false),
        ]));
        let row_bytes = 32 + 4 * n_features.unsigned_abs() as usize;
        // Floats neither compress nor repeat: plain pages are the fastest to write and to read.
        let properties = WriterProperties::builder()
            .set_compression(Compression::UNCOMPRESSED)
            .set_dictionary_enabled(false)
            .set_statistics_enabled(parquet::file::properties::EnabledStatistics::None)
            .set_max_row_group_row_count(Some((ROW_GROUP_BYTES / row_bytes).max(1)))
            .set_key_value_metadata(Some(
                space.key_values().into_iter().map(|it| KeyValue::new(it.0.to_owned(), it.1)).collect(),
            ))
            .build();
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties)).map_err(parquet(path))?;
        Ok(Self { writer, schema, n_features })
    }

    pub(crate) fn write(&mut self, path: &Path, digests: &[Digest], rows: &[f32]) -> Result<(), StoreError> {
        if digests.is_empty() {
            return Ok(());
        }
        let digests: Vec<&[u8]> = digests.iter().map(|it| it.0.as_slice()).collect();
        let digests = FixedSizeBinaryArray::try_from(digests).map_err(parquet(path))?;
        let item = Arc::new(Field::new("item", DataType::Float32, false));
        let values = Arc::new(Float32Array::from(rows.to_vec()));
        let rows = FixedSizeListArray::try_new(item, self.n_features, values, None).map_err(parquet(path))?;
        let batch = RecordBatch::try_new(self.schema.clone(), vec![Arc::new(digests), Arc::new(rows)]);
        self.writer.write(&batch.map_err(parquet(path))?).map_err(parquet(path))
    }

    /// Writes the footer and hands the file back, to be synced.
    pub(crate) fn finish(self, path: &Path) -> Result<File, StoreError> {
        self.writer.into_inner().map_err(parquet(path))
    }
}

/// The name of a part whose bytes have this hash.
pub(crate) fn name(hash: &str) -> String {
    format!("part-{}.parquet", &hash[..HASH_DIGITS])
}

/// Refuses a part whose bytes are not those it is named after. Parts written by other programs have
/// other names and are taken as they are.
pub(crate) fn check(path: &Path) -> Result<(), StoreError> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let is_hash = |it: &&str| it.len() == HASH_DIGITS && it.bytes().all(|it| it.is_ascii_hexdigit());
    match stem.strip_prefix("part-").filter(is_hash) {
        Some(expected) if !file::hash(path)?.starts_with(expected) => {
            Err(StoreError::Damaged { path: path.to_owned() })
        }
        _ => Ok(()),
    }
}

/// The digests of a part, in row order; its embeddings are not read.
pub(crate) fn read_digests(path: &Path) -> Result<Vec<Digest>, StoreError> {
    check(path)?;
    let mut digests = Vec::new();
    for batch in reader(path, 1 << 16, &["digest"])? {
        let batch = batch.map_err(parquet(path))?;
        digests.extend(digest_column(&batch, path)?);
    }
    Ok(digests)
}

/// The rows of a part, some at a time; its bytes are not checked.
pub(crate) fn read_batches(
    path: &Path,
    n_features: usize,
) -> Result<impl Iterator<Item = Result<EmbeddingBatch, StoreError>> + use<>, StoreError> {
    let batch_rows = (ROW_GROUP_BYTES / (32 + 4 * n_features)).clamp(1, 8192);
    let path = path.to_owned();
    let batches = reader(&path, batch_rows, &["digest", "embedding"])?;
    Ok(batches.map(move |batch| {
        let batch = batch.map_err(parquet(&path))?;
        let digests = digest_column(&batch, &path)?;
        let lists = batch.column_by_name("embedding").and_then(|it| it.as_fixed_size_list_opt());
        let lists = lists.ok_or_else(|| missing(&path, "embedding", &batch))?;
        let actual = lists.value_length().unsigned_abs() as usize;
        if actual != n_features {
            return Err(StoreError::FeatureCountMismatch { expected: n_features, actual });
        }
        let values = lists.values().as_primitive_opt::<Float32Type>();
        let values = values.ok_or_else(|| missing(&path, "embedding", &batch))?;
        // A list may be a slice of a longer buffer.
        let start = lists.value_offset_at(0);
        Ok(EmbeddingBatch {
            digests,
            rows: values.values()[start..start + lists.len() * n_features].to_vec(),
        })
    }))
}

fn reader(
    path: &Path,
    batch_rows: usize,
    columns: &[&str],
) -> Result<parquet::arrow::arrow_reader::ParquetRecordBatchReader, StoreError> {
    let file = File::open(path).map_err(crate::error::io("read", path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(parquet(path))?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    builder.with_projection(mask).with_batch_size(batch_rows).build().map_err(parquet(path))
}

fn digest_column(batch: &RecordBatch, path: &Path) -> Result<Vec<Digest>, StoreError> {
    let column = batch.column_by_name("digest").and_then(|it| it.as_fixed_size_binary_opt());
    let column = column.filter(|it| it.value_length() == 32);
    let column = column.ok_or_else(|| missing(path, "digest", batch))?;
    Ok(column.iter().flatten().map(|it| Digest(it.try_into().expect("32 bytes"))).collect())
}

fn missing(path: &Path, column: &str, batch: &RecordBatch) -> StoreError {
    let found = batch.schema().fields().iter().map(|it| it.name().clone()).collect();
    StoreError::MissingColumn { path: path.to_owned(), column: column.to_owned(), found }
}
