//! ONNX Runtime: found, missing, too old, provisioned.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{Place, Ran};

fn with_library(place: &Place, library: &Path) -> Ran {
    let mut command = place.command(&["extract", "photos", "--store", "store"]);
    let output = command.env("ORT_DYLIB_PATH", library).output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran {
        code: output.status.code().expect("no signal"),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

#[test]
fn a_missing_library_is_an_error_that_names_the_version_and_the_command() {
    let place = Place::new();
    place.photos(1);
    let ran = with_library(&place, Path::new("/nowhere/libonnxruntime.so")).expect(2);
    assert!(ran.stderr.contains("no ONNX Runtime library at /nowhere/libonnxruntime.so"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("1.24.0 or newer") && ran.stderr.contains("unset it and run `headstart setup`"),
        "{}",
        ran.stderr
    );
    let mut command = place.command(&["extract", "photos", "--store", "store"]);
    let output =
        command.env_remove("ORT_DYLIB_PATH").env("HEADSTART_CACHE", place.path("empty")).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("no ONNX Runtime found") && stderr.contains("1.24.0"), "{stderr}");
}

/// A library that says it is version 1.10.0, built by rustc: nothing but its version may be asked for.
fn old_library(place: &Place) -> PathBuf {
    let source = place.path("old.rs");
    fs::write(
        &source,
        r#"
        #[repr(C)]
        pub struct Base { api: extern "C" fn(u32) -> *const u8, version: extern "C" fn() -> *const u8 }
        extern "C" fn api(_: u32) -> *const u8 { std::process::abort() }
        extern "C" fn version() -> *const u8 { b"1.10.0\0".as_ptr() }
        static BASE: Base = Base { api, version };
        #[unsafe(no_mangle)]
        pub extern "C" fn OrtGetApiBase() -> *const Base { &BASE }
        "#,
    )
    .expect("written");
    let library = place.path("libonnxruntime.so.1.10.0");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let status = Command::new(rustc)
        .args(["--edition", "2024", "--crate-type", "cdylib", "-o"])
        .args([&library, &source])
        .status()
        .expect("rustc runs");
    assert!(status.success());
    library
}

#[test]
fn a_library_that_is_too_old_is_an_error_and_never_a_panic() {
    let place = Place::new();
    place.photos(1);
    let ran = with_library(&place, &old_library(&place)).expect(2);
    assert!(ran.stderr.contains("ONNX Runtime 1.10.0 at "), "{}", ran.stderr);
    assert!(ran.stderr.contains("is too old; this program needs version 1.24.0 or newer"), "{}", ran.stderr);
    assert!(ran.stderr.contains("`headstart setup`"), "{}", ran.stderr);
}

#[test]
fn a_file_that_is_no_library_is_an_error() {
    let place = Place::new();
    place.photos(1);
    fs::write(place.path("fake.so"), "not a library").unwrap();
    let ran = with_library(&place, &place.path("fake.so")).expect(2);
    assert!(
        ran.stderr.contains("as ONNX Runtime") && ran.stderr.contains("`headstart setup`"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_device_the_runtime_does_not_have_is_an_error_and_nothing_falls_back() {
    let place = Place::new();
    place.photos(1);
    for (device, provider) in [("cuda", "CUDAExecutionProvider"), ("openvino", "OpenVINOExecutionProvider")] {
        let ran = place.run(&["extract", "photos", "--store", "store", "--device", device]).expect(2);
        assert!(ran.stderr.contains(&format!("device `{device}` cannot be used")), "{}", ran.stderr);
        assert!(ran.stderr.contains(provider), "{}", ran.stderr);
        assert!(!place.path("store").exists(), "a store was made for a run that could not run");
    }
    let ran = place.run(&["extract", "photos", "--store", "store", "--precision", "bf16"]).expect(2);
    assert!(
        ran.stderr.contains("precision `bf16` is not available on `cpu`; it offers f32"),
        "{}",
        ran.stderr
    );
}

#[test]
fn doctor_prints_what_there_is() {
    let place = Place::new();
    let ran = place.run(&["doctor"]).expect(0);
    for word in
        ["ONNX Runtime 1.", "CPUExecutionProvider", "cores", "cache", "headstart-distilled-96: compiled in"]
    {
        assert!(ran.stdout.contains(word), "{word}: {}", ran.stdout);
    }
    let json = place.run(&["doctor", "--json"]).expect(0).json();
    assert!(json["runtime"]["version"].as_str().unwrap().starts_with("1."));
}

#[test]
fn models_are_listed_and_files_inspected() {
    let place = Place::new();
    let list = place.run(&["models", "list", "--json"]).expect(0).json();
    assert!(list.as_array().unwrap().len() >= 12);
    let table = place.run(&["models", "list"]).expect(0).stdout;
    assert!(table.contains("mobilenetv2") && table.contains("half a MobileNetV2"), "{table}");
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/headstart-distilled-96.onnx");
    let ran = place.run(&["models", "inspect", model]).expect(0);
    assert!(
        ran.stdout.contains("input float32 [N, 3, 96, 96]") && ran.stdout.contains("features"),
        "{}",
        ran.stdout
    );
    let json = place.run(&["models", "inspect", model, "--json"]).expect(0).json();
    assert_eq!(json["tap"]["tensor"], "features");
}

/// Needs the network (pip's index): run where everything is expected to be there, as in CI.
#[test]
fn two_setups_at_once_give_one_library() {
    if std::env::var_os("HEADSTART_STRICT").is_none() {
        #[expect(clippy::print_stderr, reason = "a test that did not run must say so")]
        {
            eprintln!("SKIPPED: needs pip's index; HEADSTART_STRICT runs it");
        }
        return;
    }
    let place = Place::new();
    let start = || {
        let mut command = place.command(&["setup"]);
        command.env("HEADSTART_CACHE", place.path("cache")).env_remove("ORT_DYLIB_PATH").spawn().unwrap()
    };
    let children = [start(), start()];
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let runtime = place.path("cache/runtime");
    let mut names: Vec<String> =
        fs::read_dir(&runtime).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["1.31.1", "setup.lock"], "nothing temporary is left");
    let mut command = place.command(&["doctor", "--json"]);
    let output =
        command.env("HEADSTART_CACHE", place.path("cache")).env_remove("ORT_DYLIB_PATH").output().unwrap();
    assert!(output.status.success());
}
