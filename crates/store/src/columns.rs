//! Columns of Parquet files that are not the store's own: manifests.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::error::{StoreError, io, parquet};
use crate::sample::or_damaged;

/// What stands in a row of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// A text, or a number as a text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
    /// A list of numbers; NaN where one is missing.
    Numbers(Vec<f64>),
}

/// Reads columns of any Parquet file, one map a row.
///
/// Single numbers are written as Rust prints them, nulls are left out of their row, as are optional columns
/// that the file does not have.
///
/// # Errors
/// [`StoreError::Io`] and [`StoreError::Parquet`] when the file does not read;
/// [`StoreError::MissingColumn`] when a required column is not there.
pub fn read_columns(
    path: &Path,
    required: &[&str],
    optional: &[&str],
) -> Result<Vec<HashMap<String, Cell>>, StoreError> {
    or_damaged(path, || read_columns_unguarded(path, required, optional))
}

fn read_columns_unguarded(
    path: &Path,
    required: &[&str],
    optional: &[&str],
) -> Result<Vec<HashMap<String, Cell>>, StoreError> {
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
            for (row, cell) in cells(column).map_err(parquet(path))?.into_iter().enumerate() {
                rows[first_row + row].extend(cell.map(|it| ((*name).to_owned(), it)));
            }
        }
    }
    Ok(rows)
}

/// What stands in each row of a column; nothing where it is null.
fn cells(column: &ArrayRef) -> Result<Vec<Option<Cell>>, arrow::error::ArrowError> {
    let item = match column.data_type() {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => item.clone(),
        _ => {
            let texts = cast(column, &DataType::Utf8)?;
            let texts = texts.as_string::<i32>().iter();
            return Ok(texts.map(|it| it.map(|it| Cell::Text(it.to_owned()))).collect());
        }
    };
    let is_number = item.data_type().is_numeric();
    let to = if is_number { DataType::Float64 } else { DataType::Utf8 };
    let lists = cast(column, &DataType::List(std::sync::Arc::new(item.as_ref().clone().with_data_type(to))))?;
    let lists = lists.as_list::<i32>().iter();
    let cell = |list: ArrayRef| match is_number {
        true => Cell::Numbers(
            list.as_primitive::<Float64Type>().iter().map(|it| it.unwrap_or(f64::NAN)).collect(),
        ),
        false => Cell::Texts(list.as_string::<i32>().iter().flatten().map(str::to_owned).collect()),
    };
    Ok(lists.map(|it| it.map(cell)).collect())
}
