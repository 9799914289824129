//! The rules of the house: who may depend on whom, what is named where, how long things get.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::root;

/// What each crate may use of the others; tests and xtask may use all.
const ROOMS: [(&str, &[&str]); 7] = [
    ("headstart-onnx", &[]),
    ("headstart-store", &[]),
    ("headstart-head", &[]),
    ("headstart-input", &[]),
    ("headstart-backbone", &["headstart-input", "headstart-onnx", "headstart-store"]),
    (
        "headstart",
        &["headstart-backbone", "headstart-head", "headstart-input", "headstart-onnx", "headstart-store"],
    ),
    ("headstart-cli", &["headstart"]),
];

/// Libraries, and the only files that name them: paths below `crates`, or the beginnings of such.
const NAMED: [(&str, &[&str]); 35] = [
    ("ort", &["backbone/src/runtime/", "backbone/src/error.rs"]),
    ("libloading", &["backbone/src/runtime/library.rs"]),
    ("clap_complete", &["cli/src/commands/completions.rs"]),
    ("console", &["cli/src/report.rs"]),
    ("textwrap", &["cli/src/report.rs"]),
    ("flate2", &["headstart/src/provision/", "input/src/image/orientation.rs"]),
    ("crossbeam_channel", &["backbone/src/pipeline.rs"]),
    (
        "tracing",
        &[
            "backbone/src/runtime/mod.rs",
            "headstart/src/dataset/mod.rs",
            "headstart/src/fit/mod.rs",
            "headstart/src/samples.rs",
        ],
    ),
    ("image", &["input/src/image/", "input/src/error.rs"]),
    ("libjpeg_turbo_rs", &["input/src/image/jpeg.rs", "input/src/error.rs"]),
    ("hayro_jpeg2000", &["input/src/image/jpeg2000.rs"]),
    ("tokenizers", &["input/src/text/tokenizer.rs"]),
    ("symphonia", &["input/src/audio/decode.rs"]),
    ("tiff", &["input/src/image/tiff_kinds.rs"]),
    ("pulp", &["input/src/image/resize.rs", "head/src/logistic/kernels.rs"]),
    ("arrow", &["store/src/"]),
    ("parquet", &["store/src/"]),
    ("blake3", &["store/src/"]),
    ("faer", &["head/src/"]),
    ("linfa", &["head/src/logistic/", "head/src/error.rs"]),
    ("linfa_logistic", &["head/src/logistic/with_linfa.rs", "head/src/error.rs"]),
    ("safetensors", &["head/src/head.rs"]),
    ("half", &["onnx/src/half_floats.rs"]),
    ("atomic_write_file", &["onnx/src/file.rs", "headstart/src/files.rs"]),
    ("csv", &["headstart/src/rows.rs"]),
    ("csv_core", &["headstart/src/dataset/delimited.rs"]),
    ("unicode_normalization", &["headstart/src/dataset/mod.rs"]),
    ("etcetera", &["headstart/src/environment.rs"]),
    ("ureq", &["headstart/src/provision/network.rs"]),
    ("tar", &["headstart/src/provision/install.rs"]),
    ("zip", &["headstart/src/provision/install.rs"]),
    ("walkdir", &["headstart/src/dataset/folder.rs"]),
    (
        "toml",
        &[
            "headstart/src/model.rs",
            "backbone/src/registry.rs",
            "backbone/src/error.rs",
            "cli/src/defaults.rs",
        ],
    ),
    ("indicatif", &["cli/src/progress.rs", "cli/src/listener.rs"]),
    ("tracing_subscriber", &["cli/src/lib.rs"]),
];

