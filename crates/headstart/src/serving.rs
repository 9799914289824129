//! How an exported file is used without this program: a page beside it, with code for this very model.

use std::fs;
use std::path::{Path, PathBuf};

use headstart_head::{Outputs, Task};
use headstart_input::{Background, Channels, Filter, ImageRecipe, Recipe};

use crate::error::Error;
use crate::files::write_file;
use crate::{serving_audio, serving_text};

/// The first line of a page: one that begins otherwise is somebody's own, and stays.
const MARK: &str = "<!-- Written by `headstart export`: how to use the model beside it. -->";

/// Writes the page beside an exported file, unless one that somebody else wrote has its place.
pub(crate) fn write_page(out: &Path, outputs: &Outputs, recipe: &Recipe) -> Result<Option<PathBuf>, Error> {
    let path = out.with_extension("md");
    match fs::read(&path) {
        Ok(there) if !there.starts_with(MARK.as_bytes()) => return Ok(None),
        Ok(_) => {}
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => {}
        // A folder, or what may not be read: somebody's own, too.
        Err(_) => return Ok(None),
    }
    let text = match recipe {
        Recipe::Image(recipe) => page(&Given::new(out, outputs), recipe),
        Recipe::Text(recipe) => serving_text::page(&Given::new(out, outputs), recipe),
        Recipe::Audio(recipe) => serving_audio::page(&Given::new(out, outputs), recipe),
    };
    write_file(&path, format!("{MARK}\n{text}").as_bytes())?;
    Ok(Some(path))
}

/// What a model gives, as a page tells it.
pub(crate) struct Given {
    /// Name of the file.
    pub(crate) file: String,
    /// The same without its ending.
    pub(crate) name: String,
    /// Name of the output that counts.
    pub(crate) scores: &'static str,
    /// That output, and what it means.
    pub(crate) meaning: String,
}

impl Given {
    fn new(out: &Path, outputs: &Outputs) -> Self {
        let file = out.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = file.strip_suffix(".onnx").unwrap_or(&file).to_owned();
        let (scores, meaning) = match outputs.task {
            Task::Classification => ("probabilities", "a probability for each label; they sum to 1"),
            Task::Multilabel => {
                ("probabilities", "a probability for each label, of which several may be given")
            }
            Task::Regression => ("predictions", "a number for each target"),
        };
        let labels: Vec<&str> = outputs.labels.iter().take(5).map(String::as_str).collect();
        let more = if outputs.labels.len() > labels.len() { ", …" } else { "" };
        let meaning = format!(
            "`{scores}`, `(n, {})`: {meaning}. The labels, in this order, are in its metadata (`headstart.labels`): \
             {}{more}.",
            outputs.labels.len(),
            labels.join(", ")
        );
        Self { file, name, scores, meaning }
    }
}

fn page(given: &Given, recipe: &ImageRecipe) -> String {
    let Given { file, name, scores, meaning } = given;
    let [height, width] = recipe.size;
    let channels = match recipe.channels {
        Channels::Rgb => "red, green, blue",
        Channels::Bgr => "blue, green, red",
        Channels::Grey => "grey",
    };
    let (python, javascript) = (python(file, scores, recipe), javascript(scores, recipe));
    format!(
        "# {name}

`{file}` takes `image`: whole numbers of 8 bits, 0–255, `(n, {height}, {width}, {n_channels})`: {channels}. It gives
{meaning}

The pictures must be prepared as they were for training: turned by EXIF, resized as Pillow does (antialiased), cropped
in the middle. A plain resize gives other answers. What follows does it right.

## Python

`pip install onnxruntime numpy pillow`

```python
{python}```

## JavaScript

`npm install onnxruntime-web`; `pixels` is what `getImageData` of a canvas gives: `data` (red, green, blue, alpha),
`width` and `height`.

```js
{javascript}```
",
        n_channels = recipe.n_channels(),
    )
}

