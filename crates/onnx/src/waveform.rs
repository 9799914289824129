//! Models of sounds: a waveform in at one end; windows of it in the graph, for a file that takes sounds whole.

use crate::cut::{Dim, tensor_info};
use crate::error::OnnxError;
use crate::model::{OnnxModel, data_type};
use crate::names::free_names;
use crate::opset::expect_opset;
use crate::pool::{Appending, is_token_mask};
use crate::proto::{AttributeProto, NodeProto, TensorProto};

/// Name of the waveform input.
pub const WAVEFORM: &str = "waveform";

/// Tensors on the way from the waveform to the old input.
const HALF: &str = "waveform/half";

/// Names of the row of a sound whose windows the graph cuts.
const MERGED: &str = "headstart_merged";

/// Whether a model takes the samples of sounds: one tensor of floats, `(n, samples)` or `(n, 1, samples)`, and at most
/// a mask beside it that says which samples count.
#[must_use]
pub fn takes_waveform(model: &OnnxModel) -> bool {
    let inputs = model.inputs();
    let mut waveforms = inputs.iter().filter(|it| !is_token_mask(it.name()));
    let (Some(input), None) = (waveforms.next(), waveforms.next()) else { return false };
    let is_float = matches!(input.elem_type(), Some(data_type::FLOAT | data_type::FLOAT16));
    is_float && matches!(input.dims().as_deref(), Some([_, _] | [_, Some(1), _]))
}

/// The number of samples that a model of sounds takes, where it takes no other.
#[must_use]
pub fn waveform_length(model: &OnnxModel) -> Option<usize> {
    let inputs = model.inputs();
    let input = inputs.iter().find(|it| !is_token_mask(it.name()))?;
    usize::try_from(input.dims()?.last().copied().flatten()?).ok()
}

/// Fills the mask of a model of sounds where it takes one: every sample counts.
///
/// Sounds of different lengths never share a batch, so that there is nothing to leave out, and no row depends on what
/// another was filled up with.
///
/// # Errors
/// [`OnnxError::OpsetTooOld`] below opset 8.
pub fn fill_mask(model: &mut OnnxModel) -> Result<(), OnnxError> {
    let inputs = model.inputs();
    let waveform = inputs.iter().find(|it| !is_token_mask(it.name())).map(|it| it.name().to_owned());
    let mask = inputs.iter().find(|it| is_token_mask(it.name()));
    let (Some(waveform), Some(mask)) = (waveform, mask) else { return Ok(()) };
    let (mask, element) = (mask.name().to_owned(), mask.elem_type().unwrap_or(data_type::INT64));
    expect_opset(model.opset(), 8, Some("Expand"))?;
    let graph = model.graph_mut();
    let [shape, one, ones] = ["shape", "one", "ones"].map(|it| format!("{mask}/{it}"));
    free_names(graph, &[&shape, &one, &ones]);
    graph.initializer.push(TensorProto::from_raw(&one, data_type::INT64, &[], 1_i64.to_le_bytes().to_vec()));
    let nodes = [
        NodeProto::new("Shape", &[&waveform], &shape, vec![]),
        NodeProto::new("Expand", &[&one, &shape], &ones, vec![]),
        NodeProto::new("Cast", &[&ones], &mask, vec![AttributeProto::int("to", element)]),
    ];
    graph.node.splice(0..0, nodes);
    graph.input.retain(|it| it.name() != mask);
    Ok(())
}

/// Calls the input of a model of sounds `waveform`, and makes it float32 `(n, samples)`.
///
/// # Errors
/// [`OnnxError::InputCount`] unless the model has exactly one input.
pub fn take_waveform(model: &OnnxModel) -> Result<OnnxModel, OnnxError> {
    let input = model.single_input()?;
    let (dims, element) = (input.dims().unwrap_or_default(), input.elem_type());
    let (is_wide, is_half) = (dims.len() == 3, element == Some(data_type::FLOAT16));
    if input.name() == WAVEFORM && !is_wide && !is_half {
        return Ok(model.clone());
    }
    let length = waveform_length(model).map_or(Dim::Unknown, Dim::Fixed);
    with_waveform(model, length, |to, old| {
        let to_half = AttributeProto::int("to", data_type::FLOAT16);
        let mut tensor = WAVEFORM.to_owned();
        if is_half {
            let output = if is_wide { HALF } else { old };
            tensor = to.node("Cast", &[&tensor], output, vec![to_half]);
        }
        match (is_wide, is_half) {
            (true, _) => drop(to.over("Unsqueeze", &tensor, &[1], None, old)),
            (false, true) => {}
            (false, false) => drop(to.node("Identity", &[&tensor], old, vec![])),
        }
    })
}

