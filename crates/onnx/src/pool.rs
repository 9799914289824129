//! Poolings as graphs: what makes one row of a tensor with several positions a sample.

use crate::cut::{Dim, EMBEDDING, tensor_info};
use crate::error::OnnxError;
use crate::model::{OnnxModel, data_type};
use crate::names::free_names;
use crate::opset::expect_opset;
use crate::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};
use crate::tap::Pool;

/// Names of the input that says which tokens count, 1 for a token and 0 for what fills up a row: what transformers call
/// it, and what BERT did.
const MASKS: [&str; 2] = ["attention_mask", "input_mask"];

/// Whether an input of this name says which tokens count.
#[must_use]
pub fn is_token_mask(input: &str) -> bool {
    MASKS.contains(&input)
}

/// Name of the output where a row is brought to length 1.
const NORMALIZED: &str = "headstart_normalized";

/// Least length of a row that is divided by it, and least number of tokens: as in sentence-transformers.
const LEAST_LENGTH: f32 = 1e-12;
const LEAST_COUNT: f32 = 1e-9;

/// Appends nodes to a graph whose opset decides how they are written.
pub(crate) struct Appending<'g> {
    pub(crate) graph: &'g mut GraphProto,
    pub(crate) opset: i64,
}

impl Appending<'_> {
    /// A node of one output, whose name it returns.
    pub(crate) fn node(
        &mut self,
        op: &str,
        inputs: &[&str],
        output: &str,
        attributes: Vec<AttributeProto>,
    ) -> String {
        self.graph.node.push(NodeProto::new(op, inputs, output, attributes));
        output.to_owned()
    }

    pub(crate) fn constant(&mut self, role: &str, dims: &[usize], values: &[i64]) -> String {
        let mut name = format!("{EMBEDDING}_{role}");
        while self.graph.initializer.iter().any(|it| it.name.as_ref() == Some(&name)) {
            name.push('_');
        }
        let raw = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        self.graph.initializer.push(TensorProto::from_raw(&name, data_type::INT64, dims, raw));
        name
    }

    /// An operator with axes, which are an attribute before an opset and an input from it on.
    pub(crate) fn over(
        &mut self,
        op: &str,
        input: &str,
        axes: &[i64],
        keep: Option<i64>,
        output: &str,
    ) -> String {
        let inputs_from = match op {
            "ReduceSum" | "Unsqueeze" => 13,
            _ => 18,
        };
        let mut attributes: Vec<AttributeProto> =
            keep.into_iter().map(|it| AttributeProto::int("keepdims", it)).collect();
        if self.opset < inputs_from {
            attributes.push(AttributeProto::ints("axes", axes));
            return self.node(op, &[input], output, attributes);
        }
        let axes = self.constant(&format!("axes_{}", self.graph.node.len()), &[axes.len()], axes);
        self.node(op, &[input, &axes], output, attributes)
    }
}

/// Appends what makes one row of a tensor, and returns the name of the tensor that holds it.
pub(crate) fn append_pool(
    graph: &mut GraphProto,
    tensor: &str,
    pool: Pool,
    rank: Option<usize>,
    opset: i64,
) -> Result<String, OnnxError> {
    let mask = graph.input.iter().map(|it| it.name()).find(|it| is_token_mask(it)).map(str::to_owned);
    let mut to = Appending { graph, opset };
    Ok(match pool {
        Pool::None => tensor.to_owned(),
        Pool::First => {
            let index = to.constant("first", &[], &[0]);
            to.node("Gather", &[tensor, &index], EMBEDDING, vec![AttributeProto::int("axis", 1)])
        }
        Pool::Last => match mask {
            Some(mask) => append_last(&mut to, tensor, &mask)?,
            None => {
                let index = to.constant("last", &[], &[-1]);
                to.node("Gather", &[tensor, &index], EMBEDDING, vec![AttributeProto::int("axis", 1)])
            }
        },
        Pool::MeanNhwc => to.over("ReduceMean", tensor, &[1, 2], Some(0), EMBEDDING),
        // A mask is of tokens, whatever the file says of ranks.
        Pool::Mean => match (mask, rank) {
            (Some(mask), None | Some(..=3)) => append_masked_mean(&mut to, tensor, &mask),
            (_, Some(3)) => to.over("ReduceMean", tensor, &[1], Some(0), EMBEDDING),
            _ => append_average(&mut to, tensor),
        },
        Pool::MeanNct => append_average(&mut to, tensor),
    })
}

