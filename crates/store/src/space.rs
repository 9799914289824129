//! What makes two embeddings comparable, and the file that says so.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{StoreError, io};
use crate::file;

pub(crate) const FORMAT_VERSION: u32 = 1;
pub(crate) const MANIFEST: &str = "store.json";

/// An embedding space: everything a vector depends on besides the input itself.
///
/// The store does not interpret the description; two spaces are the same when it is equal, key by key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingSpace {
    /// What people call the model. No part of the space's identity: a file may be renamed.
    pub model: String,
    /// Length of every vector.
    pub n_features: usize,
    /// What the vectors depend on: model sha256, tap, preprocessing, precision, runtime, …
    pub description: Map<String, Value>,
}

impl EmbeddingSpace {
    /// Identity of the space: BLAKE3 of its description and length, 64 hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        // `serde_json`'s map is sorted by key, so equal descriptions have equal text.
        let identity = serde_json::json!({"n_features": self.n_features, "description": self.description});
        let text = identity.to_string();
        crate::Digest::of(text.as_bytes()).to_string()
    }

    /// What the metadata of files that hold its embeddings say of it.
    pub(crate) fn key_values(&self) -> [(&'static str, String); 2] {
        [("headstart.model", self.model.clone()), ("headstart.fingerprint", self.fingerprint())]
    }

    /// What differs between two spaces: a setting, what it is here, and what it is there.
    #[must_use]
    pub fn differences(&self, asked: &Self) -> Vec<[String; 3]> {
        let mut differences = Vec::new();
        if self.n_features != asked.n_features {
            let (here, there) = (self.n_features.to_string(), asked.n_features.to_string());
            differences.push(["n_features".to_owned(), here, there]);
        }
        compare("", &self.description, &asked.description, &mut differences);
        if !differences.is_empty() && self.model != asked.model {
            differences.insert(0, ["model".to_owned(), self.model.clone(), asked.model.clone()]);
        }
        differences
    }
}

/// Lists the keys in which two objects differ, those of nested objects as `outer.inner`.
fn compare(
    prefix: &str,
    here: &Map<String, Value>,
    asked: &Map<String, Value>,
    differences: &mut Vec<[String; 3]>,
) {
    let keys: BTreeSet<&String> = here.keys().chain(asked.keys()).collect();
    for key in keys {
        let name = format!("{prefix}{key}");
        match (here.get(key), asked.get(key)) {
            (Some(Value::Object(here)), Some(Value::Object(asked))) => {
                compare(&format!("{name}."), here, asked, differences);
            }
            (here, asked) if here != asked => {
                let text = |it: Option<&Value>| it.map_or("nothing".to_owned(), short);
                differences.push([name, text(here), text(asked)]);
            }
            _ => {}
        }
    }
}

/// A value as people would write it: 32-bit floats without the digits that 64 bits add to them.
fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(short).collect::<Vec<_>>().join(", ")),
        Value::Number(number) => match number.as_f64() {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::float_cmp,
                reason = "only when nothing is lost"
            )]
            Some(wide) if number.is_f64() && f64::from(wide as f32) == wide => (wide as f32).to_string(),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format_version: u32,
    fingerprint: String,
    #[serde(flatten)]
    space: EmbeddingSpace,
}

pub(crate) fn read(dir: &Path) -> Result<Option<EmbeddingSpace>, StoreError> {
    let path = dir.join(MANIFEST);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(io("read", &path)(err)),
    };
    let damaged = |source| StoreError::Manifest { path: path.clone(), source };
    let value: Value = serde_json::from_str(&text).map_err(damaged)?;
    let found = value.get("format_version").and_then(Value::as_u64).unwrap_or(0);
    if found != u64::from(FORMAT_VERSION) {
        let found = u32::try_from(found).unwrap_or(u32::MAX);
        return Err(StoreError::FormatVersion { path, found, expected: FORMAT_VERSION });
    }
    let manifest: Manifest = serde_json::from_value(value).map_err(damaged)?;
    Ok(Some(manifest.space))
}

pub(crate) fn write(dir: &Path, space: &EmbeddingSpace) -> Result<(), StoreError> {
    let manifest =
        Manifest { format_version: FORMAT_VERSION, fingerprint: space.fingerprint(), space: space.clone() };
    let path = dir.join(MANIFEST);
    let text = serde_json::to_string_pretty(&manifest)
        .map_err(|source| StoreError::Manifest { path: path.clone(), source })?;
    file::write_atomically(&path, "manifest", |file| {
        use std::io::Write;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")
    })
}
