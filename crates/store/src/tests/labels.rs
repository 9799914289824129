//! Labels of every kind: in a store, in its Parquet, as texts.

use proptest::prelude::*;

use super::*;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|it| (*it).to_owned()).collect()
}

fn labelled(labels: &[Option<Label>]) -> SampleTable {
    let sample =
        |(index, label): (usize, &Option<Label>)| Sample { label: label.clone(), ..sample(index, "x") };
    SampleTable { root: "/data".to_owned(), samples: labels.iter().enumerate().map(sample).collect() }
}

#[test]
fn every_kind_of_label_comes_back_and_other_tools_find_it_in_a_column_of_its_own() {
    let folder = Folder::new("labels");
    let store = Store::create(&folder.0, &space()).unwrap();
    let labels = [
        Some(Label::Class("black|white".to_owned())),
        Some(Label::Classes(names(&["cat", "dog|wolf"]))),
        Some(Label::Classes(Vec::new())),
        Some(Label::Numbers(vec![1.5, -0.0])),
        Some(Label::Class(String::new())),
        None,
    ];
    let table = labelled(&labels);
    store.writer(Run::Whole).unwrap().finish(&table, &[]).unwrap();
    assert_eq!(store.samples().unwrap(), table);
    let path = folder.0.join("samples/whole.parquet");
    let cells = read_columns(&path, &["label", "labels", "targets"]).unwrap();
    let texts = |it: &[&str]| Cell::Texts(names(it));
    let class = Cell::Text("black|white".to_owned());
    assert_eq!(cells[0], [Some(class), None, None]);
    assert_eq!(cells[1], [None, Some(texts(&["cat", "dog|wolf"])), None]);
    assert_eq!(cells[2], [None, Some(texts(&[])), None]);
    assert_eq!(cells[3], [None, None, Some(Cell::Numbers(vec![1.5, 0.0]))]);
    assert_eq!(cells[5], [None, None, None]);
}

/// Labels that read alike in one text are not alike in a checksum, nor in the number of a listing.
#[test]
fn labels_of_different_meaning_have_different_bytes() {
    let labels = [
        None,
        Some(Label::Class(String::new())),
        Some(Label::Class("a|b".to_owned())),
        Some(Label::Classes(names(&["a", "b"]))),
        Some(Label::Classes(names(&["a|b"]))),
        Some(Label::Classes(names(&["ab", ""]))),
        Some(Label::Classes(Vec::new())),
        Some(Label::Numbers(Vec::new())),
        Some(Label::Numbers(vec![1.0, 2.0])),
        Some(Label::Class("1|2".to_owned())),
    ];
    let bytes: BTreeSet<Vec<u8>> = labels
        .iter()
        .map(|label| {
            let mut bytes = Vec::new();
            Label::identify(label.as_ref(), &mut |it| bytes.extend_from_slice(it));
            bytes
        })
        .collect();
    assert_eq!(bytes.len(), labels.len());
}

/// Stores of before had one text for every label; `tests/old` is what they wrote.
#[test]
fn a_store_of_before_opens_with_labels_of_their_kinds() {
    let folder = Folder::new("old");
    let cases = [
        ("classes", Label::Class("red".to_owned())),
        ("several", Label::Classes(names(&["red", "dark"]))),
        ("numbers", Label::Numbers(vec![1.0, 2.5])),
    ];
    let n_cases = cases.len();
    for (name, expected) in cases {
        let store = Store::create(&folder.0.join(name), &space()).unwrap();
        let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/old");
        let file = store.samples_dir().join("whole.parquet");
        fs::copy(old.join(name).with_extension("parquet"), &file).unwrap();
        let table = store.samples().unwrap();
        assert_eq!(table.samples.len(), 4, "{name}");
        assert_eq!(table.samples[0].label, Some(expected), "{name}");
        let kinds = |it: &Sample| it.label.as_ref().map(std::mem::discriminant);
        assert!(table.samples.iter().all(|it| kinds(it) == kinds(&table.samples[0])), "{name}");
        // The next run writes them as they are written now.
        store.writer(Run::Whole).unwrap().finish(&table, &[]).unwrap();
        assert!(read_columns(&file, &["labels", "targets"]).is_ok(), "{name}");
        assert_eq!(store.samples().unwrap(), table, "{name}");
    }
    assert_eq!(n_cases, 3);
}

#[test]
fn labels_of_several_kinds_become_one_kind() {
    let mut labels =
        vec![Label::Class("a|b".to_owned()), Label::Classes(names(&["c", "d"])), Label::Numbers(vec![3.0])];
    Label::make_alike(&mut labels);
    assert_eq!(labels, [&["a|b"][..], &["c", "d"], &["3"]].map(|it| Label::Classes(names(it))));
    let alike = labels.clone();
    Label::make_alike(&mut labels);
    assert_eq!(labels, alike);
}

/// Texts of a class: anything; of one of several: neither empty nor with spaces around it, and no number.
fn classes() -> impl Strategy<Value = Vec<Label>> {
    proptest::collection::vec(".*".prop_map(Label::Class), 1..6)
}

fn several() -> impl Strategy<Value = Vec<Label>> {
    let name = r"[a-z\\|][a-z|\\ é]{0,5}[a-z\\|]";
    let label = proptest::collection::vec(name, 0..4).prop_map(Label::Classes);
    proptest::collection::vec(label, 1..6)
}

fn numbers() -> impl Strategy<Value = Vec<Label>> {
    let number = -1e300..1e300_f64;
    (2..4_usize).prop_flat_map(move |width| {
        let label = proptest::collection::vec(number.clone(), width).prop_map(Label::Numbers);
        proptest::collection::vec(label, 1..6)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn labels_come_back_from_their_texts(labels in prop_oneof![classes(), several(), numbers()]) {
        let texts: Vec<String> = labels.iter().map(ToString::to_string).collect();
        let read: Vec<Label> = Label::from_texts(texts.iter().map(String::as_str)).collect();
        prop_assert_eq!(read, labels);
    }

    #[test]
    fn any_texts_are_labels_of_one_kind(texts in proptest::collection::vec(r"[a1.|\\ ]{0,6}", 1..6)) {
        let read: Vec<Label> = Label::from_texts(texts.iter().map(String::as_str)).collect();
        prop_assert_eq!(read.len(), texts.len());
        let mut alike = read.clone();
        Label::make_alike(&mut alike);
        prop_assert_eq!(alike, read);
    }
}