/// Longest file, in lines.
const MAX_LINES: usize = 400;
/// Longest function but for one in a hundred.
const LONG_FUNCTION: usize = 60;
/// Lines of the program's own crate: what it does beyond words is the library's.
const MAX_CLI_LINES: usize = 3000;

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--format-version", "1", "--no-deps"];
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().expect("cargo runs");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The Rust files below a folder of the repository, by their path from there; what is built is left out.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let base = root().join(folder);
    let mut files = BTreeMap::new();
    let mut folders = vec![base.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|it| it.to_str()).expect("UTF-8");
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = std::fs::read_to_string(&path).expect("it reads");
                let inside = path.strip_prefix(&base).expect("below it").to_string_lossy().into_owned();
                files.insert(inside, text);
            }
        }
    }
    files
}

/// The files of the crates that are no tests and no examples, without their comments and their test modules.
fn code() -> BTreeMap<String, String> {
    let is_code =
        |path: &String| path.contains("/src/") && !path.contains("/tests/") && !path.ends_with("/tests.rs");
    let files = sources("crates").into_iter().filter(|it| is_code(&it.0));
    files
        .map(|(path, text)| {
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
            let lines = text.lines().filter(|it| !it.trim_start().starts_with("//"));
            (path, lines.collect::<Vec<_>>().join("\n"))
        })
        .collect()
}

#[test]
fn crates_depend_on_those_below_them_alone() {
    let metadata = metadata();
    let mut n_edges = 0;
    for (name, allowed) in ROOMS {
        let package = metadata["packages"].as_array().expect("packages");
        let package = package.iter().find(|it| it["name"] == name).expect(name);
        let used: BTreeSet<&str> = package["dependencies"]
            .as_array()
            .expect("dependencies")
            .iter()
            .filter(|it| it["kind"].is_null())
            .filter_map(|it| it["name"].as_str())
            .filter(|it| it.starts_with("headstart"))
            .collect();
        // Both ways: a room that nobody enters any more is no room.
        assert_eq!(used, allowed.iter().copied().collect(), "{name}");
        n_edges += used.len();
    }
    assert_eq!(n_edges, 9);
}

#[test]
fn only_the_program_prints_and_only_one_module_reads_the_environment() {
    let printing = ["println!", "print!(", "dbg!", "io::stdout", "io::stderr", "stderr()", "stdout()"];
    let environment = ["env::var", "env::set_var", "env::remove_var"];
    let (mut n_files, mut n_found) = (0, 0);
    for (path, text) in code() {
        let is_program = path.starts_with("cli/");
        for word in printing.iter().filter(|it| text.contains(**it)) {
            assert!(is_program, "{path}: {word}");
            n_found += 1;
        }
        for word in environment.iter().filter(|it| text.contains(**it)) {
            assert_eq!(path, "headstart/src/environment.rs", "{word}");
            n_found += 1;
        }
        assert!(is_program || !text.contains("clap"), "{path}: clap");
        n_files += 1;
    }
    assert!(n_files > 100 && n_found >= 4, "{n_files} files, {n_found} words found: too few");
}

#[test]
fn every_foreign_library_is_named_in_its_one_module() {
    let code = code();
    for (library, places) in NAMED {
        let is_name = |text: &str| {
            // As a path: `ort::…`, not `sort::…` nor `crate::image::…`.
            text.match_indices(&format!("{library}::")).any(|(at, _)| {
                let before = text[..at].chars().next_back();
                !before.is_some_and(|it| it.is_alphanumeric() || it == '_' || it == ':')
            })
        };
        let named: Vec<&String> = code.iter().filter(|it| is_name(it.1)).map(|it| it.0).collect();
        for path in &named {
            // A module of ours that has the library's name.
            let is_module = *path == "input/src/lib.rs" && library == "image";
            assert!(is_module || places.iter().any(|it| path.starts_with(it)), "{path} names {library}");
        }
        for place in places {
            assert!(named.iter().any(|it| it.starts_with(place)), "{place} does not name {library} any more");
        }
    }
}

