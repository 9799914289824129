//! A model in memory: read, looked up, written.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;

use crate::error::OnnxError;
use crate::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto, ValueInfoProto,
};
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
            UINT8 | INT8 | 9 | 17..=20 => 1,
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
    folder: Option<PathBuf>,
}

/// Syncs a temporary file and renames it; where that fails, it is gone.
fn into_place(file: fs::File, temporary: &Path, path: &Path) -> Result<(), OnnxError> {
    let done = file.sync_all().and_then(|()| {
        drop(file);
        fs::rename(temporary, path)
    });
    done.map_err(|err| {
        drop(fs::remove_file(temporary));
        io("write", path)(err)
    })
}

impl OnnxModel {
    /// Reads a model from memory.
    ///
    /// # Errors
    /// [`OnnxError::Malformed`] when the bytes are no ONNX protobuf, [`OnnxError::NoGraph`] without a graph.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Self, OnnxError> {
        let proto: ModelProto = wire::decode(bytes.into())?;
        if proto.graph.is_none() {
            return Err(OnnxError::NoGraph);
        }
        Ok(Self { proto, folder: None })
    }

    /// Reads a model file; weights in other files are found relative to its folder.
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes), and [`OnnxError::Io`].
    pub fn load(path: &Path) -> Result<Self, OnnxError> {
        Self::from_file_bytes(fs::read(path).map_err(io("read", path))?, path)
    }

    /// Reads a model from the bytes of the file at `path`, which is not read again; weights in other
    /// files are found relative to its folder.
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes).
    pub fn from_file_bytes(bytes: impl Into<Bytes>, path: &Path) -> Result<Self, OnnxError> {
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = folder.to_owned();
        Ok(Self { folder: Some(folder), ..Self::from_bytes(bytes)? })
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

    /// Writes the model to a file, and the external data it still uses to `<file name>.data` beside it.
    ///
    /// Both are written under temporary names, synced and renamed, so that no half-written file is ever
    /// seen; external data is copied in pieces, so that memory stays small whatever its size.
    ///
    /// # Errors
    /// [`OnnxError::Io`], [`OnnxError::ExternalData`], [`OnnxError::TooLarge`].
    pub fn save(&self, path: &Path) -> Result<(), OnnxError> {
        let mut model = self.clone();
        let mut file_name = path.file_name().unwrap_or_default().to_owned();
        file_name.push(".data");
        let data_path = path.with_file_name(&file_name);
        let location = file_name.to_string_lossy().into_owned();

        let mut data: Option<(fs::File, PathBuf)> = None;
        let mut failure = None;
        let mut position = 0_u64;
        for_each_tensor(model.graph_mut(), &mut |tensor| {
            if failure.is_some() || tensor.data_location != Some(1) {
                return;
            }
            let result = (|| {
                let (file, temporary) = match &mut data {
                    Some(it) => it,
                    None => {
                        let temporary = temporary_beside(&data_path);
                        let file = fs::File::create(&temporary).map_err(io("write", &temporary))?;
                        data.insert((file, temporary))
                    }
                };
                // Readers map the file into memory: keep every tensor on a page boundary.
                position = position.next_multiple_of(4096);
                file.seek(SeekFrom::Start(position)).map_err(io("write", temporary))?;
                let length = self.copy_external(tensor, file)?;
                set_external(tensor, &location, position, length);
                position += length;
                Ok(())
            })();
            failure = result.err();
        });
        if let Some(err) = failure {
            if let Some((_, temporary)) = data {
                drop(fs::remove_file(temporary));
            }
            return Err(err);
        }
        if let Some((file, temporary)) = data {
            into_place(file, &temporary, &data_path)?;
        }
        let temporary = temporary_beside(path);
        let bytes = model.to_bytes()?;
        let mut file = fs::File::create(&temporary).map_err(io("write", &temporary))?;
        if let Err(err) = file.write_all(&bytes) {
            drop(fs::remove_file(&temporary));
            return Err(io("write", path)(err));
        }
        into_place(file, &temporary, path)
    }

    /// The folder that external data is relative to, where the model came from a file and has any.
    #[must_use]
    pub fn external_data_folder(&self) -> Option<&Path> {
        self.folder.as_deref().filter(|_| !self.external_data_locations().is_empty())
    }

    /// The files external data lies in, each once, as the model names them.
    #[must_use]
    pub fn external_data_locations(&self) -> Vec<String> {
        let mut locations = std::collections::BTreeSet::new();
        collect_locations(self.graph(), &mut locations);
        locations.into_iter().collect()
    }

    /// The files external data lies in, each once and in order: regular files inside the model's folder.
    ///
    /// # Errors
    /// [`OnnxError::ExternalData`] for a file outside the folder, or none at all; [`OnnxError::Io`].
    pub fn external_data_files(&self) -> Result<Vec<PathBuf>, OnnxError> {
        let bad = |reason| OnnxError::ExternalData { tensor: "its weights".to_owned(), reason };
        self.external_data_locations().iter().map(|it| self.external_file(it, bad)).collect()
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
        props.push(entry(key, value.into()));
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

    /// Streams the external elements of a tensor to `out` and returns how many bytes they are.
    fn copy_external(&self, tensor: &TensorProto, out: &mut dyn Write) -> Result<u64, OnnxError> {
        let bad = |reason: String| OnnxError::ExternalData { tensor: tensor.name().to_owned(), reason };
        let value = |key: &str| {
            let entry = tensor.external_data.iter().find(|it| it.key.as_deref() == Some(key));
            entry.and_then(|it| it.value.clone())
        };
        let number = |key: &str| match value(key) {
            None => Ok(None),
            Some(text) => text.parse::<u64>().map(Some).map_err(|_| bad(format!("{key} is `{text}`"))),
        };
        let location = value("location").ok_or_else(|| bad("no location".to_owned()))?;
        let path = self.external_file(&location, bad)?;
        let mut file = fs::File::open(&path).map_err(io("read", &path))?;
        let size = file.metadata().map_err(io("read", &path))?.len();
        let offset = number("offset")?.unwrap_or(0);
        let length = number("length")?.unwrap_or(size.saturating_sub(offset));
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(bad(format!("bytes {offset}..+{length} of `{location}`, which has {size} bytes")));
        }
        file.seek(SeekFrom::Start(offset)).map_err(io("read", &path))?;
        let copied = std::io::copy(&mut file.take(length), out).map_err(io("read", &path))?;
        if copied != length {
            return Err(bad(format!("`{location}` ended after {copied} of {length} bytes")));
        }
        Ok(length)
    }

    /// A file of external data: inside the model's folder, links followed, and a regular file.
    fn external_file(&self, location: &str, bad: impl Fn(String) -> OnnxError) -> Result<PathBuf, OnnxError> {
        let folder = self
            .folder
            .as_deref()
            .ok_or_else(|| bad(format!("lies in `{location}`, but the model was read from memory")))?;
        let relative = Path::new(location);
        if !relative.components().all(|it| matches!(it, Component::Normal(_) | Component::CurDir)) {
            return Err(bad(format!("`{location}` leaves the model's folder")));
        }
        let path = folder.join(relative);
        // A link inside the folder may still point out of it.
        let real = path.canonicalize().map_err(io("read", &path))?;
        if !real.starts_with(folder.canonicalize().map_err(io("read", folder))?) {
            return Err(bad(format!("`{location}` leaves the model's folder")));
        }
        // Looked at before it is opened: opening a pipe would wait for its writer.
        if !real.metadata().map_err(io("read", &path))?.is_file() {
            return Err(bad(format!("`{location}` is no regular file")));
        }
        Ok(real)
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

/// Makes names free for tensors that surgery adds: a tensor that has one of them gets another.
pub(crate) fn free_names(graph: &mut GraphProto, wanted: &[&str]) {
    let mut taken = HashSet::new();
    visit_names(graph, &mut |name| {
        taken.insert(name.clone());
    });
    for name in wanted {
        if !taken.contains(*name) {
            continue;
        }
        let candidates = (1..).map(|it| format!("{name}__{it}"));
        let free = candidates.into_iter().find(|it| !taken.contains(it)).expect("names never run out");
        visit_names(graph, &mut |it| {
            if it == name {
                free.clone_into(it);
            }
        });
        taken.insert(free);
    }
}

/// Names for what surgery adds: no name of the graph begins as they do.
#[derive(Debug, Clone)]
pub(crate) struct Names(String);

impl Names {
    pub(crate) fn new(model: &OnnxModel, wanted: &str) -> Self {
        let mut graph = model.graph().clone();
        let mut first_parts = HashSet::new();
        visit_names(&mut graph, &mut |name| {
            first_parts.extend(name.split_once('/').map(|it| it.0.to_owned()));
        });
        let candidates = (1..).map(|it| if it == 1 { wanted.to_owned() } else { format!("{wanted}_{it}") });
        Self(candidates.into_iter().find(|it| !first_parts.contains(it)).expect("names never run out"))
    }

    /// The name of what plays a role for a tensor.
    pub(crate) fn of(&self, role: &str, tensor: &str) -> String {
        format!("{}/{role}/{tensor}", self.0)
    }
}

/// Visits the name of every tensor wherever it is written or read, bodies of control flow included.
fn visit_names(graph: &mut GraphProto, visit: &mut dyn FnMut(&mut String)) {
    let infos = graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info);
    infos.filter_map(|it| it.name.as_mut()).for_each(&mut *visit);
    graph.initializer.iter_mut().filter_map(|it| it.name.as_mut()).for_each(&mut *visit);
    for node in &mut graph.node {
        node.input.iter_mut().chain(&mut node.output).for_each(&mut *visit);
        for body in node.attribute.iter_mut().flat_map(|it| it.g.iter_mut().chain(&mut it.graphs)) {
            visit_names(body, visit);
        }
    }
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> OnnxError {
    let path = path.to_owned();
    move |source| OnnxError::Io { action, path, source }
}

fn temporary_beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

fn set_external(tensor: &mut TensorProto, location: &str, offset: u64, length: u64) {
    tensor.external_data.retain(|it| !matches!(it.key.as_deref(), Some("location" | "offset" | "length")));
    tensor.external_data.push(entry("location", location.to_owned()));
    tensor.external_data.push(entry("offset", offset.to_string()));
    tensor.external_data.push(entry("length", length.to_string()));
}

fn entry(key: &str, value: String) -> StringStringEntryProto {
    StringStringEntryProto { key: Some(key.to_owned()), value: Some(value), ..Default::default() }
}

fn collect_locations(graph: &GraphProto, locations: &mut std::collections::BTreeSet<String>) {
    let attributes = || graph.node.iter().flat_map(|node| &node.attribute);
    let constants = attributes().flat_map(|it| it.t.iter().chain(&it.tensors));
    for tensor in graph.initializer.iter().chain(constants).filter(|it| it.data_location == Some(1)) {
        let location = tensor.external_data.iter().find(|it| it.key.as_deref() == Some("location"));
        locations.extend(location.and_then(|it| it.value.clone()));
    }
    attributes()
        .flat_map(|it| it.g.iter().chain(&it.graphs))
        .for_each(|body| collect_locations(body, locations));
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

    pub(crate) fn ints(name: &str, values: &[i64]) -> Self {
        let name = Some(name.to_owned());
        Self { name, ints: values.to_vec(), r#type: Some(7), ..Default::default() }
    }
}
