//! Cuts an ONNX classifier before its last layer, and runs what is left on tensors.
#![allow(clippy::print_stdout, reason = "an example says what it found")]

use std::path::Path;

use headstart_backbone::{Runtime, Session, SessionConfig};
use headstart_input::{Data, Tensor};
use headstart_onnx::{OnnxModel, cut, find_tap, make_batch_dynamic};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [library, file] = std::array::from_fn(|it| std::env::args().nth(1 + it).expect("LIBRARY FILE"));
    let mut model = OnnxModel::load(Path::new(&file))?;
    make_batch_dynamic(&mut model)?;
    let cut = cut(&model, &find_tap(&model)?)?;
    let mut session =
        Session::load(&Runtime::load(Path::new(&library))?, &cut, &SessionConfig::default(), 0)?;
    // Any length will do where the graph takes any: a batch of two.
    let zeros = session.inputs().iter().map(|input| {
        let shape: Vec<usize> = input.shape.iter().map(|it| it.unwrap_or(2)).collect();
        let n = shape.iter().product();
        Tensor::new(input.name.clone(), shape, Data::F32(vec![0.0; n]))
    });
    let zeros: Vec<Tensor> = zeros.collect();
    for output in session.run(&zeros)? {
        println!("{}: {} {:?}", output.name, output.data.dtype(), output.shape);
    }
    Ok(())
}
