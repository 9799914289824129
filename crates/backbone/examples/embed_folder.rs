//! Embeds the files of a folder with the backbone that is compiled in.
#![allow(clippy::print_stdout, reason = "an example says what it found")]

use std::path::{Path, PathBuf};

use headstart_backbone::{
    Backbone, BackboneError, CutModel, EMBEDDED_ID, Known, Registry, RunConfig, Runtime, SessionConfig,
    Source, embedded_model, run,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [library, folder] = std::array::from_fn(|it| std::env::args().nth(1 + it).expect("LIBRARY FOLDER"));
    let runtime = Runtime::load(Path::new(&library))?;
    let spec = Registry::builtin().get(EMBEDDED_ID).cloned().expect("compiled in");
    let model = CutModel::from_bytes(embedded_model(EMBEDDED_ID).expect("compiled in"), &spec)?;
    let mut backbone = Backbone::load(&runtime, model, &SessionConfig::default(), 2)?;
    let files: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|it| Ok(it?.path())).collect::<std::io::Result<_>>()?;
    let sources: Vec<Source<'_>> = files.iter().map(Source::from).collect();
    run(backbone.runner_mut(), &sources, Known::Nothing, &RunConfig::default(), &mut |index, result| {
        match result {
            Ok(row) => println!("{} {:.3?}", files[index].display(), &row.values.unwrap_or_default()[..4]),
            Err(reason) => println!("{} {reason}", files[index].display()),
        }
        Ok::<(), BackboneError>(())
    })?;
    Ok(())
}
