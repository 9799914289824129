//! Where a recipe and a graph meet: what of the preparation is left to the graph.

use headstart_input::{ImageRecipe, Recipe};
use headstart_onnx::{OnnxModel, PixelInput, data_type, take_pixels};

use crate::cut_model::model_error;
use crate::error::BackboneError;

/// What a graph computes before the backbone's own first operator, for a recipe.
#[derive(Debug, Clone)]
pub(crate) enum Front {
    /// Normalises uint8 pixels.
    Pixels(PixelInput),
    /// Nothing: a model of texts takes what their recipe makes.
    Tokens,
}

impl Front {
    /// Refuses a recipe that contradicts itself, and a model that does not take what it makes.
    pub(crate) fn new(id: &str, model: &OnnxModel, recipe: &Recipe) -> Result<Self, BackboneError> {
        recipe.check()?;
        match recipe {
            Recipe::Text(_) => Ok(Self::Tokens),
            Recipe::Image(recipe) => {
                let channels_first = image_layout(id, model, recipe)?;
                let (mean, std) = recipe.mean_std_levels();
                let [height, width] = recipe.size.map(|it| it as usize);
                Ok(Self::Pixels(PixelInput { height, width, mean, std, channels_first }))
            }
        }
    }

    /// The graph with what comes before it: it takes what the recipe makes.
    pub(crate) fn before(&self, id: &str, graph: &OnnxModel) -> Result<OnnxModel, BackboneError> {
        match self {
            Self::Pixels(pixels) => take_pixels(graph, pixels).map_err(|err| model_error(id, err)),
            Self::Tokens => Ok(graph.clone()),
        }
    }
}

/// Whether the model takes `(n, c, h, w)`; checks that its input is one image of the size the
/// recipe makes.
fn image_layout(id: &str, model: &OnnxModel, recipe: &ImageRecipe) -> Result<bool, BackboneError> {
    let input = model.single_input().map_err(|err| model_error(id, err))?;
    let channels = recipe.n_channels() as i64;
    let shape_error = |actual: String| BackboneError::Shape {
        model: id.to_owned(),
        expected: format!(
            "one float input of {channels} channels and {}×{} pixels (set size, short-side and channels to what the model takes)",
            recipe.size[0], recipe.size[1]
        ),
        actual,
    };
    if input.elem_type() == Some(data_type::UINT8) {
        return Err(shape_error(format!(
            "uint8 pixels as `{}`, as a model takes that was exported with its head; a backbone takes floats",
            input.name()
        )));
    }
    let float = [data_type::FLOAT, data_type::FLOAT16];
    if !input.elem_type().is_some_and(|it| float.contains(&it)) {
        let element = input.elem_type().map_or("none".to_owned(), |it| it.to_string());
        return Err(shape_error(format!("ONNX element type {element} of `{}`", input.name())));
    }
    let dims = input.dims().filter(|it| it.len() == 4).ok_or_else(|| {
        shape_error(format!(
            "shape {} of `{}`",
            input.dims().map_or("unknown".to_owned(), |it| shape(&it)),
            input.name()
        ))
    })?;
    let size = recipe.size.map(i64::from);
    let fits =
        |it: &[Option<i64>], want: [i64; 3]| it.iter().zip(want).all(|(a, b)| a.is_none_or(|a| a == b));
    let (first, last) =
        (fits(&dims[1..], [channels, size[0], size[1]]), fits(&dims[1..], [size[0], size[1], channels]));
    // Fully symbolic shapes fit both; channels first is what PyTorch writes.
    if first || last {
        Ok(first)
    } else {
        Err(shape_error(format!("shape {} of `{}`", shape(&dims), input.name())))
    }
}

/// `[N, 3, 224, 224]`
fn shape(dims: &[Option<i64>]) -> String {
    let dims = dims.iter().map(|it| it.map_or("N".to_owned(), |it| it.to_string()));
    format!("[{}]", dims.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Neither crate knows the other: here is where they must agree.
    #[test]
    fn pixels_come_in_under_the_name_that_the_graph_gives_them() {
        assert_eq!(ImageRecipe::TENSOR, headstart_onnx::PIXELS);
    }
}
