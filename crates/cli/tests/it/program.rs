//! A folder for a test, and the program run in it.

use std::fs::DirEntry;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use image::{Rgb, RgbImage};
use serde_json::Value;

/// What a run printed and how it ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The last line of stdout as JSON.
    pub(crate) fn json(&self) -> Value {
        let line = self.stdout.trim_end().lines().last().unwrap_or_default();
        serde_json::from_str(line).or_else(|_| serde_json::from_str(&self.stdout)).expect("JSON on stdout")
    }

    /// Fails the test, with everything printed, unless the exit code is as expected.
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// A temporary folder in which the program is run.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headstart"));
        command.args(arguments).current_dir(self.folder.path()).env_remove("HEADSTART_MODELS");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        ran(self.command(arguments).stdin(Stdio::null()).output().expect("the program starts"))
    }

    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        child.stdin.take().expect("piped").write_all(input).expect("it reads");
        ran(child.wait_with_output().expect("it ends"))
    }

    /// Writes a picture of one colour with a little noise, `seed` telling pictures apart.
    pub(crate) fn picture(&self, name: &str, colour: [u8; 3], seed: u32) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
        let noise = |x: u32, y: u32| ((x * 31 + y * 17 + seed * 101) % 23) as u8;
        RgbImage::from_fn(40, 30, |x, y| Rgb(colour.map(|it| it.saturating_add(noise(x, y)))))
            .save(&path)
            .expect("it is written");
    }

    /// `photos/<class>/*.png`: `n_each` reddish, greenish and bluish pictures.
    pub(crate) fn photos(&self, n_each: u32) {
        for (class, colour) in [("red", [200, 40, 40]), ("green", [40, 200, 40]), ("blue", [40, 40, 200])] {
            for index in 0..n_each {
                self.picture(&format!("photos/{class}/{index}.png"), colour, index);
            }
        }
        settle();
    }
}

/// Waits until a run, its name beginning as given, has put its first rows into a store; false when it ended
/// before.
pub(crate) fn has_begun(child: &mut Child, store: &Path, run: &str) -> bool {
    let journal = format!("journal-{run}");
    let has_rows = |it: std::io::Result<DirEntry>| {
        let entry = it.expect("a folder of the store");
        let is_journal = entry.file_name().to_string_lossy().starts_with(&journal);
        is_journal && entry.metadata().is_ok_and(|it| it.len() > 0)
    };
    while !std::fs::read_dir(store.join("embeddings")).is_ok_and(|mut it| it.any(has_rows)) {
        if child.try_wait().expect("a process").is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    true
}

/// Files changed within the last moment are read again, whatever their times say: wait that out.
pub(crate) fn settle() {
    std::thread::sleep(Duration::from_millis(80));
}

fn ran(output: Output) -> Ran {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran {
        code: output.status.code().expect("no signal"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Numbers of an extraction: embedded, cached, failed, not even read.
pub(crate) fn counts(ran: &Ran) -> [u64; 4] {
    let json = ran.json();
    ["n_embedded", "n_cached", "n_failed", "n_unchanged"].map(|it| json[it].as_u64().expect("a number"))
}

pub(crate) fn extract(place: &Place, dataset: &str) -> Ran {
    place.run(&["extract", dataset, "--store", "store", "--json"])
}

pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a file");
    text.lines().map(|it| serde_json::from_str(it).expect("JSON")).collect()
}

/// Files of a store that a finished run has no use for.
pub(crate) fn leftovers(place: &Place, store: &str) -> Vec<String> {
    let folders = ["", "embeddings", "samples"].map(|it| place.path(store).join(it));
    let entries = folders.iter().flat_map(|it| std::fs::read_dir(it).expect("the store reads"));
    let names =
        entries.map(|it| it.expect("the store reads").file_name().into_string().expect("the store reads"));
    names.filter(|it| it.starts_with('.') || it.starts_with("journal-") || it.ends_with(".corrupt")).collect()
}