#[test]
fn files_and_functions_are_short() {
    let files: BTreeMap<String, String> = ["crates", "xtask", "tests", "bench"]
        .into_iter()
        .flat_map(|folder| sources(folder).into_iter().map(move |it| (format!("{folder}/{}", it.0), it.1)))
        .collect();
    let too_long: Vec<(&String, usize)> =
        files.iter().map(|it| (it.0, it.1.lines().count())).filter(|it| it.1 > MAX_LINES).collect();
    assert!(too_long.is_empty(), "more than {MAX_LINES} lines: {too_long:?}");
    let cli: usize =
        files.iter().filter(|it| it.0.starts_with("crates/cli/src/")).map(|it| it.1.lines().count()).sum();
    assert!((500..=MAX_CLI_LINES).contains(&cli), "crates/cli/src has {cli} lines");
    let functions: Vec<(String, usize)> =
        files.iter().flat_map(|(path, text)| functions(path, text)).collect();
    let long: Vec<&(String, usize)> = functions.iter().filter(|it| it.1 > LONG_FUNCTION).collect();
    assert!(functions.len() > 1000, "only {} functions found", functions.len());
    assert!(long.len() * 100 <= functions.len(), "{} of {}: {long:?}", long.len(), functions.len());
}

/// Name and length of every function that has more than a line.
fn functions(path: &str, text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut functions = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words: Vec<&str> = line.trim_start().split(['(', '<', ' ']).collect();
        let Some(at) = words.iter().position(|it| *it == "fn") else { continue };
        let is_declared = words[..at].iter().all(|word| {
            ["const", "unsafe", "extern", "pub"].contains(word)
                || word.starts_with("crate)")
                || word.starts_with("super)")
        });
        if !is_declared || line.trim_end().ends_with('}') || line.trim_end().ends_with(';') {
            continue;
        }
        let closes = format!("{}}}", &line[..indent]);
        if let Some(length) = lines[start..].iter().position(|it| *it == closes) {
            functions.push((format!("{path}: {}", words.get(at + 1).unwrap_or(&"")), length + 1));
        }
    }
    functions
}

/// Every file that `ARCHITECTURE.md` names is there.
#[test]
fn the_architecture_names_files_that_exist() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("it reads");
    let mut n_named = 0;
    for name in text.split('`').skip(1).step_by(2).flat_map(braces) {
        let is_path =
            name.contains('/') && !name.contains([' ', '<', '*', ':', '|']) && !name.starts_with("..");
        if !is_path {
            continue;
        }
        let places = ["", "crates"].map(|it| root().join(it).join(&name));
        assert!(places.iter().any(|it| exists(it)), "`{name}` does not exist");
        n_named += 1;
    }
    assert!(n_named >= 40, "only {n_named} files are named");
    assert!(text.lines().count() < 200, "one page");
}

fn exists(path: &Path) -> bool {
    path.exists()
}

/// `a/{b,c}.rs` as `a/b.rs` and `a/c.rs`.
fn braces(name: &str) -> Vec<String> {
    match (name.find('{'), name.find('}')) {
        (Some(open), Some(close)) if open < close => {
            let inside = name[open + 1..close].split(',');
            inside.map(|it| format!("{}{}{}", &name[..open], it.trim(), &name[close + 1..])).collect()
        }
        _ => vec![name.to_owned()],
    }
}

/// READMEs show the examples, which are compiled and run; none shows code of its own that is not.
#[test]
fn readmes_show_the_examples() {
    let mut n_shown = 0;
    for folder in ["onnx", "store", "head", "input", "backbone", "headstart", "cli"] {
        let folder: PathBuf = root().join("crates").join(folder);
        let readme = std::fs::read_to_string(folder.join("README.md")).expect("it reads");
        let examples = std::fs::read_dir(folder.join("examples")).expect("every crate has examples");
        let mut n_examples = 0;
        for example in examples {
            let text = std::fs::read_to_string(example.expect("an entry").path()).expect("it reads");
            let code = text.split_once("\n\n").map_or("", |it| it.1);
            n_shown += usize::from(readme.contains(code.trim()));
            n_examples += 1;
        }
        assert!(n_examples > 0 && readme.contains("```rust"), "{}", folder.display());
    }
    assert_eq!(n_shown, 7, "a README each shows one of its examples as it is");
}
