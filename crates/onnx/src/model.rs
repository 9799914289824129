//! A model in memory: read, looked up, written.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use bytes::Bytes;

use crate::error::OnnxError;
use crate::proto::{GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto, ValueInfoProto};
use crate::wire::{self, Message};

/// Element types of tensors (`TensorProto.DataType`).
pub mod data_type {
    /// 32-bit float.
    pub const FLOAT: i64 = 1;
    /// Unsigned 8-bit integer.
    pub const UINT8: i64 = 2;
    /// Signed 8-bit integer.
    pub const INT8: i64 = 3;
    /// 32-bit integer.
    pub const INT32: i64 = 6;
    /// 64-bit integer.
    pub const INT64: i64 = 7;
    /// True or false.
    pub const BOOL: i64 = 9;
    /// 16-bit float.
    pub const FLOAT16: i64 = 10;
    /// 64-bit float.
    pub const DOUBLE: i64 = 11;
    /// 16-bit brain float.
    pub const BFLOAT16: i64 = 16;

    /// Bytes of one element, where it is a whole number of bytes.
    #[must_use]
    pub fn size(data_type: i64) -> Option<usize> {
        Some(match data_type {
            UINT8 | INT8 | BOOL | 17..=20 => 1,
            4 | 5 | FLOAT16 | BFLOAT16 => 2,
            FLOAT | INT32 | 12 => 4,
            INT64 | DOUBLE | 13 | 14 => 8,
            15 => 16,
            _ => return None,
        })
    }
}

/// An ONNX model in memory, with the folder its external data lies in.
///
/// Reading keeps every field, known or not; a file written by a canonical protobuf writer comes back
/// byte for byte. Weights are slices of the bytes read, not copies.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), headstart_onnx::OnnxError> {
/// use headstart_onnx::OnnxModel;
///
/// // The smallest file that parses: `ir_version = 8` and an empty graph.
/// let bytes = vec![0x08, 0x08, 0x3a, 0x00];
/// let model = OnnxModel::from_bytes(bytes.clone())?;
/// assert_eq!(model.to_bytes()?, bytes);
/// assert!(OnnxModel::from_bytes(b"GIF89a".to_vec()).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct OnnxModel {
    proto: ModelProto,
    /// Folder of the file it was read from.
    pub(crate) folder: Option<PathBuf>,
}