/// Least variance of a sound that is divided by its deviation: that of transformers' feature extractor.
const LEAST_VARIANCE: f32 = 1e-7;

/// Brings the waveform of a model to mean 0 and variance 1, each sound by itself.
///
/// # Errors
/// [`OnnxError::InputCount`] unless the model has exactly one input.
pub fn standardise_waveform(model: &OnnxModel) -> Result<OnnxModel, OnnxError> {
    let length = waveform_length(model).map_or(Dim::Unknown, Dim::Fixed);
    with_waveform(model, length, |to, old| {
        let name = |role: &str| format!("{WAVEFORM}/{role}");
        let Moments { centred, variance, .. } = append_moments(to, WAVEFORM, 1, &name);
        to.graph.initializer.push(TensorProto::from_f32(name("least"), &[], &[LEAST_VARIANCE]));
        let variance = to.node("Add", &[&variance, &name("least")], &name("variance_and_least"), vec![]);
        let std = to.node("Sqrt", &[&variance], &name("std"), vec![]);
        to.node("Div", &[&centred, &std], old, vec![]);
    })
}

/// How a graph cuts windows, and what becomes of their rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphWindows {
    /// Samples of a window.
    pub length: usize,
    /// Samples from the begin of a window to that of the next.
    pub hop: usize,
    /// What becomes of a sound that is shorter.
    pub short: ShortSound,
    /// Whether the standard deviation of the rows stands behind their mean.
    pub has_std: bool,
}

/// What becomes of a sound that is shorter than a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShortSound {
    /// It is filled up with silence.
    Zeros,
    /// It is repeated.
    Repeat,
    /// It stays as short as it is.
    AsItIs,
}

/// Lets a cut model of windows, `waveform` `(n, samples)` to rows `(n, n_features)`, take a sound of any length whole:
/// `(1, samples)` to `(1, n_features)`, or twice as many features with their deviation.
///
/// # Errors
/// [`OnnxError::OpsetTooOld`] below opset 12, whose `Max` is not for integers.
///
/// # Panics
/// Never on a model from [`cut`](crate::cut()) that [takes a waveform](take_waveform).
pub fn cut_windows(model: &OnnxModel, windows: &GraphWindows) -> Result<OnnxModel, OnnxError> {
    expect_opset(model.opset(), 12, Some("Max"))?;
    let mut model = with_waveform(model, Dim::Unknown, |to, old| append_windows(to, windows, old))?;
    let opset = model.opset();
    let graph = model.graph_mut();
    let rows = graph.output[0].name().to_owned();
    let mut to = Appending { graph, opset };
    let name = |role: &str| format!("{MERGED}_{role}");
    let row = if windows.has_std {
        let Moments { mean, variance, .. } = append_moments(&mut to, &rows, 0, &name);
        let std = to.node("Sqrt", &[&variance], &name("std"), vec![]);
        to.node("Concat", &[&mean, &std], MERGED, vec![AttributeProto::int("axis", 1)])
    } else {
        to.over("ReduceMean", &rows, &[0], Some(1), &name("mean"))
    };
    graph.output = vec![tensor_info(&row, data_type::FLOAT, &[Dim::Batch, Dim::Unknown])];
    Ok(model)
}

