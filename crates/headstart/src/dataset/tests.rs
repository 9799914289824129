//! What of folders and tables is an input, a class, a split, a label; and what is said of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use headstart_store::Label;
use tempfile::TempDir;

use super::{Dataset, DatasetConfig, LabelFrom};
use crate::error::Error;
use crate::event::Note;

/// The first bytes of a PNG and of a HEIC file.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const HEIC: &[u8] = b"\0\0\0\x18ftypheic\0\0\0\0";

/// A folder with these files, each of the bytes of a PNG.
fn folder(files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|it| write(folder.path(), it, PNG));
    folder
}

fn write(folder: &Path, file: &str, bytes: &[u8]) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn from(label_from: LabelFrom) -> DatasetConfig {
    DatasetConfig { label_from: Some(label_from), ..DatasetConfig::default() }
}

fn open(folder: &TempDir, config: &DatasetConfig) -> Result<Dataset, Error> {
    Dataset::open(folder.path(), config)
}

fn class(name: &str) -> Option<Label> {
    Some(Label::Class(name.to_owned()))
}

/// Split and label of every input, `-` where there is none.
fn read(dataset: &Dataset) -> Vec<String> {
    let text = |it: &Option<String>| it.clone().unwrap_or_else(|| "-".to_owned());
    let input = |it: &headstart_backbone::Input| {
        format!("{} {}", text(&it.split), text(&it.label.as_ref().map(ToString::to_string)))
    };
    dataset.listing.inputs.iter().map(input).collect()
}

fn failures(dataset: &Dataset) -> Vec<String> {
    dataset.listing.unreadable.iter().map(ToString::to_string).collect()
}

#[test]
fn classes_lie_as_deep_as_their_folders_tell() {
    let ants = |prefix: &str| {
        folder(&[
            &format!("{prefix}ants/1.png"),
            &format!("{prefix}ants/2.png"),
            &format!("{prefix}bees/1.png"),
        ])
    };
    let plain = open(&ants(""), &DatasetConfig::default()).unwrap();
    assert_eq!(
        (read(&plain), plain.notes),
        (vec!["- ants".into(), "- ants".into(), "- bees".into()], vec![])
    );
    for prefix in ["insects/", "a/b/"] {
        let one = open(&ants(prefix), &DatasetConfig::default()).unwrap();
        assert_eq!(read(&one), ["- ants", "- ants", "- bees"], "{prefix}");
        assert_eq!(one.notes, [Note::OneFolder { folder: prefix.trim_end_matches('/').to_owned() }]);
    }
    // Several top folders: the topmost is the class, and what lies deeper is said.
    let deep = folder(&["insects/bees/1.png", "plants/rose/2.png", "plants/3.png"]);
    let top = open(&deep, &DatasetConfig::default()).unwrap();
    assert_eq!(read(&top), ["- insects", "- plants", "- plants"]);
    let (folder, label) = ("insects/bees".to_owned(), "insects".to_owned());
    assert_eq!(top.notes, [Note::LabelIsTop { folder, label }]);
    assert_eq!(read(&open(&deep, &from(LabelFrom::Parent)).unwrap()), ["- bees", "- plants", "- rose"]);
    assert_eq!(
        read(&open(&deep, &from(LabelFrom::Path)).unwrap()),
        ["- insects/bees", "- plants", "- plants/rose"]
    );
}

#[test]
fn folders_named_as_splits_are_such_wherever_they_lie() {
    let layouts = [
        ["train", "val"],
        ["training_set", "test_set"],
        ["seg_train", "seg_test"],
        ["Training", "Testing"],
        ["train", "holdout"],
        ["train2017", "val2017"],
        ["photos/train", "photos/evaluation"],
    ];
    for splits in layouts {
        let files: Vec<String> =
            splits.iter().flat_map(|it| [format!("{it}/ants/1.png"), format!("{it}/bees/1.png")]).collect();
        let dataset =
            open(&folder(&files.iter().map(String::as_str).collect::<Vec<_>>()), &DatasetConfig::default());
        let mut names = splits.map(|it| it.rsplit('/').next().unwrap());
        names.sort_unstable();
        let expected: Vec<String> =
            names.iter().flat_map(|it| [format!("{it} ants"), format!("{it} bees")]).collect();
        assert_eq!(read(&dataset.unwrap()), expected, "{splits:?}");
    }
    // Folds hold the same classes, and say nothing of what is held out.
    let folds = open(
        &folder(&["fold1/a/1.png", "fold1/b/1.png", "fold2/a/2.png", "fold2/b/2.png"]),
        &DatasetConfig::default(),
    );
    let folds = folds.unwrap();
    assert_eq!(read(&folds), ["- a", "- b", "- a", "- b"]);
    assert_eq!(
        folds.notes,
        [Note::FoldersAreFolds { folders: vec!["fold1".to_owned(), "fold2".to_owned()] }]
    );
}

