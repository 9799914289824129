//! Sounds by the same door: one extraction, one store, one head, one export.

use std::f64::consts::TAU;
use std::fs;
use std::process::Command;

use headstart_tests::{python, root};
use serde_json::Value;

use crate::program::{Place, counts, lines, settle};

/// The models of `tests/python/sound_models.py`, in the folder of a place.
fn models(place: &Place) -> Option<()> {
    let script = root().join("tests/python/sound_models.py");
    let status =
        Command::new(python()?).arg(script).arg(place.folder.path()).status().expect("python starts");
    assert!(status.success());
    Some(())
}

/// A WAV file of 16-bit samples, the same in all channels.
fn wav(samples: &[f64], rate: u32, n_channels: u16) -> Vec<u8> {
    #[expect(clippy::cast_possible_truncation, reason = "within 16 bits")]
    let one = |it: &f64| ((it * 32_000.0) as i16).to_le_bytes();
    let data: Vec<u8> = samples.iter().flat_map(|it| one(it).repeat(usize::from(n_channels))).collect();
    let n_bytes = u32::try_from(data.len()).expect("short");
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + n_bytes).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    bytes.extend(n_channels.to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend((rate * 2 * u32::from(n_channels)).to_le_bytes());
    bytes.extend((2 * n_channels).to_le_bytes());
    bytes.extend(b"\x10\0data");
    bytes.extend(n_bytes.to_le_bytes());
    bytes.extend(data);
    bytes
}

/// Samples of a tone that is never twice the same.
fn tone(pitch: f64, seconds: f64, rate: u32, index: usize) -> Vec<f64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand")]
    let n = (seconds * f64::from(rate)) as usize;
    let place = index as f64;
    let at = |it: usize| {
        let t = it as f64 / f64::from(rate);
        (0.5 + 0.01 * place) * (TAU * (pitch + 7.0 * place) * t + place).sin()
    };
    (0..n).map(at).collect()
}

const PITCHES: [(&str, f64); 3] = [("low", 390.0), ("middle", 1150.0), ("high", 3100.0)];

/// Folders of tones, `<folder>/<class>/N.wav`.
fn tones(place: &Place, folder: &str, n_each: usize) {
    for (class, pitch) in PITCHES {
        let folder = place.path(folder).join(class);
        fs::create_dir_all(&folder).expect("a folder");
        for index in 0..n_each {
            let seconds = 0.05 + 0.07 * index as f64;
            fs::write(
                folder.join(format!("{index}.wav")),
                wav(&tone(pitch, seconds, 16_000, index), 16_000, 1),
            )
            .expect("it is written");
        }
    }
}

#[test]
fn sounds_become_a_store_a_head_and_a_file_that_answers() {
    let place = Place::new();
    let Some(()) = models(&place) else { return };
    tones(&place, "tones", 12);
    settle();
    let train = ["train", "tones", "--model", "bands.onnx", "--out", "t.onnx", "--json"];
    let ran = place.run(&train).expect(0);
    for said in [
        "tones: 36 sounds, 3 classes (high, low, middle)",
        "bands.onnx: sounds are fed as 16000 Hz mono, ±1, windows of 0.1 s, shorter ones filled up with silence, their mean",
        "3 sounds are shorter than a window of 0.1 s, and filled up with silence",
    ] {
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
    }
    assert_eq!(ran.json()["validation"]["accuracy"], 1.0);
    // Nothing is embedded twice.
    fs::write(place.path("tones/low/more.wav"), wav(&tone(395.0, 0.3, 8_000, 3), 8_000, 2)).expect("written");
    let extract = ["extract", "tones", "--model", "bands.onnx", "--store", "t.store", "--json"];
    let ran = place.run(&extract).expect(0);
    assert_eq!(counts(&ran), [1, 36, 0, 36]);
    assert_eq!((&ran.json()["n_upsampled"], &ran.json()["n_short"]), (&1.into(), &0.into()));
    assert!(
        ran.stderr.contains("1 sound has a lower rate than the model's 16000 Hz (down to 8000 Hz)"),
        "{}",
        ran.stderr
    );
    // Another window is another space.
    let ran = place.run(&[&extract[..], &["--hop", "0.05"]].concat()).expect(2);
    assert!(ran.stderr.contains("hop"), "{}", ran.stderr);
    let ran = place.run(&[&extract[..], &["--prefix", "x"]].concat()).expect(2);
    assert!(ran.stdout.contains("takes sounds"), "{}{}", ran.stdout, ran.stderr);
    // The file says what backbone and head say, and what the page's code says.
    let ran = place.run(&["predict", "--model", "t.onnx", "tones", "--json"]).expect(0);
    let said: Vec<Value> = ran.stdout.lines().map(|it| serde_json::from_str(it).expect("JSON")).collect();
    assert_eq!(said.len(), 37);
    for it in &said {
        let path = it["path"].as_str().expect("a path");
        assert!(path.contains(&format!("/{}/", it["label"].as_str().expect("a label"))), "{it}");
    }
    for name in ["tones/low/more.wav", "tones/high/0.wav", "tones/middle/11.wav"] {
        let of_file = said.iter().find(|it| it["path"] == name).expect(name);
        let Some(python) = python() else { return };
        let output = Command::new(python)
            .arg(root().join("tests/python/served.py"))
            .args(["--sound", name, "t.md"])
            .current_dir(place.folder.path())
            .output()
            .expect("python starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let of_page: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        for (label, score) in of_file["probabilities"].as_object().expect("scores") {
            let [ours, theirs] = [score, &of_page[label]].map(|it| it.as_f64().expect("a number"));
            assert!((ours - theirs).abs() < 1e-5, "{name}, {label}: {ours} and {theirs}");
        }
    }
}

