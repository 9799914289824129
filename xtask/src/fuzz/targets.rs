//! What is attacked: everything that reads bytes from elsewhere.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use headstart::{Dataset, DatasetConfig};
use headstart_head::HeadModel;
use headstart_input::{
    AudioRecipe, ImageRecipe, Limits, Recipe, TextRecipe, TokenInput, TokenRole, Tokenizer,
};
use headstart_onnx::{OnnxModel, Quantizer, cut, find_tap, make_batch_dynamic, to_f16};
use headstart_store::{Run, Store};

use super::seeds;
use crate::target;

/// Reads; whether what it read was in order.
type Read = dyn FnMut(&[u8]) -> bool;

/// A reader and small files that it reads.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) seeds: Vec<Vec<u8>>,
    pub(crate) read: Box<Read>,
    /// Inputs in a test run: some seconds.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the test"))]
    pub(crate) n_in_test: u64,
}

impl Target {
    pub(crate) fn all() -> Result<Vec<Self>> {
        let folder = target().join("fuzz/work");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        Ok(vec![
            Self {
                name: "pictures",
                seeds: seeds::pictures()?,
                read: Box::new(|bytes| {
                    let limits = Limits { max_bytes: 64 << 20, ..Limits::default() };
                    ImageRecipe::imagenet().apply(bytes, &limits).is_ok()
                }),
                n_in_test: 3000,
            },
            Self {
                name: "onnx",
                seeds: vec![seeds::model()],
                read: Box::new(reads_model),
                n_in_test: 30_000,
            },
            Self {
                name: "heads",
                seeds: vec![seeds::head()?],
                read: Box::new(|bytes| HeadModel::from_bytes(bytes).is_ok()),
                n_in_test: 30_000,
            },
            texts()?,
            sounds()?,
            store(&folder.join("store"))?,
            manifests(&folder)?,
        ])
    }
}

/// Reads a model, and does to it what the program does.
fn reads_model(bytes: &[u8]) -> bool {
    let work = || {
        let mut model = OnnxModel::from_bytes(bytes.to_vec())?;
        make_batch_dynamic(&mut model)?;
        let cut = cut(&model, &find_tap(&model)?)?;
        drop(model.external_data_files());
        drop(to_f16(&cut));
        if let Ok(mut quantizer) = Quantizer::new(&cut) {
            (0..8).for_each(|output| quantizer.observe(output, &[1, 3, 1, 1], &[1.0, -2.0, 300.0]));
            drop(quantizer.equalize());
            (0..8).for_each(|output| quantizer.observe(output, &[1, 3, 1, 1], &[1.0, -2.0, 300.0]));
            drop(quantizer.quantize());
        }
        cut.to_bytes()
    };
    work().is_ok()
}

/// A tokenizer that is damaged, on a text; and a text that is none, for one that is whole.
fn texts() -> Result<Target> {
    let whole = seeds::tokenizer();
    let recipe = |json: &str| -> Option<Recipe> {
        let (role, tokenizer) = (TokenRole::Ids, Some(Tokenizer::from_json(json).ok()?));
        let inputs = vec![TokenInput { name: "ids".to_owned(), role, is_int32: false }];
        let recipe = Recipe::Text(TextRecipe { tokenizer, inputs, ..TextRecipe::default() });
        recipe.check().ok().map(|()| recipe)
    };
    let of_texts = recipe(&whole).context("the seed is a tokenizer")?;
    let files =
        [((), whole.into_bytes()), ((), "Good morning, it is a fine day – 日本 👩‍👩‍👧".as_bytes().to_vec())];
    let seeds = tagged(&files);
    let limits = Limits { max_bytes: 64 << 20, ..Limits::default() };
    let read = move |input: &[u8]| match untagged(input, 2) {
        Some((0, json)) => {
            let recipe = std::str::from_utf8(json).ok().and_then(recipe);
            recipe.is_some_and(|it| it.apply("it is good, as good as it is".as_bytes(), &limits).is_ok())
        }
        Some((_, text)) => of_texts.apply(text, &limits).is_ok(),
        None => false,
    };
    Ok(Target { name: "texts", seeds, read: Box::new(read), n_in_test: 20_000 })
}

