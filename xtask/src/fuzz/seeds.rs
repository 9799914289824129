//! Small files that read, made by code, so that the targets need nothing but themselves.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::Result;
use headstart_head::{Activation, DenseLayer, HeadModel};
use headstart_store::{Digest, EmbeddingSpace, FileStat, Label, Run, Sample, SampleTable, Store};
use image::{ImageFormat, Rgb, RgbImage};
use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress, compress_progressive};
use ndarray::{Array1, Array2};
use serde_json::json;

use crate::root;
use crate::tones::wav;

/// One picture in every format, and odd ones that once were read wrongly.
pub(crate) fn pictures() -> Result<Vec<Vec<u8>>> {
    let (width, height) = (40, 24);
    let image =
        RgbImage::from_fn(width, height, |x, y| Rgb([x * 6, y * 10, x * y].map(|it| it.to_le_bytes()[0])));
    let mut files = Vec::new();
    for format in [
        ImageFormat::Png,
        ImageFormat::WebP,
        ImageFormat::Gif,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
        ImageFormat::Ico,
        ImageFormat::Tga,
        ImageFormat::Pnm,
        ImageFormat::Qoi,
    ] {
        let mut file = Cursor::new(Vec::new());
        image.write_to(&mut file, format)?;
        files.push(file.into_inner());
    }
    let (w, h) = (width as usize, height as usize);
    files.push(compress(image.as_raw(), w, h, PixelFormat::Rgb, 80, Subsampling::S420)?);
    files.push(compress_progressive(image.as_raw(), w, h, PixelFormat::Rgb, 80, Subsampling::S444)?);
    for name in ["exif-behind-marker.webp", "palette.tif", "alpha.jp2"] {
        files.push(fs::read(root().join("tests/regressions").join(name))?);
    }
    Ok(files)
}

/// A tenth of a second of a tone, in every format that there is an encoder for.
pub(crate) fn sounds() -> Result<Vec<Vec<u8>>> {
    let names = ["tone.flac", "tone.ogg", "tone.mp3", "tone.aiff", "tone-adpcm.wav"];
    let read = |it: &&str| Ok(fs::read(root().join("tests/regressions").join(it))?);
    let mut files: Vec<Vec<u8>> = names.iter().map(read).collect::<Result<_>>()?;
    // 16 bits, two channels.
    let samples: Vec<u8> = (0..1600_i16).flat_map(|it| ((it % 37) * 800).to_le_bytes()).collect();
    files.push(wav(&samples, 2)?);
    Ok(files)
}

/// A `tokenizer.json` of every kind of part that is common: WordPiece with a normaliser, a template, padding.
pub(crate) fn tokenizer() -> String {
    let words =
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "it", "is", "a", "##s", "##od", "go", "as", ",", "day"];
    let vocab: serde_json::Map<String, serde_json::Value> =
        words.iter().enumerate().map(|(id, word)| ((*word).to_owned(), json!(id))).collect();
    let special = |name: &str| json!({"SpecialToken": {"id": name, "type_id": 0}});
    let text = json!({"Sequence": {"id": "A", "type_id": 0}});
    json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 16, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": [{"id": 0, "content": "[PAD]", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true}],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": [special("[CLS]"), text, special("[SEP]")],
            "pair": [text, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}},
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab},
    })
    .to_string()
}

/// `x (1, 3, 8, 8)` → Conv 1×1 → GlobalAveragePool → Flatten → Gemm → `y (1, 2)`, by the wire format.
pub(crate) fn model() -> Vec<u8> {
    let dim = |value: u64| bytes(1, &number(1, value));
    let value_info = |name: &str, dims: &[u64]| {
        let shape: Vec<u8> = dims.iter().flat_map(|it| dim(*it)).collect();
        let tensor = [number(1, 1), bytes(2, &shape)].concat();
        [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
    };
    let weight = |name: &str, dims: &[u64]| {
        let n_bytes = 4 * usize::try_from(dims.iter().product::<u64>()).unwrap_or(0);
        let dims: Vec<u8> = dims.iter().flat_map(|it| number(1, *it)).collect();
        [dims, number(2, 1), bytes(8, name.as_bytes()), bytes(9, &vec![0x3e; n_bytes])].concat()
    };
    let node = |operator: &str, inputs: &[&str], output: &str| {
        let inputs: Vec<u8> = inputs.iter().flat_map(|it| bytes(1, it.as_bytes())).collect();
        [inputs, bytes(2, output.as_bytes()), bytes(4, operator.as_bytes())].concat()
    };
    let graph = [
        bytes(1, &node("Conv", &["x", "w"], "a")),
        bytes(1, &node("GlobalAveragePool", &["a"], "b")),
        bytes(1, &node("Flatten", &["b"], "c")),
        bytes(1, &node("Gemm", &["c", "v", "t"], "y")),
        bytes(2, b"graph"),
        bytes(5, &weight("w", &[4, 3, 1, 1])),
        bytes(5, &weight("v", &[4, 2])),
        bytes(5, &weight("t", &[2])),
        bytes(11, &value_info("x", &[1, 3, 8, 8])),
        bytes(12, &value_info("y", &[1, 2])),
    ]
    .concat();
    [number(1, 8), bytes(7, &graph), bytes(8, &number(2, 13))].concat()
}

/// A field of bytes.
fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    [vec![field << 3 | 2], varint(content.len() as u64), content.to_vec()].concat()
}