impl OnnxModel {
    /// Reads a model from memory.
    ///
    /// # Errors
    /// [`OnnxError::Malformed`] when the bytes are no ONNX protobuf, [`OnnxError::NoGraph`] without a graph.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Self, OnnxError> {
        let bytes = bytes.into();
        let other = || what_it_is(&bytes).map(|reason| OnnxError::Malformed { reason: reason.to_owned() });
        let proto: ModelProto = wire::decode(bytes.clone()).map_err(|err| other().unwrap_or(err))?;
        if proto.graph.is_none() {
            return Err(other().unwrap_or(OnnxError::NoGraph));
        }
        Ok(Self { proto, folder: None })
    }

    /// Writes the model to memory; external data stays where it is and is only referred to.
    ///
    /// # Errors
    /// [`OnnxError::TooLarge`] above protobuf's 2 GiB.
    pub fn to_bytes(&self) -> Result<Vec<u8>, OnnxError> {
        let bytes = self.proto.encoded_len();
        if bytes > i32::MAX as usize {
            return Err(OnnxError::TooLarge { bytes });
        }
        let mut out = Vec::with_capacity(bytes);
        self.proto.encode(&mut out);
        Ok(out)
    }

    /// The protobuf message.
    #[must_use]
    pub fn proto(&self) -> &ModelProto {
        &self.proto
    }

    /// Frees weights from being listed among the inputs too, as IR versions before 4 want it.
    ///
    /// Listed weights can be overridden by a caller, so a runtime must not fold them; and surgery adds
    /// weights that nobody should override.
    pub(crate) fn allow_free_initializers(&mut self) {
        if self.proto.ir_version.is_some_and(|it| it < 4) {
            self.proto.ir_version = Some(4);
            let kept: HashSet<String> = self.inputs().iter().map(|it| it.name().to_owned()).collect();
            self.graph_mut().input.retain(|it| kept.contains(it.name()));
        }
    }

    pub(crate) fn graph(&self) -> &GraphProto {
        self.proto.graph.as_ref().expect("from_bytes refuses a model without a graph")
    }

    pub(crate) fn graph_mut(&mut self) -> &mut GraphProto {
        self.proto.graph.as_mut().expect("from_bytes refuses a model without a graph")
    }

    /// Inputs that are no weights (before IR version 4 weights are listed among the inputs).
    #[must_use]
    pub fn inputs(&self) -> Vec<&ValueInfoProto> {
        let weights: HashSet<&str> = self.graph().initializer.iter().map(TensorProto::name).collect();
        self.graph().input.iter().filter(|it| !weights.contains(it.name())).collect()
    }

    /// Names of the outputs.
    #[must_use]
    pub fn output_names(&self) -> Vec<String> {
        self.graph().output.iter().map(|it| it.name().to_owned()).collect()
    }

    /// The one input that is no weight.
    ///
    /// # Errors
    /// [`OnnxError::InputCount`] when there is none or more than one.
    pub fn single_input(&self) -> Result<&ValueInfoProto, OnnxError> {
        match self.inputs()[..] {
            [it] => Ok(it),
            ref inputs => {
                Err(OnnxError::InputCount { names: inputs.iter().map(|it| it.name().to_owned()).collect() })
            }
        }
    }

    /// Version of the operators of `ai.onnx`.
    #[must_use]
    pub fn opset(&self) -> i64 {
        let imports = &self.proto.opset_import;
        let default = imports.iter().find(|it| matches!(it.domain.as_deref(), None | Some("" | "ai.onnx")));
        default.and_then(|it| it.version).unwrap_or(1)
    }

    pub(crate) fn set_opset(&mut self, version: i64) {
        for import in &mut self.proto.opset_import {
            if matches!(import.domain.as_deref(), None | Some("" | "ai.onnx")) {
                import.version = Some(version);
            }
        }
    }

    /// A value of `metadata_props`.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        let entry = self.proto.metadata_props.iter().find(|it| it.key.as_deref() == Some(key))?;
        entry.value.as_deref()
    }

    /// Sets a value of `metadata_props`, replacing one of the same key.
    pub fn set_metadata(&mut self, key: &str, value: impl Into<String>) {
        let props = &mut self.proto.metadata_props;
        props.retain(|it| it.key.as_deref() != Some(key));
        props.push(StringStringEntryProto::new(key, &value.into()));
    }

    /// Removes a value of `metadata_props`.
    pub fn remove_metadata(&mut self, key: &str) {
        self.proto.metadata_props.retain(|it| it.key.as_deref() != Some(key));
    }

    /// Says which program wrote the file.
    pub(crate) fn set_producer(&mut self, name: &str, version: &str) {
        self.proto.producer_name = Some(name.to_owned());
        self.proto.producer_version = Some(version.to_owned());
    }

    /// The elements of an initializer as `f32`.
    ///
    /// # Errors
    /// [`OnnxError::NoSuchTensor`]; [`OnnxError::Tensor`] when it is no float tensor or its data does
    /// not fit its shape; as for external data otherwise.
    pub fn f32_values(&self, name: &str) -> Result<Vec<f32>, OnnxError> {
        let tensor = self.initializer(name).ok_or_else(|| self.no_such_tensor(name))?;
        let bytes = self.tensor_bytes(tensor)?;
        if tensor.data_type != Some(data_type::FLOAT) {
            let reason = format!("expected f32 elements, found type {:?}", tensor.data_type);
            return Err(OnnxError::Tensor { tensor: name.to_owned(), reason });
        }
        Ok(bytes.chunks_exact(4).map(|it| f32::from_le_bytes([it[0], it[1], it[2], it[3]])).collect())
    }

    pub(crate) fn initializer(&self, name: &str) -> Option<&TensorProto> {
        self.graph().initializer.iter().find(|it| it.name() == name)
    }

    /// An initializer of f32.
    pub(crate) fn f32_constant(&self, name: &str) -> Option<&TensorProto> {
        self.initializer(name).filter(|it| it.data_type == Some(data_type::FLOAT))
    }

    /// The raw little-endian elements of a tensor, wherever they lie.
    pub(crate) fn tensor_bytes(&self, tensor: &TensorProto) -> Result<Bytes, OnnxError> {
        let bytes = if let Some(raw) = &tensor.raw_data {
            raw.clone()
        } else if tensor.data_location == Some(1) {
            let mut out = Vec::new();
            self.copy_external(tensor, &mut out)?;
            out.into()
        } else {
            // Typed fields: floats are stored as they are, 64-bit integers as packed varints.
            let field = match tensor.data_type {
                Some(data_type::FLOAT) => 4,
                Some(data_type::INT64) => 7,
                Some(data_type::DOUBLE) => 10,
                _ => 5,
            };
            let parts: Vec<Bytes> = tensor.unknown.payloads(field).collect();
            match tensor.data_type {
                Some(data_type::FLOAT | data_type::DOUBLE) => parts.concat().into(),
                Some(data_type::INT64) => {
                    let mut out = Vec::new();
                    for part in &parts {
                        for value in wire::packed_i64(part)? {
                            out.extend_from_slice(&value.to_le_bytes());
                        }
                    }
                    out.into()
                }
                other => {
                    let reason = format!("typed data of element type {other:?} is not read here");
                    return Err(OnnxError::Tensor { tensor: tensor.name().to_owned(), reason });
                }
            }
        };
        let expected = tensor
            .n_elements()
            .zip(tensor.data_type.and_then(data_type::size))
            .and_then(|(n, size)| n.checked_mul(size));
        if expected != Some(bytes.len()) {
            let needed = expected.map_or("an impossible number of".to_owned(), |it| it.to_string());
            let reason =
                format!("its shape {:?} needs {needed} bytes, its data has {}", tensor.dims, bytes.len());
            return Err(OnnxError::Tensor { tensor: tensor.name().to_owned(), reason });
        }
        Ok(bytes)
    }

    /// Which node writes each tensor.
    pub(crate) fn producers(&self) -> HashMap<&str, &NodeProto> {
        let mut producers = HashMap::new();
        for node in &self.graph().node {
            for output in node.output.iter().filter(|it| !it.is_empty()) {
                producers.insert(output.as_str(), node);
            }
        }
        producers
    }

    /// Refuses the name of a tensor that is neither an input nor computed by a node.
    pub(crate) fn check_tensor(&self, name: &str) -> Result<(), OnnxError> {
        let is_input = || self.inputs().iter().any(|it| it.name() == name);
        let is_known = self.producers().contains_key(name) || is_input();
        if is_known { Ok(()) } else { Err(self.no_such_tensor(name)) }
    }

    pub(crate) fn no_such_tensor(&self, name: &str) -> OnnxError {
        OnnxError::NoSuchTensor { name: name.to_owned(), last: self.last_tensors() }
    }

    /// Names of tensors near the end of the graph, for error messages.
    pub(crate) fn last_tensors(&self) -> Vec<String> {
        let nodes = &self.graph().node;
        let outputs = nodes.iter().rev().filter_map(|node| node.output.first());
        outputs.take(8).cloned().collect()
    }
}

