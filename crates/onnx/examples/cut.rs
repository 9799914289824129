//! Says where a classifier would be cut, and writes what is before that.
#![allow(clippy::print_stdout, reason = "an example says what it found")]

use std::path::Path;

use headstart_onnx::{OnnxError, OnnxModel, Summary, cut, find_tap, make_batch_dynamic};

fn main() -> Result<(), OnnxError> {
    let [file, out] = std::array::from_fn(|it| std::env::args().nth(1 + it).expect("FILE OUT"));
    let mut model = OnnxModel::load(Path::new(&file))?;
    make_batch_dynamic(&mut model)?;
    let tap = find_tap(&model)?;
    let backbone = cut(&model, &tap)?;
    backbone.save(Path::new(&out))?;
    let parameters = [&model, &backbone].map(|it| Summary::of(it).n_parameters);
    println!("cut at {}: {} of {} parameters", tap.tensor, parameters[1], parameters[0]);
    Ok(())
}
