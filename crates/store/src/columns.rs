//! Columns of Parquet files that are not the store's own: manifests.

use std::fmt;
use std::fs::File;
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::ParquetMetaData;

use crate::error::{StoreError, io, parquet};
use crate::label::Label;
use crate::sample::or_damaged;

/// Longest text that a cell may have, in bytes.
pub const MAX_CELL_BYTES: usize = 32 << 10;

/// Most bytes that the columns of a file may unpack to: so many, and so many for each that they are packed in.
const MAX_UNPACKED_BYTES: u64 = 256 << 20;
const MAX_UNPACKED_RATIO: u64 = 256;

/// Most bytes that the rows that are unpacked at once should have.
const BATCH_BYTES: u64 = 32 << 20;
/// Most rows that are unpacked at once.
const BATCH_ROWS: u64 = 4096;

/// What stands in a row of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// A text, or a number as a text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
    /// A list of numbers; NaN where one is missing.
    Numbers(Vec<f64>),
    /// Texts that are longer than a cell may be: how many bytes.
    TooLong(usize),
}

impl Cell {
    /// The cell; or, of one that is longer than a limit, how long.
    #[must_use]
    pub fn within(self, max_bytes: usize) -> Self {
        let n_bytes = self.n_bytes();
        if n_bytes > max_bytes { Self::TooLong(n_bytes) } else { self }
    }

    fn n_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Texts(texts) => texts.iter().map(|it| it.len() + 1).sum(),
            Self::Numbers(numbers) => size_of_val(&numbers[..]),
            Self::TooLong(_) => 0,
        }
    }
}

/// As one text, where one is wanted: lists as labels are written.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Texts(texts) => Label::Classes(texts.clone()).fmt(f),
            Self::Numbers(numbers) => Label::Numbers(numbers.clone()).fmt(f),
            Self::TooLong(n_bytes) => write!(f, "({n_bytes} bytes)"),
        }
    }
}

/// Names of the columns of any Parquet file.
///
/// # Errors
/// [`StoreError::Io`] and [`StoreError::Parquet`] when the file does not read.
pub fn column_names(path: &Path) -> Result<Vec<String>, StoreError> {
    or_damaged(path, || {
        let schema = open(path)?.schema().clone();
        Ok(schema.fields().iter().map(|it| it.name().clone()).collect())
    })
}

/// Reads columns of any Parquet file: a row for every row, with a cell for every name, none where it is null.
///
/// Single numbers are written as Rust prints them. Other columns are not read. A cell has at most
/// [`MAX_CELL_BYTES`].
///
/// # Errors
/// [`StoreError::Io`] and [`StoreError::Parquet`] when the file does not read; [`StoreError::MissingColumn`];
/// [`StoreError::Unpacked`] where a small file says that it unpacks to more memory than any manifest needs.
pub fn read_columns(path: &Path, names: &[&str]) -> Result<Vec<Vec<Option<Cell>>>, StoreError> {
    let columns: Vec<(&str, usize)> = names.iter().map(|it| (*it, MAX_CELL_BYTES)).collect();
    read_columns_within(path, &columns)
}

/// As [`read_columns`], each with the most bytes that one of its cells may have.
///
/// # Errors
/// As [`read_columns`].
pub fn read_columns_within(
    path: &Path,
    columns: &[(&str, usize)],
) -> Result<Vec<Vec<Option<Cell>>>, StoreError> {
    or_damaged(path, || read_columns_unguarded(path, columns))
}

fn open(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>, StoreError> {
    let file = File::open(path).map_err(io("read", path))?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(parquet(path))
}

/// Texts are read as views: of one that many rows share, as a dictionary packs them, there is one.
fn open_views(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>, StoreError> {
    let file = File::open(path).map_err(io("read", path))?;
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(parquet(path))?;
    let fields = metadata.schema().fields().iter().map(|it| Field::clone(it));
    let fields: Vec<Field> = fields.map(|it| it.clone().with_data_type(of_views(it.data_type()))).collect();
    let options = ArrowReaderOptions::new().with_schema(std::sync::Arc::new(Schema::new(fields)));
    let metadata = ArrowReaderMetadata::try_new(std::sync::Arc::clone(metadata.metadata()), options);
    Ok(ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.map_err(parquet(path))?))
}

fn of_views(data_type: &DataType) -> DataType {
    let of_item = |it: &Field| std::sync::Arc::new(it.clone().with_data_type(of_views(it.data_type())));
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::Dictionary(_, values) => of_views(values),
        DataType::List(item) => DataType::List(of_item(item)),
        DataType::LargeList(item) => DataType::LargeList(of_item(item)),
        DataType::FixedSizeList(item, n) => DataType::FixedSizeList(of_item(item), *n),
        other => other.clone(),
    }
}