/// What a file that is no ONNX is instead, where its beginning tells.
fn what_it_is(bytes: &[u8]) -> Option<&'static str> {
    let begins = |with: &[u8]| bytes.starts_with(with);
    let text = bytes.trim_ascii_start();
    let is_html = |tag: &str| text.get(..tag.len()).is_some_and(|it| it.eq_ignore_ascii_case(tag.as_bytes()));
    match () {
        () if bytes.is_empty() => Some("it is empty"),
        () if begins(b"version https://git-lfs") => {
            Some("it is a Git LFS pointer, which stands for a file; `git lfs pull` gets that")
        }
        () if is_html("<!doctype html") || is_html("<html") => {
            Some("it is a web page (HTML), not a download")
        }
        () if begins(b"\xff\xfe") || begins(b"\xfe\xff") => Some("it is a text in UTF-16"),
        () if begins(b"PK\x03\x04") => {
            Some("it is a zip archive, as PyTorch and Keras save models; export it to ONNX")
        }
        () if begins(b"\x1f\x8b") => Some("it is compressed with gzip; unpack it"),
        () if begins(b"\x89HDF") => Some("it is HDF5, as Keras saved models; export it to ONNX"),
        () if bytes.get(4..8) == Some(b"TFL3") => Some("it is TensorFlow Lite; convert it to ONNX"),
        () if begins(b"ORTM") || bytes.get(4..8) == Some(b"ORTM") => {
            Some("it is ONNX Runtime's own format; use the .onnx")
        }
        () if begins(b"{") || begins(b"<?xml") => Some("it is a text"),
        () => None,
    }
}

/// Visits every dense tensor of a graph: initializers, and constants of nodes, bodies included.
pub(crate) fn for_each_tensor(graph: &mut GraphProto, visit: &mut dyn FnMut(&mut TensorProto)) {
    graph.initializer.iter_mut().for_each(&mut *visit);
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        attribute.t.iter_mut().chain(&mut attribute.tensors).for_each(&mut *visit);
        for body in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            for_each_tensor(body, visit);
        }
    }
}