/// The windows of a sound, `(1, samples)` to `(n_windows, length)`: one every `hop` samples, the last one at the end.
fn append_windows(to: &mut Appending<'_>, windows: &GraphWindows, output: &str) {
    let name = |role: &str| format!("{WAVEFORM}/{role}");
    let count = |it: usize| i64::try_from(it).unwrap_or(i64::MAX);
    let minus_one = to.constant("windows_flat", &[1], &[-1]);
    let zero = to.constant("windows_zero", &[], &[0]);
    let one = to.constant("windows_one", &[], &[1]);
    let length = to.constant("windows_length", &[], &[count(windows.length)]);
    let hop = to.constant("windows_hop", &[], &[count(windows.hop)]);
    let flat = to.node("Reshape", &[WAVEFORM, &minus_one], &name("flat"), vec![]);
    let n = to.node("Size", &[&flat], &name("n"), vec![]);
    let (sound, n, length) = match windows.short {
        ShortSound::AsItIs => {
            let length = to.node("Min", &[&n, &length], &name("length"), vec![]);
            (flat, n, length)
        }
        ShortSound::Zeros => {
            let missing = to.node("Sub", &[&length, &n], &name("missing"), vec![]);
            let missing = to.node("Max", &[&missing, &zero], &name("missing_or_none"), vec![]);
            let missing = to.over("Unsqueeze", &missing, &[0], None, &name("missing_shape"));
            to.graph.initializer.push(TensorProto::from_f32(name("nothing"), &[], &[0.0]));
            let silence = to.node("Expand", &[&name("nothing"), &missing], &name("silence"), vec![]);
            let axis = AttributeProto::int("axis", 0);
            let filled = to.node("Concat", &[&flat, &silence], &name("filled"), vec![axis]);
            let n = to.node("Max", &[&n, &length], &name("n_filled"), vec![]);
            (filled, n, length)
        }
        ShortSound::Repeat => {
            let up = to.node("Add", &[&length, &n], &name("up"), vec![]);
            let up = to.node("Sub", &[&up, &one], &name("up_to"), vec![]);
            let times = to.node("Div", &[&up, &n], &name("times"), vec![]);
            let times = to.node("Max", &[&times, &one], &name("times_or_once"), vec![]);
            let times = to.over("Unsqueeze", &times, &[0], None, &name("times_shape"));
            let repeated = to.node("Tile", &[&flat, &times], &name("filled"), vec![]);
            let n = to.node("Max", &[&n, &length], &name("n_filled"), vec![]);
            (repeated, n, length)
        }
    };
    // ⌈(n − length) / hop⌉ windows behind the first.
    let span = to.node("Sub", &[&n, &length], &name("span"), vec![]);
    let up = to.node("Add", &[&span, &hop], &name("span_and_hop"), vec![]);
    let begins = to.node("Range", &[&zero, &up, &hop], &name("all_begins"), vec![]);
    let begins = to.node("Min", &[&begins, &span], &name("begins"), vec![]);
    let begins = to.over("Unsqueeze", &begins, &[1], None, &name("begins_wide"));
    let inside = to.node("Range", &[&zero, &length, &one], &name("inside"), vec![]);
    let places = to.node("Add", &[&begins, &inside], &name("places"), vec![]);
    to.node("Gather", &[&sound, &places], output, vec![AttributeProto::int("axis", 0)]);
}

/// Tensors of moments over an axis, which stays.
struct Moments {
    mean: String,
    /// The tensor without its mean.
    centred: String,
    variance: String,
}

fn append_moments(to: &mut Appending<'_>, tensor: &str, axis: i64, name: &dyn Fn(&str) -> String) -> Moments {
    let mean = to.over("ReduceMean", tensor, &[axis], Some(1), &name("mean"));
    let centred = to.node("Sub", &[tensor, &mean], &name("centred"), vec![]);
    let squares = to.node("Mul", &[&centred, &centred], &name("squares"), vec![]);
    let variance = to.over("ReduceMean", &squares, &[axis], Some(1), &name("variance"));
    Moments { mean, centred, variance }
}

/// Replaces the one input of a model by a waveform, float32 `(n, samples)`; what makes the old input of it, whose name it
/// is told, comes first in the graph.
pub(crate) fn with_waveform(
    model: &OnnxModel,
    length: Dim,
    append: impl FnOnce(&mut Appending<'_>, &str),
) -> Result<OnnxModel, OnnxError> {
    let opset = model.opset();
    let mut model = model.clone();
    free_names(model.graph_mut(), &[WAVEFORM, HALF]);
    let old = model.single_input()?.name().to_owned();
    let graph = model.graph_mut();
    graph.input.retain(|it| it.name() != old);
    graph.input.insert(0, tensor_info(WAVEFORM, data_type::FLOAT, &[Dim::Batch, length]));
    let behind = std::mem::take(&mut graph.node);
    append(&mut Appending { graph, opset }, &old);
    graph.node.extend(behind);
    Ok(model)
}