/// Sounds, and the numbers of front ends.
fn sounds() -> Result<Target> {
    let front_end = r#"{"kind": "audio", "front-end": {"n-mels": 3, "n-fft": 64, "frame-length": 50, "range": [20, 8000]}}"#;
    let mut files: Vec<((), Vec<u8>)> = vec![((), front_end.as_bytes().to_vec())];
    files.extend(seeds::sounds()?.into_iter().map(|it| ((), it)));
    let (seeds, limits) = (tagged(&files), Limits { max_bytes: 64 << 20, ..Limits::default() });
    let recipe = Recipe::Audio(AudioRecipe { window: Some(0.02), ..AudioRecipe::default() });
    let n_files = files.len();
    let read = move |input: &[u8]| match untagged(input, n_files) {
        Some((0, json)) => {
            let recipe: Option<Recipe> = serde_json::from_slice(json).ok();
            recipe.is_some_and(|it| it.check().is_ok() && !it.probes(1)[0][0].data.is_empty())
        }
        Some((_, sound)) => {
            let decoded = recipe.decode(sound.into(), &limits);
            decoded.is_ok_and(|it| recipe.pieces(it).all(|piece| piece.is_ok()))
        }
        None => false,
    };
    Ok(Target { name: "sounds", seeds, read: Box::new(read), n_in_test: 5000 })
}

/// A store one of whose files is damaged: read, then put in order by a run.
fn store(folder: &Path) -> Result<Target> {
    let files = seeds::store(folder)?;
    let seeds = tagged(&files);
    let place = folder.to_owned();
    let read = move |input: &[u8]| {
        let Some((damaged, bytes)) = untagged(input, files.len()) else { return false };
        if fs::remove_dir_all(&place).is_err() {
            return false;
        }
        for (index, (name, content)) in files.iter().enumerate() {
            let path = place.join(name);
            let content = if index == damaged { bytes } else { content };
            let made = path.parent().is_some_and(|it| fs::create_dir_all(it).is_ok());
            if !made || fs::write(path, content).is_err() {
                return false;
            }
        }
        let Ok(store) = Store::open(&place) else { return false };
        let mut is_good = store.batches().is_ok_and(|mut it| it.all(|batch| batch.is_ok()));
        match store.samples() {
            Ok(table) => {
                let digests: Vec<_> = table.samples.iter().map(|it| it.digest).collect();
                is_good &= store.load(&digests).is_ok();
            }
            Err(_) => is_good = false,
        }
        is_good & store.writer(Run::Whole).is_ok()
    };
    Ok(Target { name: "store", seeds, read: Box::new(read), n_in_test: 1000 })
}

/// Manifests of every format.
fn manifests(folder: &Path) -> Result<Target> {
    let files = seeds::manifests(folder)?;
    let seeds = tagged(&files);
    let folder = folder.to_owned();
    let read = move |input: &[u8]| {
        let Some((index, bytes)) = untagged(input, files.len()) else { return false };
        let path = folder.join("manifest").with_extension(files[index].0);
        fs::write(&path, bytes).is_ok() && Dataset::open(&path, &DatasetConfig::default()).is_ok()
    };
    Ok(Target { name: "manifests", seeds, read: Box::new(read), n_in_test: 5000 })
}

/// The contents of files, each behind a byte that says which one it stands for.
fn tagged<N>(files: &[(N, Vec<u8>)]) -> Vec<Vec<u8>> {
    let tagged = |(tag, (_, bytes)): (usize, &(N, Vec<u8>))| {
        [&[u8::try_from(tag).unwrap_or(u8::MAX)], bytes.as_slice()].concat()
    };
    files.iter().enumerate().map(tagged).collect()
}

/// Which of `n_files` an input stands for, and its content.
fn untagged(input: &[u8], n_files: usize) -> Option<(usize, &[u8])> {
    input.split_first().map(|(tag, bytes)| (usize::from(*tag) % n_files, bytes))
}
