//! What tests may miss: real weights and photos, Python, Node.

use std::path::{Path, PathBuf};

/// The repository.
///
/// # Panics
/// Where this package does not lie in it.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a package lies in the repository").to_owned()
}

/// Something a test needs and may miss: the test says so and passes, unless `HEADSTART_STRICT` is set, as it
/// is in CI.
///
/// # Panics
/// When it is missing and `HEADSTART_STRICT` is set.
pub fn or_skip<T>(found: Option<T>, what: &str) -> Option<T> {
    if found.is_none() {
        assert!(std::env::var_os("HEADSTART_STRICT").is_none(), "{what}, and HEADSTART_STRICT is set");
        #[expect(clippy::print_stderr, reason = "a test that did not run must say so")]
        {
            eprintln!("SKIPPED: {what}");
        }
    }
    found
}

/// Real weights and photos.
#[must_use]
pub fn shared() -> Option<PathBuf> {
    let folder = root().join("../shared");
    or_skip(folder.is_dir().then_some(folder), "no ../shared with real weights and photos")
}

/// Python with the packages of `tests/python/requirements.txt`.
#[must_use]
pub fn python() -> Option<PathBuf> {
    let python = std::env::var_os("HEADSTART_PYTHON").map(PathBuf::from);
    or_skip(python, "HEADSTART_PYTHON is not set; `cargo xtask test` sets it")
}

/// Node with the packages of `tests/js/package.json`.
#[derive(Debug, Clone)]
pub struct Node {
    folder: PathBuf,
}

impl Node {
    /// The interpreter.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        self.folder.join("bin/node")
    }

    /// The packages.
    #[must_use]
    pub fn modules(&self) -> PathBuf {
        self.folder.join("js/node_modules")
    }
}

/// Node, which comes with the Python environment of the tests.
#[must_use]
pub fn node() -> Option<Node> {
    let python = std::env::var_os("HEADSTART_PYTHON").map(PathBuf::from);
    let folder = python.and_then(|it| Some(it.parent()?.parent()?.to_owned()));
    let node = folder.map(|folder| Node { folder }).filter(|it| it.modules().is_dir());
    or_skip(node, "no Node beside HEADSTART_PYTHON; `cargo xtask test` makes both")
}
