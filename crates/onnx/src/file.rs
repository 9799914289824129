//! Models as files, and the weights that lie in other files beside them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};

use atomic_write_file::AtomicWriteFile;
use bytes::Bytes;

use crate::error::OnnxError;
use crate::model::{OnnxModel, for_each_tensor};
use crate::proto::{GraphProto, StringStringEntryProto, TensorProto};
use crate::wire::Message;

/// Most bytes of a file that keeps its weights within: below protobuf's 2 GiB, for what else is in it.
const MAX_EMBEDDED: u64 = 2_000_000_000;

impl OnnxModel {
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
        let mut model = Self::from_bytes(bytes)?;
        model.folder = Some(folder.to_owned());
        Ok(model)
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

        let mut data: Option<AtomicWriteFile> = None;
        let mut result = Ok(());
        let mut position = 0_u64;
        for_each_tensor(model.graph_mut(), &mut |tensor| {
            if result.is_err() || tensor.data_location != Some(1) {
                return;
            }
            result = (|| {
                let file = match &mut data {
                    Some(it) => it,
                    None => data.insert(create(&data_path)?),
                };
                // Readers map the file into memory: keep every tensor on a page boundary.
                position = position.next_multiple_of(4096);
                file.seek(SeekFrom::Start(position)).map_err(io("write", &data_path))?;
                let length = self.copy_external(tensor, file)?;
                set_external(tensor, &location, position, length);
                position += length;
                Ok(())
            })();
        });
        result?;
        if let Some(data) = data {
            data.commit().map_err(io("write", &data_path))?;
        }
        let bytes = model.to_bytes()?;
        let mut file = create(path)?;
        file.write_all(&bytes).map_err(io("write", path))?;
        file.commit().map_err(io("write", path))
    }

    /// Takes weights that lie in other files into this one, where all of it is less than protobuf's 2 GiB; leaves
    /// them where they are otherwise. Returns whether none lie elsewhere.
    ///
    /// # Errors
    /// [`OnnxError::ExternalData`], [`OnnxError::Io`].
    pub fn embed_external_data(&mut self) -> Result<bool, OnnxError> {
        let sizes = self.external_data_files()?.into_iter().map(|it| it.metadata().map_or(0, |it| it.len()));
        if sizes.sum::<u64>() + self.proto().encoded_len() as u64 > MAX_EMBEDDED {
            return Ok(false);
        }
        let reader = self.clone();
        let mut result = Ok(());
        for_each_tensor(self.graph_mut(), &mut |tensor| {
            if result.is_err() || tensor.data_location != Some(1) {
                return;
            }
            let mut bytes = Vec::new();
            result = reader.copy_external(tensor, &mut bytes).map(drop);
            tensor.raw_data = Some(bytes.into());
            tensor.data_location = None;
            tensor.external_data.clear();
        });
        result.map(|()| true)
    }

    /// Writes what the model is, for a digest of it: the graph without the places of weights in other files, then
    /// the elements of these. The same wherever they lie.
    ///
    /// # Errors
    /// [`OnnxError::ExternalData`], [`OnnxError::Io`].
    pub fn write_canonical(&self, out: &mut dyn Write) -> Result<(), OnnxError> {
        let (mut bare, mut result) = (self.clone(), Ok(()));
        for_each_tensor(bare.graph_mut(), &mut |tensor| {
            if result.is_ok() && tensor.data_location == Some(1) {
                result = self.copy_external(tensor, out).map(drop);
                tensor.external_data.clear();
            }
        });
        result?;
        out.write_all(&bare.to_bytes()?).map_err(io("write", Path::new("a digest")))
    }

    /// The folder that external data is relative to, where the model came from a file and has any.
    #[must_use]
    pub fn external_data_folder(&self) -> Option<&Path> {
        self.folder.as_deref().filter(|_| !self.external_data_locations().is_empty())
    }

    /// The files external data lies in, each once, as the model names them.
    #[must_use]
    pub(crate) fn external_data_locations(&self) -> Vec<String> {
        let mut locations = BTreeSet::new();
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

    /// Streams the external elements of a tensor to `out` and returns how many bytes they are.
    pub(crate) fn copy_external(&self, tensor: &TensorProto, out: &mut dyn Write) -> Result<u64, OnnxError> {
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
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> OnnxError {
    let path = path.to_owned();
    move |source| OnnxError::Io { action, path, source }
}

/// A file that takes its place when it is committed, and is gone when it is not.
fn create(path: &Path) -> Result<AtomicWriteFile, OnnxError> {
    AtomicWriteFile::open(path).map_err(io("write", path))
}

fn set_external(tensor: &mut TensorProto, location: &str, offset: u64, length: u64) {
    tensor.external_data.retain(|it| !matches!(it.key.as_deref(), Some("location" | "offset" | "length")));
    tensor.external_data.push(StringStringEntryProto::new("location", location));
    tensor.external_data.push(StringStringEntryProto::new("offset", &offset.to_string()));
    tensor.external_data.push(StringStringEntryProto::new("length", &length.to_string()));
}

fn collect_locations(graph: &GraphProto, locations: &mut BTreeSet<String>) {
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