fn read_columns_unguarded(
    path: &Path,
    wanted: &[(&str, usize)],
) -> Result<Vec<Vec<Option<Cell>>>, StoreError> {
    let builder = open_views(path)?;
    let found: Vec<String> = builder.schema().fields().iter().map(|it| it.name().clone()).collect();
    let names: Vec<&str> = wanted.iter().map(|it| it.0).collect();
    if let Some(missing) = names.iter().find(|it| !found.iter().any(|name| name == *it)) {
        let column = (*missing).to_owned();
        return Err(StoreError::MissingColumn { path: path.to_owned(), column, found });
    }
    let roots = (0..found.len()).filter(|it| names.contains(&found[*it].as_str()));
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let limit = unpacked_limit(path)?;
    let batch_rows = rows_at_once(path, builder.metadata(), &mask, limit)?;
    let reader = builder.with_projection(mask).with_batch_size(batch_rows).build().map_err(parquet(path))?;
    let (mut rows, mut unpacked) = (Vec::new(), 0_u64);
    for batch in reader {
        let batch = batch.map_err(parquet(path))?;
        let columns = wanted.iter().map(|(name, max_bytes)| {
            let column = batch.column_by_name(name).expect("it was found");
            cells(column, *max_bytes).map_err(parquet(path)).map(Vec::into_iter)
        });
        let mut columns = columns.collect::<Result<Vec<_>, _>>()?;
        for _ in 0..batch.num_rows() {
            let row: Vec<Option<Cell>> = columns.iter_mut().map(|it| it.next().flatten()).collect();
            // The row itself counts, too: of nulls there may be millions in a few bytes.
            let of_cells = size_of::<Vec<Option<Cell>>>() + row.len() * size_of::<Option<Cell>>();
            let of_texts: usize = row.iter().flatten().map(Cell::n_bytes).sum();
            let of_row = (of_cells + of_texts) as u64;
            unpacked = u64::saturating_add(unpacked, of_row);
            rows.push(row);
        }
        // What a dictionary packs is not in what the file says of its size.
        if unpacked > limit {
            return Err(StoreError::Unpacked { path: path.to_owned(), unpacked, limit });
        }
    }
    Ok(rows)
}

/// Most bytes that the columns of a file may unpack to.
fn unpacked_limit(path: &Path) -> Result<u64, StoreError> {
    let packed = std::fs::metadata(path).map_err(io("read", path))?.len();
    Ok(MAX_UNPACKED_BYTES.saturating_add(MAX_UNPACKED_RATIO.saturating_mul(packed)))
}

/// How many rows to unpack at once, by what the file says of its columns; refuses what is made to fill a memory.
fn rows_at_once(
    path: &Path,
    metadata: &ParquetMetaData,
    mask: &ProjectionMask,
    limit: u64,
) -> Result<usize, StoreError> {
    let (mut unpacked, mut of_row) = (0_u64, 1);
    for group in metadata.row_groups() {
        let columns = group.columns().iter().enumerate().filter(|it| mask.leaf_included(it.0));
        let bytes = |it: i64| u64::try_from(it).unwrap_or(0);
        let of_group = columns.map(|it| bytes(it.1.uncompressed_size())).fold(0, u64::saturating_add);
        unpacked = unpacked.saturating_add(of_group);
        of_row = of_row.max(of_group / bytes(group.num_rows()).max(1));
    }
    if unpacked > limit {
        return Err(StoreError::Unpacked { path: path.to_owned(), unpacked, limit });
    }
    let rows = (BATCH_BYTES / of_row).clamp(1, BATCH_ROWS);
    Ok(usize::try_from(rows).unwrap_or(1))
}

/// What stands in each row of a column; nothing where it is null.
fn cells(column: &ArrayRef, max_bytes: usize) -> Result<Vec<Option<Cell>>, arrow::error::ArrowError> {
    let item = match column.data_type() {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => item.clone(),
        _ => {
            let texts = cast(column, &DataType::Utf8View)?;
            let texts = texts.as_string_view().iter();
            let cell = |it: &str| match it.len() {
                n if n > max_bytes => Cell::TooLong(n),
                _ => Cell::Text(it.to_owned()),
            };
            return Ok(texts.map(|it| it.map(cell)).collect());
        }
    };
    let is_number = item.data_type().is_numeric();
    let to = if is_number { DataType::Float64 } else { DataType::Utf8View };
    let lists = cast(column, &DataType::List(std::sync::Arc::new(item.as_ref().clone().with_data_type(to))))?;
    let lists = lists.as_list::<i32>().iter();
    let cell = |list: ArrayRef| match is_number {
        true => Cell::Numbers(
            list.as_primitive::<Float64Type>().iter().map(|it| it.unwrap_or(f64::NAN)).collect(),
        ),
        false => {
            let n_bytes = list.as_string_view().iter().flatten().map(|it| it.len() + 1).sum();
            if n_bytes > max_bytes {
                return Cell::TooLong(n_bytes);
            }
            Cell::Texts(list.as_string_view().iter().flatten().map(str::to_owned).collect())
        }
    };
    Ok(lists.map(|it| it.map(cell).map(|it| it.within(max_bytes))).collect())
}
