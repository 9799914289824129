//! The quantised graph, node by node.
#![expect(clippy::cast_possible_truncation, reason = "rounding is what this is about")]

use super::Quantizer;
use super::kind::Kind;
use crate::error::OnnxError;
use crate::model::data_type;
use crate::proto::{AttributeProto, NodeProto, TensorProto};

/// The graph as it is rebuilt.
pub(super) struct Builder<'a> {
    pub(super) quantizer: &'a Quantizer,
    pub(super) nodes: Vec<NodeProto>,
    pub(super) constants: Vec<TensorProto>,
}

impl Builder<'_> {
    /// Adds a node: quantised weights, quantised activations in and out.
    pub(super) fn add(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let bounded = &self.quantizer.bounded;
        if node.op() == "Min" && node.input.first().is_some_and(|it| bounded.contains_key(it)) {
            return Ok(());
        }
        let mut rebuilt = node.clone();
        if let Some(output) = node.output.first().and_then(|it| bounded.get(it)) {
            rebuilt.output[0].clone_from(output);
        }
        for input in &mut rebuilt.input {
            if self.quantizer.scale_of.contains_key(input) {
                *input = self.quantizer.names.of("dequantized", input);
            }
        }
        match Kind::of(node, &self.quantizer.model) {
            Some(Kind::Conv) => self.quantize_weights(node, &mut rebuilt, 0)?,
            Some(Kind::Product(axis)) => self.quantize_weights(node, &mut rebuilt, axis)?,
            _ => {}
        }
        let outputs = rebuilt.output.clone();
        self.nodes.push(rebuilt);
        outputs.iter().for_each(|it| self.quantize_activation(it));
        Ok(())
    }

    /// Adds the pair behind a tensor, where it is to be quantised.
    pub(super) fn quantize_activation(&mut self, name: &str) {
        let Some(tensor) = self.quantizer.scale_of.get(name) else { return };
        let tensor = &self.quantizer.tensors[*tensor];
        let (scale, zero_point) = tensor.scale();
        let named = |role: &str| self.quantizer.names.of(role, name);
        let [scale_name, zero_name] = ["scale", "zero_point"].map(named);
        let [quantized, dequantized] = ["quantized", "dequantized"].map(named);
        self.constants.push(TensorProto::from_f32(&scale_name, &[], &[scale]));
        let zero_point = vec![zero_point];
        self.constants.push(TensorProto::from_raw(&zero_name, data_type::UINT8, &[], zero_point));
        let pair =
            [("QuantizeLinear", name, quantized.as_str()), ("DequantizeLinear", &quantized, &dequantized)];
        self.nodes.extend(
            pair.map(|(op, from, to)| NodeProto::new(op, &[from, &scale_name, &zero_name], to, vec![])),
        );
    }

    /// Gives a node int8 weights, one scale for each of its outputs along `axis`, and an int32 bias.
    fn quantize_weights(
        &mut self,
        node: &NodeProto,
        rebuilt: &mut NodeProto,
        axis: usize,
    ) -> Result<(), OnnxError> {
        let Quantizer { model, tensors, scale_of, names, .. } = self.quantizer;
        let weights = model.f32_values(&node.input[1])?;
        let dims = model.initializer(&node.input[1]).map(TensorProto::shape).unwrap_or_default();
        let bias =
            node.input.get(2).filter(|it| !it.is_empty()).map(|it| model.f32_values(it)).transpose()?;
        let n_outputs = dims[axis];
        if bias.as_ref().is_some_and(|it| it.len() != n_outputs) {
            // A bias of one number, say: the runtime spreads it, and its product stays in floats.
            return Ok(());
        }
        let Some(input) = scale_of.get(&node.input[0]).map(|it| &tensors[*it]) else { return Ok(()) };
        let (input_scale, _) = input.scale();
        let (inner, n) = (dims[axis + 1..].iter().product::<usize>().max(1), n_outputs.max(1));
        let output_of = |index: usize| index / inner % n;
        let mut scales = vec![0.0_f32; n_outputs];
        for (index, weight) in weights.iter().enumerate() {
            let scale = &mut scales[output_of(index)];
            *scale = scale.max(weight.abs() / 127.0);
        }
        for (output, scale) in scales.iter_mut().enumerate() {
            // Where weights vanish beside the bias, it must still fit 32 bits.
            let bias = bias.as_ref().map_or(0.0, |it| it[output].abs());
            *scale = scale.max(bias / input_scale / 2.0_f32.powi(30)).max(f32::MIN_POSITIVE);
        }
        let rounded: Vec<i8> = weights
            .iter()
            .enumerate()
            .map(|(index, it)| (it / scales[output_of(index)]).round().clamp(-127.0, 127.0) as i8)
            .collect();
        let mut bias = bias;
        // The mean is of a tensor itself, not of one that has its values in another order.
        if node.operator() == "Conv" && input.name == node.input[0] {
            let lost = |index: usize| weights[index] - f32::from(rounded[index]) * scales[output_of(index)];
            let shifts = input.mean_shift(&dims, node, lost);
            if let Some(shifts) = shifts {
                let bias = bias.get_or_insert_with(|| vec![0.0; n_outputs]);
                bias.iter_mut().zip(shifts).for_each(|(it, shift)| *it += shift);
            }
        }
        let tensor = &node.output[0];
        let raw = rounded.iter().map(|it| it.cast_unsigned()).collect();
        let weight = TensorProto::from_raw(names.of("weight", tensor), data_type::INT8, &dims, raw);
        let zeros = TensorProto::from_raw(
            names.of("weight_zero_point", tensor),
            data_type::INT8,
            &[n_outputs],
            vec![0; n_outputs],
        );
        rebuilt.input[1] = self.dequantized("weight", tensor, weight, &scales, Some(zeros), axis);
        if let Some(bias) = bias {
            let scales: Vec<f32> = scales.iter().map(|it| it * input_scale).collect();
            let rounded = bias.iter().zip(&scales).map(|(bias, scale)| (bias / scale).round() as i32);
            let raw = rounded.flat_map(i32::to_le_bytes).collect();
            let bias = TensorProto::from_raw(names.of("bias", tensor), data_type::INT32, &[n_outputs], raw);
            let bias = self.dequantized("bias", tensor, bias, &scales, None, 0);
            rebuilt.input.truncate(2);
            rebuilt.input.push(bias);
        }
        Ok(())
    }

    /// Adds an integer constant and what makes floats of it; returns the name of those.
    fn dequantized(
        &mut self,
        role: &str,
        tensor: &str,
        constant: TensorProto,
        scales: &[f32],
        zeros: Option<TensorProto>,
        axis: usize,
    ) -> String {
        let [scale, output] =
            ["scale", "dequantized"].map(|it| self.quantizer.names.of(&format!("{role}_{it}"), tensor));
        self.constants.push(TensorProto::from_f32(&scale, &[scales.len()], scales));
        let quantized = constant.name().to_owned();
        let zero_name = zeros.as_ref().map(|it| it.name().to_owned());
        self.constants.push(constant);
        self.constants.extend(zeros);
        let mut inputs = vec![quantized.as_str(), &scale];
        inputs.extend(zero_name.as_deref());
        let axis = AttributeProto::int("axis", axis as i64);
        self.nodes.push(NodeProto::new("DequantizeLinear", &inputs, &output, vec![axis]));
        output
    }
}
