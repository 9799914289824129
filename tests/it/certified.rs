//! What is written is what is certified; what is decided, and what is said of labels.

use headstart::{
    Event, FitConfig, HeadConfig, HeadModel, Label, LogisticHead, MlpHead, Note, Samples, Task, fit,
    read_head, write_head,
};
use headstart_head::LossName;
use headstart_store::{Digest, EmbeddingSpace, FileStat, Run, Sample, SampleTable, Store};
use ndarray::{Array1, Array2, Axis};

const N_FEATURES: usize = 7;

/// A number between -1 and 1 that depends on all of its arguments.
fn noise(a: usize, b: usize) -> f32 {
    let hash = (a * 977 + b * 131 + 7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// A store of samples with these labels; features lean towards the first letter of the label.
fn store(labels: &[Option<Label>]) -> (tempfile::TempDir, Samples) {
    store_of(labels, &|it| it)
}

/// The same, of files that are equal where `content` says the same of them.
fn store_of(labels: &[Option<Label>], content: &dyn Fn(usize) -> usize) -> (tempfile::TempDir, Samples) {
    let folder = tempfile::tempdir().expect("a folder");
    let space =
        EmbeddingSpace { model: "m".to_owned(), n_features: N_FEATURES, description: serde_json::Map::new() };
    let store = Store::create(folder.path(), &space).expect("a store");
    let mut writer = store.writer(Run::Whole).expect("a writer");
    let digests: Vec<Digest> = (0..labels.len()).map(|it| Digest::of(&content(it).to_le_bytes())).collect();
    let lean = |label: &Option<Label>, feature: usize| {
        let text = label.as_ref().map(ToString::to_string).unwrap_or_default();
        f32::from(usize::from(text.bytes().next().unwrap_or(0)) % N_FEATURES == feature)
    };
    let row = |(index, label): (usize, &Option<Label>)| {
        (0..N_FEATURES)
            .map(|it| (1.0 + it as f32) * (noise(index, it) + 0.15 * lean(label, it)) + 3.0)
            .collect::<Vec<f32>>()
    };
    let rows: Vec<f32> = labels.iter().enumerate().flat_map(row).collect();
    for (index, digest) in digests.iter().enumerate().filter(|(it, _)| content(*it) == *it) {
        writer.append(&[*digest], &rows[index * N_FEATURES..][..N_FEATURES]).expect("it is written");
    }
    let stat = FileStat { size: 1, mtime_ns: 0, ctime_ns: 0 };
    let sample = |(index, label): (usize, &Option<Label>)| Sample {
        path: format!("{index:04}.png"),
        label: label.clone(),
        split: None,
        group: None,
        digest: digests[index],
        stat,
    };
    let samples = labels.iter().enumerate().map(sample).collect();
    writer.finish(&SampleTable { root: "/photos".to_owned(), samples }, &[]).expect("it is written");
    let samples = Samples::open(folder.path()).expect("samples");
    (folder, samples)
}

fn class(name: &str) -> Option<Label> {
    Some(Label::Class(name.to_owned()))
}

fn classes(names: &[&str]) -> Option<Label> {
    Some(Label::Classes(names.iter().map(|it| (*it).to_owned()).collect()))
}

/// Fits on all samples, and hears what is said.
fn fitted(samples: &Samples, head: HeadConfig, task: Option<Task>) -> (HeadModel, Vec<Note>) {
    let mut notes = Vec::new();
    let config = FitConfig { head, task, validation: 0.0, ..FitConfig::default() };
    let fitted = fit(samples, &config, &mut |event| {
        if let Event::Note(note) = event {
            notes.push(note);
        }
    });
    (fitted.expect("a head").head, notes)
}

fn logistic(balanced: bool, standardize: bool) -> HeadConfig {
    HeadConfig::Logistic(LogisticHead { alpha: Some(0.3), balanced, standardize, ..LogisticHead::default() })
}

/// Embeddings of all samples, in their order, and what divides a feature where features are standardised.
fn features(samples: &Samples, standardize: bool) -> (Array2<f64>, Array1<f64>) {
    let digests: Vec<Digest> = samples.as_slice().iter().map(|it| it.digest).collect();
    let rows = samples.store().load(&digests).expect("rows").values;
    let x = Array2::from_shape_vec((digests.len(), N_FEATURES), rows).expect("its shape").mapv(f64::from);
    let scale = if standardize { x.std_axis(Axis(0), 0.0) } else { Array1::ones(N_FEATURES) };
    (x, scale)
}

/// The objective of a head as it stands in its file, by its definition.
fn objective(head: &HeadModel, samples: &Samples, standardize: bool) -> f64 {
    let (x, scale) = features(samples, standardize);
    let (layer, outputs, record) = (&head.layers[0], &head.metadata.outputs, &head.metadata.fit);
    let logits = x.dot(&layer.weight) + &layer.bias;
    let penalty = |w: &Array1<f64>| 0.15 * (w * &scale).mapv(|it| it * it).sum();
    let mut sum = 0.0;
    for (row, sample) in logits.outer_iter().zip(samples.as_slice()) {
        match sample.label.as_ref().expect("a label") {
            Label::Class(name) => {
                let class = outputs.labels.iter().position(|it| it == name).expect("a class");
                let largest = row.fold(f64::NEG_INFINITY, |a, b| a.max(*b));
                let log_sum = largest + row.mapv(|it| (it - largest).exp()).sum().ln();
                let n = record.n_samples as f64;
                let weight = n / (outputs.labels.len() * record.class_counts[class]) as f64;
                sum += if record.balanced { weight } else { 1.0 } * (log_sum - row[class]);
            }
            Label::Classes(names) => {
                for (label, logit) in outputs.labels.iter().zip(row) {
                    let sign = if names.contains(label) { -1.0 } else { 1.0 };
                    // Labels that all samples have are not fitted.
                    let is_fitted = record.class_counts
                        [outputs.labels.iter().position(|it| it == label).expect("one")]
                        < record.n_samples;
                    sum += if is_fitted { (sign * logit).exp().ln_1p() } else { 0.0 };
                }
            }
            _ => panic!("no such label here"),
        }
    }
    let columns: Vec<Array1<f64>> = layer.weight.columns().into_iter().map(|it| it.to_owned()).collect();
    match (outputs.task, &columns[..]) {
        // Two classes are one binary problem.
        (Task::Classification, [a, b]) => sum + penalty(&(b - a)),
        _ => sum + columns.iter().map(penalty).sum::<f64>(),
    }
}

#[test]
fn a_certificate_is_of_the_head_in_the_file_for_every_combination_of_flags() {
    let two: Vec<_> = (0..90).map(|it| class(if it % 9 == 0 { "bee" } else { "ant" })).collect();
    let three: Vec<_> = (0..90).map(|it| class(["ant", "bee", "cat", "ant", "ant"][it % 5])).collect();
    let several: Vec<_> = (0..90)
        .map(|it| {
            classes([&["ant", "photo"][..], &["bee", "photo"], &["ant", "bee", "photo"], &["photo"]][it % 4])
        })
        .collect();
    let mut n_cases = 0;
    for (labels, can_balance) in [(two, true), (three, true), (several, false)] {
        let (folder, samples) = store(&labels);
        for balanced in [false, true].into_iter().filter(|it| can_balance || !it) {
            for standardize in [false, true] {
                let (head, _) = fitted(&samples, logistic(balanced, standardize), None);
                let path = folder.path().join("a.head");
                write_head(&head, &path).expect("it is written");
                let head = read_head(&path).expect("it reads");
                let certificate = head.metadata.fit.certificate.expect("a certificate");
                let found = objective(&head, &samples, standardize);
                let difference = (found - certificate.objective).abs();
                // The same sum in another order.
                assert!(difference < 1e-9 * found, "{balanced} {standardize}: {found} {certificate:?}");
                n_cases += 1;
            }
        }
    }
    assert_eq!(n_cases, 10);
}

#[test]
fn a_balanced_head_finds_the_rare_class_and_gives_its_share_back_beside() {
    let labels: Vec<_> = (0..400).map(|it| class(if it % 20 == 0 { "bee" } else { "ant" })).collect();
    let (_folder, samples) = store(&labels);
    let found = |balanced: bool| {
        let (head, _) = fitted(&samples, logistic(balanced, true), None);
        let (x, _) = features(&samples, true);
        let answers = head.decide(head.predict(x.view()).expect("scores").view());
        let bee = |it: &usize| samples.as_slice()[*it].label == class("bee");
        let n = (0..400).filter(bee).filter(|it| answers[*it].given == [1]).count();
        let mean =
            answers.iter().filter_map(|it| head.metadata.outputs.corrected(&it.scores)).map(|it| it[1]);
        (n, mean.sum::<f64>() / 400.0, head)
    };
    let ((plain, none, _), (balanced, corrected, head)) = (found(false), found(true));
    assert!(balanced >= 15 && balanced > plain + 5, "{plain} of 20 rare ones without, {balanced} with");
    assert!(none.abs() < 1e-300, "a plain head's probabilities are as they are");
    // 5% of the samples are bees; as exactly as logistic regression is right about them, probabilities say so.
    assert!((0.01..0.1).contains(&corrected), "{corrected}");
    let json = head.metadata.outputs.to_json(&head.decide(ndarray::arr2(&[[0.4, 0.6]]).view())[0]);
    assert_eq!(json["label"], "bee");
    assert!(json["corrected_probabilities"]["bee"].as_f64().expect("a number") < 0.1, "{json:?}");
}

#[test]
fn a_label_that_all_have_is_set_aside_and_the_others_are_fitted() {
    let labels: Vec<_> =
        (0..60).map(|it| classes(if it % 2 == 0 { &["ant", "photo"] } else { &["photo"] })).collect();
    let (_folder, samples) = store(&labels);
    let (head, notes) = fitted(&samples, logistic(false, true), None);
    let constant = Note::ConstantLabels { n_samples: 60, labels: vec!["photo".to_owned()] };
    assert!(notes.contains(&constant), "{notes:?}");
    assert_eq!(head.metadata.outputs.labels, ["ant", "photo"]);
    let (x, _) = features(&samples, true);
    let answers = head.decide(head.predict(x.view()).expect("scores").view());
    assert!(answers.iter().all(|it| it.given.contains(&1)), "given always");
    let right = answers.iter().enumerate().filter(|(it, answer)| answer.given.contains(&0) == (it % 2 == 0));
    assert!(right.count() > 36, "more than chance");
}

#[test]
fn equal_files_with_different_labels_are_told() {
    let labels: Vec<_> = (0..40).map(|it| class(if it % 2 == 0 { "ant" } else { "bee" })).collect();
    // The last one is a copy of the first.
    let (_folder, samples) = store_of(&labels, &|it| if it == 39 { 0 } else { it });
    let (_, notes) = fitted(&samples, logistic(false, true), None);
    let example =
        [("0000.png", "ant"), ("0039.png", "bee")].map(|(path, label)| (path.to_owned(), label.to_owned()));
    assert!(notes.contains(&Note::SameBytesOtherLabels { n: 1, example }), "{notes:?}");
    let (_folder, samples) = store_of(&labels, &|it| if it == 38 { 0 } else { it });
    let (_, notes) = fitted(&samples, logistic(false, true), None);
    assert!(!notes.iter().any(|it| matches!(it, Note::SameBytesOtherLabels { .. })), "copies with one label");
}

#[test]
fn what_labels_are_taken_for_is_said() {
    let number = |it: usize| class(&format!("{}", it as f64 / 2.0));
    let mlp = |loss| HeadConfig::Mlp(MlpHead { loss, ..MlpHead::default() });
    let halves: Vec<_> = (0..40).map(number).collect();
    let digits: Vec<_> = (0..40).map(|it| class(["0", "1", "2"][it % 3])).collect();
    let mut one_word = halves.clone();
    one_word[5] = class("unknown");
    let cases = [
        // Numbers that are no whole ones are no classes to a hidden layer.
        (&halves, mlp(None), Task::Regression, Note::LabelsAreNumbers),
        (&digits, mlp(None), Task::Classification, Note::NumbersAreClasses { n_classes: 3 }),
        (&digits, mlp(Some(LossName::Huber)), Task::Regression, Note::LabelsAreNumbers),
        (&digits, logistic(false, true), Task::Classification, Note::NumbersAreClasses { n_classes: 3 }),
        (
            &one_word,
            HeadConfig::Linear(headstart::LinearHead::default()),
            Task::Classification,
            Note::NotAllNumbers {
                n_numbers: 39,
                n_samples: 40,
                path: "0005.png".to_owned(),
                label: "unknown".to_owned(),
            },
        ),
    ];
    let n_cases = cases.len();
    for (labels, head, task, said) in cases {
        let (_folder, samples) = store(labels);
        let (head, notes) = fitted(&samples, head, None);
        assert_eq!(head.metadata.outputs.task, task, "{said:?}");
        assert!(notes.contains(&said), "{said:?}: {notes:?}");
    }
    assert_eq!(n_cases, 5);
}
