//! Columns of tables by other hands: how much they may unpack to.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Int32Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
};
use arrow::datatypes::Int32Type;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::Folder;
use crate::{Cell, StoreError, read_columns};

/// A table of one column, written.
fn write(folder: &Folder, column: ArrayRef, n_times: usize) -> std::path::PathBuf {
    std::fs::create_dir_all(&folder.0).unwrap();
    let path = folder.0.join("a.parquet");
    let batch = RecordBatch::try_from_iter([("label", column)]).unwrap();
    let properties = WriterProperties::builder().set_dictionary_page_size_limit(64 << 20).build();
    let file = File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    for _ in 0..n_times {
        writer.write(&batch).unwrap();
    }
    writer.close().unwrap();
    path
}

/// Rows that all are one text, as a dictionary packs them.
fn one_text(n_bytes: usize, n_rows: usize) -> ArrayRef {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(n_bytes)]));
    Arc::new(DictionaryArray::<Int32Type>::new(Int32Array::from(vec![0; n_rows]), texts))
}

#[test]
fn every_kind_of_text_is_read() {
    let folder = Folder::new("kinds");
    let mut lists = ListBuilder::new(StringBuilder::new());
    lists.append_value([Some("a"), None, Some("b")]);
    lists.append_null();
    let text = |it: &str| Some(Cell::Text(it.to_owned()));
    let columns: [(ArrayRef, [Option<Cell>; 2]); 4] = [
        (Arc::new(StringArray::from(vec![Some("a"), None])), [text("a"), None]),
        (Arc::new(Int32Array::from(vec![Some(7), None])), [text("7"), None]),
        (
            Arc::new(vec![Some("a"), None].into_iter().collect::<DictionaryArray<Int32Type>>()),
            [text("a"), None],
        ),
        (Arc::new(lists.finish()), [Some(Cell::Texts(vec!["a".to_owned(), "b".to_owned()])), None]),
    ];
    for (column, expected) in columns {
        let path = write(&folder, column, 1);
        let rows: Vec<Option<Cell>> = read_columns(&path, &["label"]).unwrap().concat();
        assert_eq!(rows, expected);
    }
}

#[test]
fn a_dictionary_unpacks_to_no_more_than_its_file_may() {
    let folder = Folder::new("dictionary");
    // One text of 8 MB in 100,000 rows: too long for a cell, and never copied.
    let path = write(&folder, one_text(8 << 20, 50_000), 2);
    let rows = read_columns(&path, &["label"]).unwrap();
    assert!(rows.len() == 100_000 && rows.iter().all(|it| it[0] == Some(Cell::TooLong(8 << 20))));
    // One that is no longer than a cell may be, in rows that are 6 GB together.
    let path = write(&folder, one_text(30 << 10, 100_000), 2);
    let n_bytes = std::fs::metadata(&path).unwrap().len();
    assert!(n_bytes < 1 << 20, "a small file: {n_bytes}");
    let error = read_columns(&path, &["label"]).unwrap_err();
    assert!(matches!(error, StoreError::Unpacked { .. }), "{error}");
}
