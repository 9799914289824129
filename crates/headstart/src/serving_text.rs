//! How an exported file of texts is used without this program.

use headstart_input::{TextRecipe, TokenInput, TokenRole};

use crate::serving::Given;

/// The page, without the line that marks it as ours.
pub(crate) fn page(given: &Given, recipe: &TextRecipe) -> String {
    let Given { file, name, scores, meaning } = given;
    let names: Vec<String> = recipe.inputs.iter().map(|it| format!("`{}`", it.name)).collect();
    let python = python(file, scores, recipe);
    format!(
        "# {name}

`{file}` takes the tokens of texts: {inputs}, `(n, tokens)`. It gives
{meaning}

Texts must be cut into the tokens that the model was trained on, at most {n_tokens} each; its tokenizer is in its metadata
(`headstart.preprocess`), as a `tokenizer.json`.

## Python

`pip install onnxruntime numpy tokenizers`

```python
{python}```
",
        inputs = names.join(", "),
        n_tokens = recipe.n_tokens(),
    )
}

fn python(file: &str, scores: &str, recipe: &TextRecipe) -> String {
    let value = |input: &TokenInput| {
        let dtype = if input.is_int32 { "int32" } else { "int64" };
        let list = match input.role {
            TokenRole::Ids => "encoding.ids".to_owned(),
            TokenRole::Mask => "encoding.attention_mask".to_owned(),
            TokenRole::Types => "encoding.type_ids".to_owned(),
            TokenRole::Positions => "range(len(encoding.ids))".to_owned(),
            TokenRole::Past([heads, features]) => {
                return format!("np.zeros((1, {heads}, 0, {features}), np.float32)");
            }
        };
        format!("np.array([{list}], np.{dtype})")
    };
    // As JSON writes a text, Python reads it.
    let json = |text: &str| serde_json::json!(text).to_string();
    let inputs: Vec<String> =
        recipe.inputs.iter().map(|it| format!("        {}: {},\n", json(&it.name), value(it))).collect();
    let padding = match recipe.length {
        Some(length) => format!("tokenizer.enable_padding(length={length})\n"),
        None => "tokenizer.no_padding()\n".to_owned(),
    };
    let text =
        if recipe.prefix.is_empty() { "text".to_owned() } else { format!("{} + text", json(&recipe.prefix)) };
    format!(
        "import json, numpy as np, onnxruntime, tokenizers

session = onnxruntime.InferenceSession({file})
said = session.get_modelmeta().custom_metadata_map
labels = json.loads(said[\"headstart.labels\"])
tokenizer = tokenizers.Tokenizer.from_str(json.loads(said[\"headstart.preprocess\"])[\"tokenizer\"])
{padding}tokenizer.enable_truncation({n_tokens})

def predict(text):
    encoding = tokenizer.encode({text})
    scores = session.run([\"{scores}\"], {{
{inputs}    }})[0][0]
    return dict(zip(labels, scores.tolist()))
",
        file = json(file),
        n_tokens = recipe.n_tokens(),
        inputs = inputs.concat(),
    )
}