fn python(file: &str, scores: &str, recipe: &ImageRecipe) -> String {
    let [height, width] = recipe.size;
    let behind = if recipe.background == Background::White { "white" } else { "black" };
    let filter = match recipe.filter {
        Filter::Bilinear => "BILINEAR",
        Filter::Bicubic => "BICUBIC",
    };
    let turn =
        if recipe.orientation { "ImageOps.exif_transpose(Image.open(path))" } else { "Image.open(path)" };
    let resize = match recipe.short_side {
        None => format!("    image = image.resize(({width}, {height}), Image.Resampling.{filter})\n"),
        Some(side) => format!(
            "    short, (w, h) = min(image.size), image.size
    w, h = ({side}, {side} * h // short) if w <= h else ({side} * w // short, {side})
    image = image.resize((w, h), Image.Resampling.{filter})
    x, y = round((w - {width}) / 2), round((h - {height}) / 2)
    image = image.crop((x, y, x + {width}, y + {height}))\n"
        ),
    };
    let (convert, array) = match recipe.channels {
        Channels::Rgb => ("RGB", "np.asarray(image)[None]"),
        Channels::Bgr => ("RGB", "np.ascontiguousarray(np.asarray(image)[None, ..., ::-1])"),
        Channels::Grey => ("L", "np.asarray(image)[None, ..., None]"),
    };
    // As JSON writes a text, Python reads it.
    let file = serde_json::json!(file);
    format!(
        "import json, numpy as np, onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession({file})
labels = json.loads(session.get_modelmeta().custom_metadata_map[\"headstart.labels\"])

def predict(path):
    image = {turn}.convert(\"RGBA\")
    image = Image.alpha_composite(Image.new(\"RGBA\", image.size, \"{behind}\"), image).convert(\"{convert}\")
{resize}    return dict(zip(labels, session.run([\"{scores}\"], {{\"image\": {array}}})[0][0].tolist()))
"
    )
}

fn javascript(scores: &str, recipe: &ImageRecipe) -> String {
    let [height, width] = recipe.size;
    let behind = if recipe.background == Background::White { 255 } else { 0 };
    let (reach, filter) = match recipe.filter {
        Filter::Bilinear => (1, "(x) => Math.max(0, 1 - Math.abs(x))"),
        Filter::Bicubic => (
            2,
            "(x) => ((x = Math.abs(x)) < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? -0.5 * (((x - 5) * x + 8) * x - 4) : 0)",
        ),
    };
    let sides = match recipe.short_side {
        None => format!("[{width}, {height}]"),
        Some(side) => format!(
            "w <= h ? [{side}, Math.floor(({side} * h) / w)] : [Math.floor(({side} * w) / h), {side}]"
        ),
    };
    let channels = match recipe.channels {
        Channels::Rgb => "[r, g, b]",
        Channels::Bgr => "[b, g, r]",
        Channels::Grey => "[Math.round(0.299 * r + 0.587 * g + 0.114 * b)]",
    };
    let n_channels = recipe.n_channels();
    format!(
        "import * as ort from \"onnxruntime-web\";

const [height, width, channels] = [{height}, {width}, {n_channels}];
const filter = {filter};

// For `kept` of `to` pixels in the middle of a line that had `from`: the first old pixel, and the weights of those from it on.
function weights(from, to, kept) {{
  const scale = from / to, wide = Math.max(scale, 1), left = (to - kept) / 2;
  const begin = left % 1 ? 2 * Math.round(left / 2) : left; // half to even
  return Array.from({{ length: kept }}, (_, i) => {{
    const centre = (begin + i + 0.5) * scale;
    const first = Math.floor(Math.max(0, centre - {reach} * wide + 0.5));
    const last = Math.min(from, Math.floor(centre + {reach} * wide + 0.5));
    const w = Array.from({{ length: last - first }}, (_, j) => filter((first + j - centre + 0.5) / wide));
    const sum = w.reduce((a, b) => a + b, 0);
    return [first, w.map((it) => it / sum)];
  }});
}}

export function prepare({{ data, width: w, height: h }}) {{
  const line = new Float64Array(w * h * channels); // transparency laid over the background
  for (let i = 0; i < w * h; i++) {{
    const [r, g, b] = [0, 1, 2].map((c) => {behind} + ((data[4 * i + c] - {behind}) * data[4 * i + 3]) / 255).map(Math.round);
    line.set({channels}, i * channels);
  }}
  const [wide, high] = {sides};
  const columns = weights(w, wide, width), rows = weights(h, high, height);
  const across = new Uint8ClampedArray(h * width * channels); // rounds and clamps, as Pillow does in between
  const out = new Uint8ClampedArray(height * width * channels);
  const sum = ([first, w], at) => w.reduce((all, it, j) => all + it * at(first + j), 0);
  for (let y = 0; y < h; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < channels; c++)
        across[(y * width + x) * channels + c] = sum(columns[x], (i) => line[(y * w + i) * channels + c]);
  for (let y = 0; y < height; y++)
    for (let i = 0; i < width * channels; i++)
      out[y * width * channels + i] = sum(rows[y], (j) => across[j * width * channels + i]);
  return new Uint8Array(out.buffer);
}}

// `session` is `await ort.InferenceSession.create(…)` of the file.
export async function predict(session, pixels) {{
  const image = new ort.Tensor(\"uint8\", prepare(pixels), [1, height, width, channels]);
  return (await session.run({{ image }}))[\"{scores}\"].data;
}}
"
    )
}