#[test]
fn models_of_sounds_by_other_hands() {
    let place = Place::new();
    let Some(()) = models(&place) else { return };
    tones(&place, "tones", 4);
    settle();
    for (model, said) in [("any", "whole or 30 s at a time"), ("masked", "whole or 30 s at a time")] {
        let (file, store, out) =
            (format!("{model}.onnx"), format!("{model}.store"), format!("{model}-out.onnx"));
        let ran = place.run(&["extract", "tones", "--model", &file, "--store", &store, "--json"]).expect(0);
        assert_eq!(counts(&ran)[0], 12, "{model}");
        assert!(ran.stderr.contains(said) && ran.stderr.contains("pooling mean"), "{model}: {}", ran.stderr);
        let head = format!("{model}.head");
        place.run(&["fit-head", "--store", &store, "--out", &head, "--validation", "0"]).expect(0);
        place
            .run(&[
                "export",
                "--model",
                &file,
                "--head",
                &head,
                "--out",
                &out,
                "--samples",
                "tones/low/2.wav",
            ])
            .expect(0);
        let ran = place.run(&["predict", "--model", &out, "tones/high/3.wav", "--json"]).expect(0);
        assert_eq!(ran.json()["label"], "high");
    }
    // The deviation of windows stands behind their mean.
    let windows = ["--window", "0.1", "--hop", "0.03", "--statistics", "mean-std", "--short", "repeat"];
    let extract = ["extract", "tones", "--model", "any.onnx", "--store", "two", "--json"];
    let ran = place.run(&[&extract[..], &windows].concat()).expect(0);
    assert!(ran.stderr.contains("any: 16 features"), "{}", ran.stderr);
    place.run(&["fit-head", "--store", "two", "--out", "two.head", "--validation", "0"]).expect(0);
    let export = ["export", "--model", "any.onnx", "--head", "two.head", "--out", "two.onnx"];
    place.run(&[&export[..], &windows].concat()).expect(0);
    // Whether frames or channels come last is seen, and their number said by the runtime where the file does not.
    for (model, n_features) in [("any", 8), ("loose", 8), ("nct", 16)] {
        let (file, store) = (format!("{model}.onnx"), format!("{model}.s"));
        let ran = place.run(&["extract", "tones", "--model", &file, "--store", &store]).expect(0);
        assert!(ran.stderr.contains(&format!("model {model}: {n_features} features")), "{}", ran.stderr);
    }
    let table = |store: &str| {
        let out = format!("{store}.csv");
        place.run(&["table", "--store", store, "--out", &out]).expect(0);
        fs::read_to_string(place.path(&out)).expect("a table")
    };
    assert_eq!(table("any.s"), table("loose.s"));
    // Features are not guessed.
    let ran = place.run(&["extract", "tones", "--model", "random.onnx", "--store", "x"]).expect(2);
    assert!(ran.stderr.contains("`features`"), "{}", ran.stderr);
    let given = ["extract", "tones", "--model", "any.onnx", "--store", "x", "--front-end", "whisper-80"];
    let ran = place.run(&given).expect(2);
    assert!(ran.stderr.contains("80 bins and 3000 frames"), "{}", ran.stderr);
}

