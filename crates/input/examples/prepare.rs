//! Makes of a picture what an ImageNet classifier takes.
#![allow(clippy::print_stdout, reason = "an example says what it found")]

use headstart_input::{ImageRecipe, Limits, Recipe};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).expect("FILE");
    let recipe = Recipe::Image(ImageRecipe::imagenet());
    for tensor in recipe.apply(&std::fs::read(file)?, &Limits::default())? {
        println!("{}: {} {:?}", tensor.name, tensor.data.dtype(), tensor.shape);
    }
    Ok(())
}
