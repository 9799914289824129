//! How an exported file of sounds is used without this program.

use headstart_input::AudioRecipe;

use crate::serving::Given;

/// The page, without the line that marks it as ours.
pub(crate) fn page(given: &Given, recipe: &AudioRecipe) -> String {
    let Given { file, name, scores, meaning } = given;
    let AudioRecipe { sample_rate, full_scale, .. } = recipe;
    let is_one = (full_scale - 1.0).abs() < f32::EPSILON;
    let in_python = if is_one { String::new() } else { format!(" * np.float32({full_scale:?})") };
    let in_javascript = if is_one { String::new() } else { format!(".map((it) => {full_scale:?} * it)") };
    // As JSON writes a text, Python reads it.
    let quoted = serde_json::json!(file);
    format!(
        "# {name}

`{file}` takes `waveform`: the samples of one sound, float32 `(1, samples)`, {sample_rate} a second, ±{full_scale} at
full scale. It gives
{meaning}

A sound may have any length: the file cuts its windows itself. It must have one channel, the mean of all, and the rate
above: resampled by a windowed sinc, as torchaudio does. What follows does it right.

## Python

`pip install onnxruntime numpy soundfile`

```python
import json, math, numpy as np, onnxruntime, soundfile

session = onnxruntime.InferenceSession({quoted})
labels = json.loads(session.get_modelmeta().custom_metadata_map[\"headstart.labels\"])

{RESAMPLE}
def predict(path):
    x, rate = soundfile.read(path, dtype=\"float32\", always_2d=True)
    x = resample(x.mean(axis=1), rate, {sample_rate}){in_python}
    return dict(zip(labels, session.run([\"{scores}\"], {{\"waveform\": x[None]}})[0][0].tolist()))
```

## JavaScript

`npm install onnxruntime-web`; a browser decodes and resamples by itself, though not to the last digit as above.

```js
import * as ort from \"onnxruntime-web\";

export async function samples(encoded) {{
  const context = new OfflineAudioContext(1, 1, {sample_rate});
  const sound = await context.decodeAudioData(encoded); // at the rate of the context
  const channels = Array.from({{ length: sound.numberOfChannels }}, (_, c) => sound.getChannelData(c));
  return Float32Array.from(channels[0], (_, i) => channels.reduce((sum, it) => sum + it[i], 0) / channels.length);
}}

// `session` is `await ort.InferenceSession.create(…)` of the file, `x` what `samples` gives.
export async function predict(session, x) {{
  const waveform = new ort.Tensor(\"float32\", x{in_javascript}, [1, x.length]);
  return (await session.run({{ waveform }}))[\"{scores}\"].data;
}}
```
"
    )
}

/// The windowed sinc of `torchaudio.functional.resample`, in NumPy.
const RESAMPLE: &str = "\
def resample(x, rate, to):
    g = math.gcd(rate, to)
    rate, to = rate // g, to // g
    if rate == to:
        return x
    base = min(rate, to) * 0.99
    width = math.ceil(6 * rate / base)
    t = np.arange(-width, width + rate)[None] / rate - np.arange(to)[:, None] / to
    t = np.clip(t * base, -6, 6)
    kernel = (np.sinc(t) * np.cos(t * np.pi / 12) ** 2 * base / rate).astype(np.float32)
    padded = np.pad(x, (width, width + rate))
    starts = np.arange(0, len(x) + 1, rate)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * width + rate)[starts]
    return (frames @ kernel.T).reshape(-1)[: math.ceil(to * len(x) / rate)]
";
