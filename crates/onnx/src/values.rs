//! What messages hold, in words of the format: names, types, shapes; and new ones.

use crate::model::data_type;
use crate::proto::{AttributeProto, NodeProto, StringStringEntryProto, TensorProto, ValueInfoProto};

impl TensorProto {
    /// Name, empty when it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// Product of the dimensions; `None` when one is negative or the product overflows.
    #[must_use]
    pub fn n_elements(&self) -> Option<usize> {
        self.dims.iter().try_fold(1_usize, |n, dim| n.checked_mul(usize::try_from(*dim).ok()?))
    }

    /// Dimensions; a negative one, which no readable tensor has, is none.
    pub(crate) fn shape(&self) -> Vec<usize> {
        self.dims.iter().map(|it| usize::try_from(*it).unwrap_or(0)).collect()
    }

    pub(crate) fn from_f32(name: impl Into<String>, dims: &[usize], values: &[f32]) -> Self {
        let raw = values.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>();
        Self::from_raw(name, data_type::FLOAT, dims, raw)
    }

    pub(crate) fn from_raw(name: impl Into<String>, data_type: i64, dims: &[usize], raw: Vec<u8>) -> Self {
        Self {
            dims: dims.iter().map(|it| *it as i64).collect(),
            data_type: Some(data_type),
            name: Some(name.into()),
            raw_data: Some(raw.into()),
            ..Default::default()
        }
    }
}

impl ValueInfoProto {
    /// Name, empty when it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// Element type, where it is a tensor of known type.
    #[must_use]
    pub fn elem_type(&self) -> Option<i64> {
        self.r#type.as_ref()?.tensor_type.as_ref()?.elem_type
    }

    /// Dimensions (`None` for a symbolic or unknown one), where the rank is known.
    #[must_use]
    pub fn dims(&self) -> Option<Vec<Option<i64>>> {
        let shape = self.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?;
        Some(shape.dim.iter().map(|it| it.dim_value.filter(|n| *n > 0)).collect())
    }
}

impl NodeProto {
    /// Operator with its domain where that is not `ai.onnx`: `Conv`, `com.microsoft.QGemm`.
    #[must_use]
    pub fn operator(&self) -> String {
        let op_type = self.op_type.as_deref().unwrap_or_default();
        match self.domain.as_deref() {
            None | Some("" | "ai.onnx") => op_type.to_owned(),
            Some(domain) => format!("{domain}.{op_type}"),
        }
    }

    pub(crate) fn op(&self) -> &str {
        self.op_type.as_deref().unwrap_or_default()
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|it| it.name.as_deref() == Some(name))
    }

    pub(crate) fn new(op_type: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) -> Self {
        Self {
            input: inputs.iter().map(|it| (*it).to_owned()).collect(),
            output: vec![output.to_owned()],
            name: Some(format!("headstart/{output}")),
            op_type: Some(op_type.to_owned()),
            attribute: attributes,
            ..Default::default()
        }
    }
}

impl AttributeProto {
    pub(crate) fn int(name: &str, value: i64) -> Self {
        Self { name: Some(name.to_owned()), i: Some(value), r#type: Some(2), ..Default::default() }
    }

    pub(crate) fn text(name: &str, value: &str) -> Self {
        let s = Some(value.as_bytes().to_vec().into());
        Self { name: Some(name.to_owned()), s, r#type: Some(3), ..Default::default() }
    }

    pub(crate) fn ints(name: &str, values: &[i64]) -> Self {
        let name = Some(name.to_owned());
        Self { name, ints: values.to_vec(), r#type: Some(7), ..Default::default() }
    }
}

impl StringStringEntryProto {
    pub(crate) fn new(key: &str, value: &str) -> Self {
        Self { key: Some(key.to_owned()), value: Some(value.to_owned()), ..Default::default() }
    }
}