/// The mean over all that stands behind the channels: `(n, c, …)` → `(n, c)`.
fn append_average(to: &mut Appending<'_>, tensor: &str) -> String {
    let pooled = to.node("GlobalAveragePool", &[tensor], &format!("{EMBEDDING}_pooled"), vec![]);
    to.node("Flatten", &[&pooled], EMBEDDING, vec![AttributeProto::int("axis", 1)])
}

/// The mean over the tokens that count: `(n, tokens, c)` → `(n, c)`.
fn append_masked_mean(to: &mut Appending<'_>, tensor: &str, mask: &str) -> String {
    let name = |role: &str| format!("{EMBEDDING}_{role}");
    let float = AttributeProto::int("to", data_type::FLOAT);
    let mask = to.node("Cast", &[mask], &name("mask"), vec![float]);
    let wide = to.over("Unsqueeze", &mask, &[2], None, &name("mask_wide"));
    let counted = to.node("Mul", &[tensor, &wide], &name("counted"), vec![]);
    let sum = to.over("ReduceSum", &counted, &[1], Some(0), &name("sum"));
    let count = to.over("ReduceSum", &mask, &[1], Some(1), &name("count"));
    to.graph.initializer.push(TensorProto::from_f32(name("least"), &[], &[LEAST_COUNT]));
    let count = to.node("Max", &[&count, &name("least")], &name("count_or_least"), vec![]);
    to.node("Div", &[&sum, &count], EMBEDDING, vec![])
}

/// The last token that counts, of rows that are filled up at their end: `(n, tokens, c)` → `(n, c)`.
fn append_last(to: &mut Appending<'_>, tensor: &str, mask: &str) -> Result<String, OnnxError> {
    expect_opset(to.opset, 12, Some("GatherND"))?;
    let name = |role: &str| format!("{EMBEDDING}_{role}");
    let integer = AttributeProto::int("to", data_type::INT64);
    let mask = to.node("Cast", &[mask], &name("mask"), vec![integer]);
    let count = to.over("ReduceSum", &mask, &[1], Some(1), &name("count"));
    let one = to.constant("one", &[], &[1]);
    let index = to.node("Sub", &[&count, &one], &name("last"), vec![]);
    let batch = AttributeProto::int("batch_dims", 1);
    Ok(to.node("GatherND", &[tensor, &index], EMBEDDING, vec![batch]))
}

/// Brings every row of a cut model to length 1: `x / max(‖x‖, 1e-12)`.
///
/// # Panics
/// Never on a model from [`cut`](crate::cut()), which has exactly one output.
#[must_use]
pub fn normalize_rows(model: &OnnxModel) -> OnnxModel {
    let mut model = model.clone();
    let opset = model.opset();
    let name = |role: &str| format!("{NORMALIZED}_{role}");
    let graph = model.graph_mut();
    free_names(graph, &[NORMALIZED]);
    let row = graph.output[0].name().to_owned();
    let mut to = Appending { graph, opset };
    let length = to.over("ReduceL2", &row, &[1], Some(1), &name("length"));
    to.graph.initializer.push(TensorProto::from_f32(name("least"), &[], &[LEAST_LENGTH]));
    let length = to.node("Max", &[&length, &name("least")], &name("length_or_least"), vec![]);
    to.node("Div", &[&row, &length], NORMALIZED, vec![]);
    graph.output = vec![tensor_info(NORMALIZED, data_type::FLOAT, &[Dim::Batch, Dim::Unknown])];
    model
}
