//! Folders.

use std::collections::BTreeMap;

use super::*;
use crate::dataset::{DatasetConfig, LabelFrom, kind_of};
use crate::event::Note;
use headstart_input::InputKind;

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
fn a_folder_with_nothing_in_it_is_said() {
    let ants = folder(&["ants/1.png", "bees/1.png"]);
    for empty in ["cats/a/b", "dogs", "bees/deeper"] {
        fs::create_dir_all(ants.path().join(empty)).unwrap();
    }
    let dataset = open(&ants, &DatasetConfig::default()).unwrap();
    let folders = vec!["cats".to_owned(), "dogs".to_owned()];
    assert_eq!(dataset.notes, [Note::EmptyFolders { folders }]);
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
    assert_eq!(dataset.notes, [Note::FormatsNotRead { input_kind: InputKind::Image, formats }]);
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

#[test]
fn sidecars_with_the_ending_of_a_format_are_no_pictures() {
    let folder = folder(&["ants/1.png", "bees/2.png"]);
    // Of a scene in ENVI's format, of anything, of a folder's icon that is none.
    write(folder.path(), "ants/scene.hdr", b"ENVI\nsamples = 4");
    write(folder.path(), "ants/scene.raw", &[7; 64]);
    write(folder.path(), "ants/folder.ico", b"[icon]");
    write(folder.path(), "bees/light.hdr", b"#?RADIANCE\n");
    let dataset = open(&folder, &DatasetConfig::default()).unwrap();
    assert_eq!(dataset.n_ignored, 3);
    assert!(failures(&dataset)[0].starts_with("bees/light.hdr is a picture in Radiance HDR"));
    assert_eq!(failures(&dataset).len(), 1);
}

#[test]
fn numbered_folders_are_asked_about_and_the_topmost_is_had_for_the_asking() {
    let years = folder(&["2019/a/1.png", "2019/b/1.png", "2020/a/2.png", "2020/b/2.png"]);
    let error = open(&years, &DatasetConfig::default()).unwrap_err().to_string();
    assert!(error.contains("either could be the classes"), "{error}");
    let one = folder(&["insects/ants/1.png", "insects/bees/2.png"]);
    let top = open(&one, &from(LabelFrom::Top)).unwrap();
    assert_eq!((read(&top), top.notes), (vec!["- insects".into(), "- insects".into()], vec![]));
    assert_eq!(read(&open(&one, &from(LabelFrom::Path)).unwrap()), ["- insects/ants", "- insects/bees"]);
    let split = folder(&["photos/train/ants/1.png", "photos/val/ants/small/2.png"]);
    assert_eq!(read(&open(&split, &from(LabelFrom::Parent)).unwrap()), ["train ants", "val small"]);
    assert_eq!(read(&open(&split, &from(LabelFrom::Path)).unwrap()), ["train ants", "val ants/small"]);
}

#[test]
fn what_a_dataset_holds_is_seen() {
    let kind = |files: &[&str]| kind_of(folder(files).path(), &DatasetConfig::default());
    assert_eq!(kind(&["a/1.png", "a/2.jpg", "b/1.wav"]), InputKind::Image);
    assert_eq!(kind(&["a/1.png", "b/1.wav", "b/2.flac", "notes.txt"]), InputKind::Audio);
    assert_eq!(kind(&["a/1.png", "b/1.wav"]), InputKind::Image);
    assert_eq!(kind(&["a/1.txt", "b/2.txt", "LICENSE"]), InputKind::Text);
    assert_eq!(kind(&["a/1", "b/2", ".hidden/3.wav"]), InputKind::Image);
    assert_eq!(kind(&[]), InputKind::Image);
    let place = folder(&[]);
    let manifest = |name: &str, text: &str| {
        let path = place.path().join(name);
        fs::write(&path, text).unwrap();
        kind_of(&path, &DatasetConfig::default())
    };
    assert_eq!(manifest("a.csv", "path,label\na/1.WAV,x\n"), InputKind::Audio);
    assert_eq!(manifest("b.csv", "filename;label\na/1.jpeg;x\n"), InputKind::Image);
    assert_eq!(manifest("c.csv", "id,Sentence,label\n1,see a.wavy thing,x\n"), InputKind::Text);
    assert_eq!(manifest("d.jsonl", "{\"audio\": \"a/b.mp3\", \"label\": \"x\"}\n"), InputKind::Audio);
    assert_eq!(manifest("e.jsonl", "{\"text\": \"good\", \"label\": \"x\"}\n"), InputKind::Text);
    // What stands in texts is none of their files; what has files is not of the texts beside them.
    assert_eq!(
        manifest("f.csv", "text,label\nsee http://x.org/a.jpg,x\nit ends in .wav,y\n"),
        InputKind::Text
    );
    assert_eq!(manifest("g.csv", "path,sentence,label\na.wav,hello,x\n"), InputKind::Audio);
    let named = DatasetConfig { text_column: Some("q".to_owned()), ..DatasetConfig::default() };
    assert_eq!(kind_of(&place.path().join("a.csv"), &named), InputKind::Text);
    // A folder with a manifest for each split.
    fs::write(place.path().join("train.jsonl"), "{\"text\": \"good\", \"label\": \"x\"}\n").unwrap();
    assert_eq!(kind_of(place.path(), &DatasetConfig::default()), InputKind::Text);
}