#[test]
fn a_damaged_sound_costs_itself() {
    let place = Place::new();
    let Some(()) = models(&place) else { return };
    tones(&place, "tones", 2);
    let good = wav(&tone(700.0, 0.5, 16_000, 1), 16_000, 1);
    let folder = place.path("tones/odd");
    fs::create_dir_all(&folder).expect("a folder");
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("small")
    };
    // Headers that lie, ends that are missing, bytes of anything: 300 of them.
    for index in 0..296 {
        let mut bytes = good.clone();
        match index % 4 {
            0 => bytes.truncate(next(good.len())),
            1 => (0..1 + index % 5).for_each(|_| bytes[next(44)] = next(256).to_le_bytes()[0]),
            2 => (0..20).for_each(|_| bytes[next(good.len())] = next(256).to_le_bytes()[0]),
            _ => bytes[22 + next(14)..40].fill(next(256).to_le_bytes()[0]),
        }
        fs::write(folder.join(format!("{index}.wav")), bytes).expect("it is written");
    }
    fs::write(folder.join("empty.wav"), "").expect("it is written");
    fs::write(folder.join("picture.wav"), b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").expect("it is written");
    fs::write(folder.join("none.wav"), wav(&[], 16_000, 1)).expect("it is written");
    fs::write(
        folder.join("words.opus"),
        b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x13OpusHead",
    )
    .expect("written");
    fs::write(folder.join("notes.txt"), "no sound").expect("it is written");
    // One of silence counts as silent, and none that failed does.
    fs::write(place.path("tones/low/silent.wav"), wav(&[0.0; 3000], 16_000, 1)).expect("it is written");
    settle();
    let extract = ["extract", "tones", "--model", "bands.onnx", "--store", "s", "--json"];
    let ran = place.run(&extract).expect(1);
    let [n_embedded, n_cached, n_failed, _] = counts(&ran);
    assert_eq!(n_embedded + n_cached + n_failed, 7 + 300);
    assert!(n_embedded >= 60 && n_failed >= 60, "{n_embedded} {n_failed}");
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    let reasons: Vec<String> = lines(&place.path("s/failures.jsonl"))
        .iter()
        .filter_map(|it| it["reason"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(reasons.len() as u64, n_failed);
    for expected in [
        "is no sound in a format that is known",
        "has no samples",
        "is a sound in Opus, which is not read; convert it to WAV, FLAC or MP3",
    ] {
        assert!(reasons.iter().any(|it| it == expected), "{expected}: {reasons:?}");
    }
    assert!(ran.json()["n_damaged"].as_u64().expect("a number") >= 30, "{}", ran.stdout);
    // What failed is tried again, and nothing else.
    let ran = place.run(&extract).expect(1);
    assert_eq!(counts(&ran)[..3], [0, n_embedded + n_cached, n_failed]);
}

#[test]
fn nobody_need_say_what_a_dataset_holds() {
    let place = Place::new();
    tones(&place, "tones", 10);
    fs::write(place.path("tones/cover.png"), "beside sounds").expect("it is written");
    fs::write(place.path("mood.jsonl"), "{\"text\": \"a good film\", \"label\": \"good\"}\n")
        .expect("written");
    settle();
    let ran = place.run(&["extract", "tones", "--store", "s", "--json"]).expect(0);
    assert!(ran.stderr.contains("model headstart-log-mel: 384 features"), "{}", ran.stderr);
    assert_eq!(counts(&ran)[0], 30);
    // A head says what it was fitted on.
    place.run(&["fit-head", "--store", "s", "--out", "t.head", "--validation", "0"]).expect(0);
    place.run(&["export", "--head", "t.head", "--out", "t.onnx"]).expect(0);
    for asked in [["--head", "t.head"], ["--model", "t.onnx"]] {
        let ran = place.run(&["predict", asked[0], asked[1], "tones/high/5.wav", "--json"]).expect(0);
        assert_eq!(ran.json()["label"], "high", "{asked:?}");
    }
    // A manifest of sounds; its header is the usual one.
    let rows: String =
        (0..10).map(|it| format!("tones/low/{it}.wav,low\ntones/high/{it}.wav,high\n")).collect();
    fs::write(place.path("some.csv"), format!("path,label\n{rows}")).expect("it is written");
    let ran = place.run(&["extract", "some.csv", "--store", "s", "--json"]).expect(0);
    assert_eq!(counts(&ran)[..3], [0, 20, 0]);
    let ran = place.run(&["extract", "mood.jsonl", "--store", "m", "--json"]).expect(0);
    assert!(ran.stderr.contains("model headstart-words: 160 features"), "{}", ran.stderr);
    let ran = place.run(&["models", "inspect", "headstart-log-mel", "--json"]).expect(0);
    assert_eq!((&ran.json()["kind"], &ran.json()["tap"]["tensor"]), (&"audio".into(), &"row".into()));
}

/// Groups stay together: no speaker is on both sides of a split that is drawn.
#[test]
fn sounds_of_a_group_stay_together() {
    let place = Place::new();
    tones(&place, "tones", 12);
    let row = |class: &str, it: usize| format!("tones/{class}/{it}.wav,{class},speaker {}\n", it / 3);
    let rows: String = (0..12).flat_map(|it| PITCHES.map(|(class, _)| row(class, it))).collect();
    fs::write(place.path("some.csv"), format!("path,label,speaker\n{rows}")).expect("it is written");
    settle();
    place.run(&["extract", "some.csv", "--store", "s"]).expect(0);
    let fit = ["fit-head", "--store", "s", "--out", "t.head", "--validation", "0.25", "--json"];
    let ran = place.run(&fit).expect(0);
    // Three sounds a class of each of four speakers: whole speakers are held out.
    let n = ran.json()["validation"]["n_samples"].as_u64().expect("a number");
    assert!(n > 0 && n.is_multiple_of(9), "{}", ran.stdout);
}