#[test]
fn folders_that_could_be_either_are_asked_about() {
    let real =
        folder(&["real/indoor/1.png", "real/outdoor/1.png", "fake/indoor/2.png", "fake/outdoor/2.png"]);
    let err = open(&real, &DatasetConfig::default()).unwrap_err().to_string();
    assert!(
        err.contains("the folders fake, real of") && err.contains("hold the same: indoor, outdoor"),
        "{err}"
    );
    assert_eq!(read(&open(&real, &from(LabelFrom::Top)).unwrap()), ["- fake", "- fake", "- real", "- real"]);
    assert_eq!(read(&open(&real, &from(LabelFrom::Parent)).unwrap())[..2], ["- indoor", "- outdoor"]);
    // One folder in each is no choice: `<class>/images/*`.
    let images = folder(&["ants/images/1.png", "bees/images/2.png"]);
    assert_eq!(read(&open(&images, &DatasetConfig::default()).unwrap()), ["- ants", "- bees"]);
}

#[test]
fn no_picture_vanishes_for_its_name_and_no_folder_in_silence() {
    let folder = folder(&["ants/1.png", "ants/img1", "bees/2.JPG"]);
    write(folder.path(), "ants/photo.xyz", b"\xff\xd8\xff\xe0");
    write(folder.path(), "ants/notes.txt", b"no picture");
    write(folder.path(), "wasps/1.HEIC", HEIC);
    write(folder.path(), "wasps/2", HEIC);
    // Named as an iPhone names it, and a JPEG.
    write(folder.path(), "bees/3.heic", b"\xff\xd8\xff\xe0");
    // What the camera kept of a photo that is here, and of one that is not.
    write(folder.path(), "bees/2.CR2", b"II*\0");
    write(folder.path(), "bees/4.NEF", b"II*\0");
    write(folder.path(), "docs/more/a.txt", b"a");
    write(folder.path(), "docs/b.txt", b"b");
    let dataset = open(&folder, &DatasetConfig::default()).unwrap();
    let paths: Vec<&str> = dataset.listing.inputs.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(paths, ["ants/1.png", "ants/img1", "ants/photo.xyz", "bees/2.JPG", "bees/3.heic"]);
    assert_eq!(dataset.n_ignored, 4);
    let not_read = |format: &str| {
        format!("is a picture in {format}, which is not read; convert it to JPEG, PNG or TIFF")
    };
    assert_eq!(
        failures(&dataset),
        [
            format!("bees/4.NEF {}", not_read("camera raw")),
            format!("wasps/1.HEIC {}", not_read("HEIC")),
            format!("wasps/2 {}", not_read("HEIC")),
            "docs holds no picture, but 2 files that are none".to_owned(),
        ]
    );
    let formats = BTreeMap::from([("HEIC".to_owned(), 2), ("camera raw".to_owned(), 1)]);
    assert_eq!(dataset.notes, [Note::PicturesNotRead { formats }]);
}

#[test]
fn names_that_look_alike_are_one_class() {
    let folder =
        folder(&["train/caf\u{e9}/1.png", "val/cafe\u{301}/2.png", "val/tea/3.png", "train/tea/1.png"]);
    let dataset = open(&folder, &DatasetConfig::default()).unwrap();
    assert_eq!(dataset.layout.as_ref().unwrap().classes, ["caf\u{e9}", "tea"]);
    assert_eq!(dataset.notes, [Note::SpellingsMerged { classes: vec!["caf\u{e9}".to_owned()] }]);
    assert_eq!(dataset.listing.inputs.iter().filter(|it| it.label == class("caf\u{e9}")).count(), 2);
}

/// A manifest, listed.
fn manifest(name: &str, bytes: impl AsRef<[u8]>, config: &DatasetConfig) -> Result<Dataset, Error> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), name, bytes.as_ref());
    Dataset::open(folder.path().join(name), config)
}

fn csv(text: &str) -> Dataset {
    manifest("a.csv", text, &DatasetConfig::default()).unwrap()
}

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