/// A field that is a number.
fn number(field: u8, value: u64) -> Vec<u8> {
    [vec![field << 3], varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = (value & 0x7f).to_le_bytes()[0];
        value >>= 7;
        if value == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

/// A head of two classes on three features.
pub(crate) fn head() -> Result<Vec<u8>> {
    let layer = DenseLayer {
        weight: Array2::from_elem((3, 2), 0.5),
        bias: Array1::from(vec![0.1, -0.1]),
        activation: Activation::Softmax,
    };
    let metadata = json!({
        "task": "classification",
        "labels": ["a", "b"],
        "fingerprint": "f",
        "space": {},
        "fit": {
            "head": "logistic",
            "solver": "headstart",
            "alpha": 1.0,
            "path": null,
            "balanced": false,
            "standardized": false,
            "n_samples": 2,
            "class_counts": [1, 1],
            "validation": 0.2,
            "seed": 0,
            "certificate": null,
            "training": null,
        },
    });
    let head = HeadModel {
        layers: vec![layer],
        metadata: serde_json::from_value(metadata)?,
        trained_on: vec![1, 2],
    };
    Ok(head.to_bytes()?)
}

/// The files of a store, a journal that nobody finished among them, with their paths inside it.
pub(crate) fn store(folder: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let description = json!({"tap": "features"}).as_object().cloned().unwrap_or_default();
    let space = EmbeddingSpace { model: "none".to_owned(), n_features: 4, description };
    let store = Store::create(folder, &space)?;
    let digests: Vec<Digest> = (0..6_u8).map(|it| Digest::of(&[it])).collect();
    let mut writer = store.writer(Run::Whole)?;
    writer.append(&digests[..4], &[0.5; 16])?;
    let sample = |(index, digest): (usize, &Digest)| Sample {
        path: format!("{index}.png"),
        label: Some(Label::Class(format!("class {}", index % 2))),
        split: None,
        group: None,
        digest: *digest,
        stat: FileStat { size: 1, mtime_ns: 2, ctime_ns: 2 },
    };
    let samples = digests[..4].iter().enumerate().map(sample).collect();
    writer.finish(&SampleTable { root: "/".to_owned(), samples }, &[])?;
    let mut unfinished = store.writer(Run::Whole)?;
    unfinished.append(&digests[4..], &[0.25; 8])?;
    drop(unfinished);
    let mut files = Vec::new();
    for name in ["", "embeddings", "samples"] {
        for entry in fs::read_dir(folder.join(name))? {
            let path = entry?.path();
            if path.is_file() {
                files.push((path.strip_prefix(folder)?.to_owned(), fs::read(&path)?));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Manifests by extension.
pub(crate) fn manifests(folder: &Path) -> Result<Vec<(&'static str, Vec<u8>)>> {
    // A store's table of samples has the columns of a manifest.
    let parquet = store(&folder.join("of-manifest"))?.into_iter().find(|it| it.0.starts_with("samples"));
    let text = |it: &str| it.as_bytes().to_vec();
    let mut manifests = vec![
        ("csv", text("path,label,split,group\na.png,\"one, two\",train,g\nb.png,two,val,\n")),
        ("tsv", text("path\tlabel\na.png\tone\nb.png\ttwo\n")),
        (
            "jsonl",
            text("{\"path\": \"a.png\", \"label\": [\"x\", \"y\"]}\n{\"path\": \"b.png\", \"label\": 3}\n"),
        ),
    ];
    manifests.extend(parquet.map(|it| ("parquet", it.1)));
    Ok(manifests)
}
