//! Manifests.

use std::collections::BTreeMap;

use headstart_store::Label;

use super::*;
use crate::dataset::DatasetConfig;
use crate::event::Note;

#[test]
fn a_row_of_another_width_or_with_a_stray_quote_is_a_failure_of_its_own() {
    let dataset = csv("path,label\n1.png,a\n2.png,b, small\n3.png\n\n4.png,\"b\"x\n5.png,\"c,\nd\"\n6.png,e");
    assert_eq!(read(&dataset), ["- a", "- c,\nd", "- e"]);
    let reasons: Vec<String> = failures(&dataset).iter().map(|it| it.replace(&*line_of(it), "")).collect();
    assert_eq!(
        reasons,
        [
            "line 3 has 3 fields, the header has 2",
            "line 4 has 1 field, the header has 2",
            "line 6 closes a quote in the middle of a field"
        ]
    );
    let open_quote =
        manifest("a.csv", "path,label\n1.png,a\n2.png,\"b\n3.png,c\n", &DatasetConfig::default());
    let err = open_quote.unwrap_err().to_string();
    assert!(err.starts_with("line 3 of ") && err.ends_with("opens a quote that is never closed"), "{err}");
    let long = format!(
        "path,label\n1.png,a\n2.png,{}\n3.png,{}\n4.png,d\n",
        "b".repeat(2 << 20),
        "c".repeat(40_000)
    );
    let dataset = csv(&long);
    assert_eq!(read(&dataset), ["- a", "- d"]);
    let reasons = failures(&dataset).concat();
    assert!(
        reasons.contains("is longer than 1048576 bytes") && reasons.contains("has 40000 bytes in `label`"),
        "{reasons}"
    );
}

/// ` of <path of a manifest>`
fn line_of(text: &str) -> String {
    let begin = text.find(" of ").unwrap();
    let end = text[begin + 4..].find(' ').unwrap();
    text[begin..begin + 4 + end].to_owned()
}

#[test]
fn tables_are_read_as_they_are_written() {
    let plain = "path;label\n1.png;a\n2.png;b\n";
    let utf16 = |text: &str, little: bool| -> Vec<u8> {
        let units = ["\u{feff}", text].concat();
        units.encode_utf16().flat_map(|it| if little { it.to_le_bytes() } else { it.to_be_bytes() }).collect()
    };
    let cases: [(&str, Vec<u8>, char, bool); 5] = [
        ("a.csv", plain.into(), ';', false),
        ("a.csv", plain.replace(';', "\t").into(), '\t', false),
        ("a.tsv", plain.replace(';', ",").into(), ',', false),
        ("a.csv", utf16(plain, true), ';', true),
        ("a.csv", utf16(&plain.replace(';', ","), false), ',', true),
    ];
    for (name, bytes, delimiter, is_utf16) in cases {
        let dataset = manifest(name, bytes, &DatasetConfig::default()).unwrap();
        assert_eq!(read(&dataset), ["- a", "- b"], "{name} {delimiter}");
        assert_eq!(dataset.notes, [Note::TableReadAs { delimiter, is_utf16 }]);
    }
    for (text, ends) in
        [("path,label\r1.png,a\r2.png,b", "\\r"), ("\u{feff}path,label\r\n1.png,a\r\n2.png,b\r\n", "\\r\\n")]
    {
        assert_eq!(read(&csv(text)), ["- a", "- b"], "{ends}");
    }
    let latin1 =
        manifest("a.csv", b"path,label\n1.png,a\n2.png,caf\xe9\n", &DatasetConfig::default()).unwrap();
    assert!(failures(&latin1)[0].ends_with("is no UTF-8 (byte 0xe9); save the table as UTF-8"), "{latin1:?}");
    assert_eq!(read(&latin1), ["- a"]);
}

