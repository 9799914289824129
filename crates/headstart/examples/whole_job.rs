//! The whole job: from a folder of photos to one proven ONNX file, and what it says of a new photo.
#![allow(clippy::print_stdout, reason = "an example says what it found")]

use headstart::{
    Dataset, DatasetConfig, Engine, EngineConfig, Error, FitConfig, Judged, Predictor, Samples, fit,
};

fn main() -> Result<(), Error> {
    let [photos, model, new, out] =
        std::array::from_fn(|it| std::env::args().nth(1 + it).expect("PHOTOS MODEL NEW OUT"));
    let (quiet, config, file) = (&mut |_| (), DatasetConfig::default(), format!("{out}/photos.onnx"));
    let engine = Engine::new(EngineConfig::default());
    let mut backbone = engine.backbone(&model.as_str().into(), quiet)?;
    let store = engine.extract(&mut backbone, Dataset::open(photos, &config)?, out, None, quiet)?.store;
    let fitted = fit(&Samples::read(&store)?, &FitConfig::default(), quiet)?;
    if let Some(Judged::Classes(it)) = &fitted.validation {
        println!("accuracy {:.1}% of {}", 100.0 * it.accuracy, it.n_samples);
    }
    headstart::export(&mut backbone, &fitted.head, &file, &[])?;
    Predictor::open(&engine, &file, quiet)?.predict(&[(&new).into()], &mut |_, said| {
        println!("{new}: {said:?}");
        Ok::<(), Error>(())
    })?;
    Ok(())
}
