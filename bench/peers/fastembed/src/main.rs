//! Peer: fastembed, a model a thread with one thread each.
//!
//! `fastembed-peer MODEL THREADS FOLDER` embeds every file of FOLDER (short side 256, centre crop 224; its
//! resize is always bicubic) with a model whose one output is the embedding, and prints JSON: images, seconds
//! from the first picture to the last row. `ORT_DYLIB_PATH` names the runtime.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::Barrier;
use std::time::Instant;

use fastembed::{ImageEmbedding, ImageInitOptionsUserDefined, UserDefinedImageEmbeddingModel};
use serde_json::json;

const BATCH: usize = 8;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, n_threads, folder] = arguments.as_slice() else { return Err("MODEL THREADS FOLDER".into()) };
    let (bytes, n_threads): (_, usize) = (fs::read(model)?, n_threads.parse()?);
    let preprocessor = json!({
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": true, "size": {"shortest_edge": 256},
        "do_center_crop": true, "crop_size": {"height": 224, "width": 224},
        "do_rescale": true, "rescale_factor": 1.0 / 255.0,
        "do_normalize": true, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
    });
    let preprocessor = serde_json::to_vec(&preprocessor)?;
    let mut files = fs::read_dir(folder)?.map(|it| Ok(it?.path())).collect::<Result<Vec<PathBuf>, std::io::Error>>()?;
    files.sort();
    let ready = &Barrier::new(n_threads + 1);
    let n_images = files.len();
    let seconds = std::thread::scope(|scope| {
        let threads: Vec<_> = files
            .chunks(n_images.div_ceil(n_threads))
            .map(|files| {
                let model = UserDefinedImageEmbeddingModel::new(bytes.clone(), preprocessor.clone());
                scope.spawn(move || {
                    let options = ImageInitOptionsUserDefined::new().with_intra_threads(1);
                    let mut embedding = ImageEmbedding::try_new_from_user_defined(model, options).expect("it loads");
                    ready.wait();
                    embedding.embed(files, Some(BATCH)).expect("it embeds").len()
                })
            })
            .collect();
        ready.wait();
        let start = Instant::now();
        let n_embedded: usize = threads.into_iter().map(|it| it.join().expect("no panic")).sum();
        assert_eq!(n_embedded, n_images);
        start.elapsed().as_secs_f64()
    });
    println!("{}", json!({"n_images": n_images, "seconds": seconds}));
    Ok(())
}