#[test]
fn columns_of_usual_names_are_found_and_others_asked_for() {
    for header in ["filename,class,subset", "Image,Category,Partition", "image_path,target,usage"] {
        let dataset = csv(&format!("{header}\n1.png,a,train\n2.png,b,valid\n"));
        assert_eq!(read(&dataset), ["train a", "valid b"], "{header}");
        let columns = header.split(',').map(str::to_owned).collect();
        assert_eq!(dataset.notes, [Note::ColumnsTaken { columns }]);
    }
    let error = |text: &str| manifest("a.csv", text, &DatasetConfig::default()).unwrap_err().to_string();
    assert!(
        error("file,image,label\n1,2,a\n").contains("several columns that could be the path: file, image")
    );
    assert!(
        error("path,class,category\n1,2,a\n")
            .contains("several columns that could be the label: class, category")
    );
    assert!(error("path,label,label\n1,2,a\n").contains("two columns `label`"));
    assert!(error("where,label\n1,2\n").contains("no column `path`; its columns are: where, label"));
    let numbered = DatasetConfig {
        splits: BTreeMap::from([("1".to_owned(), "train".to_owned()), ("2".to_owned(), "test".to_owned())]),
        ..DatasetConfig::default()
    };
    let dataset =
        manifest("a.csv", "path,label,split\n1.png,a,1\n2.png,b,2\n3.png,b,3\n", &numbered).unwrap();
    assert_eq!(read(&dataset), ["train a", "test b", "3 b"]);
}

#[test]
fn a_missing_number_is_a_missing_label_and_a_word_stays_a_word() {
    let dataset = csv("path,label\n1.png,0.5\n2.png,nan\n3.png,N/A\n4.png,2\n5.png,\n6.png,NaN\n");
    assert_eq!(read(&dataset), ["- 0.5", "- -", "- -", "- 2", "- -", "- -"]);
    let words = ["nan", "N/A", "NaN"].map(|it| (it.to_owned(), 1));
    assert_eq!(dataset.notes, [Note::MissingNumbers { words: BTreeMap::from(words) }]);
    // Where one label is a word, all are.
    let dataset = csv("path,label\n1.png,none\n2.png,null\n3.png,7up\n");
    assert_eq!(
        (read(&dataset), dataset.notes),
        (vec!["- none".into(), "- null".into(), "- 7up".into()], vec![])
    );
    let config = DatasetConfig { missing: vec!["unknown".to_owned()], ..DatasetConfig::default() };
    let dataset = manifest(
        "a.jsonl",
        "{\"path\": \"1\", \"label\": \"unknown\"}\n{\"path\": \"2\", \"label\": \"a\"}\n",
        &config,
    );
    assert_eq!(read(&dataset.unwrap()), ["- -", "- a"]);
    // Two targets, one of which is missing.
    let config =
        DatasetConfig { label_columns: vec!["x".to_owned(), "y".to_owned()], ..DatasetConfig::default() };
    let dataset = manifest("a.csv", "path,x,y\n1.png,0.5,2\n2.png,3,null\n", &config).unwrap();
    assert_eq!(dataset.listing.inputs[0].label, Some(Label::Numbers(vec![0.5, 2.0])));
    assert_eq!(dataset.listing.inputs[1].label, None);
}

#[test]
fn columns_of_yes_and_no_are_labels_of_their_names() {
    let columns = vec!["boat".to_owned(), "sea".to_owned()];
    let config = DatasetConfig { label_columns: columns.clone(), ..DatasetConfig::default() };
    let tables = [
        ("a.csv", "path,boat,sea\n1.png,1,0\n2.png,1,1\n3.png,0,0\n"),
        ("a.csv", "path,boat,sea\n1.png,yes,no\n2.png,True,TRUE\n3.png,false,0.0\n"),
        (
            "a.jsonl",
            "{\"path\":\"1\",\"boat\":true,\"sea\":false}\n{\"path\":\"2\",\"boat\":1,\"sea\":1}\n{\"path\":\"3\",\"boat\":0,\"sea\":0}\n",
        ),
    ];
    for (name, text) in tables {
        let dataset = manifest(name, text, &config).unwrap();
        assert_eq!(read(&dataset), ["- boat|", "- boat|sea", "- |"], "{text}");
        assert_eq!(dataset.notes, [Note::ColumnsAreLabels { columns: columns.clone() }]);
    }
    // A third value, and they are numbers.
    let dataset = manifest("a.csv", "path,boat,sea\n1.png,1,0\n2.png,2,1\n", &config).unwrap();
    assert_eq!(dataset.listing.inputs[1].label, Some(Label::Numbers(vec![2.0, 1.0])));
}

#[test]
fn lines_without_an_end_are_not_read_into_memory() {
    let long = [
        b"{\"path\": \"".to_vec(),
        vec![b'x'; 3 << 20],
        b"\"}\n{\"path\": \"2.png\", \"label\": \"a\"}\n".to_vec(),
    ]
    .concat();
    let dataset = manifest("a.jsonl", long, &DatasetConfig::default()).unwrap();
    assert_eq!(read(&dataset), ["- a"]);
    assert!(failures(&dataset)[0].ends_with("is longer than 1048576 bytes"), "{:?}", failures(&dataset));
}

#[test]
fn a_header_in_quotes_is_read_with_any_delimiter() {
    let tables = [
        "\"path\";\"label\"\n1.png;a\n2.png;b\n",
        "\"path\";\"label\";\"a, b, c, d\"\n1.png;a;1\n2.png;b;2\n",
        "\r\n\r\n\"path\"\t\"label\"\r\n1.png\ta\r\n\"2.png\"\t\"b\"",
        "\n\npath,label\n1.png,a\n2.png,b\n",
    ];
    for text in tables {
        let dataset = csv(text);
        assert_eq!(
            (read(&dataset), failures(&dataset)),
            (vec!["- a".into(), "- b".into()], vec![]),
            "{text:?}"
        );
    }
    // Lines are counted whatever ends them.
    for end in ["\r", "\n", "\r\n"] {
        let failures = failures(&csv(&["", "path,label", "", "1.png,a", "2.png", "3.png,c"].join(end)));
        assert!(failures.len() == 1 && failures[0].starts_with("line 5 of "), "{end:?} {failures:?}");
    }
    let error = manifest("a.csv", "\n\n", &DatasetConfig::default()).unwrap_err().to_string();
    assert!(error.ends_with("has no header"), "{error}");
}

#[test]
fn a_column_is_the_split_only_where_its_values_are_splits() {
    // FER2013 and CelebA.
    let dataset = csv("path,label,Usage\n1.png,a,Training\n2.png,b,PublicTest\n3.png,b,PrivateTest\n");
    assert_eq!(read(&dataset), ["Training a", "PublicTest b", "PrivateTest b"]);
    let text = "path,label,partition\n1.png,a,0\n2.png,b,2\n";
    let dataset = csv(text);
    assert_eq!(read(&dataset), ["- a", "- b"]);
    let note = Note::NotASplit { column: "partition".to_owned(), value: "0".to_owned() };
    assert_eq!(dataset.notes.last(), Some(&note));
    let splits = [("0", "train"), ("2", "test")].map(|it| (it.0.to_owned(), it.1.to_owned()));
    let config = DatasetConfig { splits: splits.into(), ..DatasetConfig::default() };
    assert_eq!(read(&manifest("a.csv", text, &config).unwrap()), ["train a", "test b"]);
}

#[test]
fn a_column_that_was_named_is_that_and_nothing_else() {
    let config = DatasetConfig { label_columns: vec!["usage".to_owned()], ..DatasetConfig::default() };
    let line = "{\"path\": \"1\", \"usage\": \"train\", \"split\": \"val\"}\n";
    assert_eq!(read(&manifest("a.jsonl", line, &config).unwrap()), ["val train"]);
    assert_eq!(read(&manifest("a.csv", "path,usage\n1.png,train\n", &config).unwrap()), ["- train"]);
    for names in [["usage", "usage"], ["usage", "path"]] {
        let config = DatasetConfig {
            path_column: Some("path".to_owned()),
            label_columns: names.map(str::to_owned).to_vec(),
            ..DatasetConfig::default()
        };
        let error = manifest("a.csv", "path,usage\n1.png,train\n", &config).unwrap_err().to_string();
        assert!(error.contains("was named twice"), "{error}");
    }
}

#[test]
fn a_row_without_one_of_its_flags_has_no_label() {
    let columns = vec!["boat".to_owned(), "sea".to_owned()];
    let config = DatasetConfig { label_columns: columns.clone(), ..DatasetConfig::default() };
    let rows = "1.png,1,0\n2.png,1,1\n3.png,,1\n4.png,,\n5.png,0,0\n";
    let dataset = manifest("a.csv", format!("path,boat,sea\n{rows}"), &config).unwrap();
    assert_eq!(read(&dataset), ["- boat|", "- boat|sea", "- -", "- -", "- |"]);
    // One yes in every row: classes, however they are written.
    let tables = [
        ("a.csv", "path,boat,sea\n1.png,1,0\n2.png,0,1\n"),
        ("a.jsonl", "{\"path\":\"1\",\"boat\":1,\"sea\":0}\n{\"path\":\"2\",\"boat\":0,\"sea\":1}\n"),
    ];
    for (name, text) in tables {
        let dataset = manifest(name, text, &config).unwrap();
        assert_eq!(dataset.listing.inputs[0].label, class("boat"), "{name}");
        assert_eq!(dataset.listing.inputs[1].label, class("sea"), "{name}");
    }
}
