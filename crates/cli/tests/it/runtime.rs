//! ONNX Runtime: found, missing, too old, provisioned.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use headstart_store::Store;

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
    let places = headstart::Places::from_environment();
    let runtime = headstart::load_runtime(headstart::Kind::Cpu, &places).expect("by `cargo xtask setup`");
    let library = runtime.path();
    for (device, provider) in [("cuda", "CUDAExecutionProvider"), ("openvino", "OpenVINOExecutionProvider")] {
        let arguments = ["extract", "photos", "--store", "store", "--device", device];
        let said = |name: &str, value: &Path| {
            let mut command = place.command(&arguments);
            let output = command.env_remove("ORT_DYLIB_PATH").env(name, value).output().unwrap();
            assert_eq!(output.status.code(), Some(2));
            assert!(!place.path("store").exists(), "a store was made for a run that could not run");
            String::from_utf8(output.stderr).unwrap()
        };
        let hint = format!("`headstart setup --device {device}`");
        let named = said("ORT_DYLIB_PATH", library);
        assert!(named.contains(&format!("device `{device}` cannot be used")), "{named}");
        assert!(named.contains(provider) && named.contains(&hint), "{named}");
        let missing = said("HEADSTART_CACHE", &place.path("empty"));
        assert!(missing.contains("no ONNX Runtime for") && missing.contains(&hint), "{missing}");
    }
    let ran = place.run(&["extract", "photos", "--store", "store", "--precision", "bf16"]).expect(2);
    assert!(
        ran.stderr.contains("precision `bf16` is not available on `cpu`; it offers f32"),
        "{}",
        ran.stderr
    );
    let ran = place.run(&["extract", "photos", "--store", "store", "--device", "auto"]).expect(0);
    assert!(ran.stderr.contains("device cpu: ") || ran.stderr.contains("device cuda: "), "{}", ran.stderr);
}

/// Needs the network (pip's index) and Linux on x86-64.
#[test]
fn openvino_is_provisioned_and_computes_what_the_cpu_does() {
    if std::env::var_os("HEADSTART_STRICT").is_none()
        || !cfg!(all(target_os = "linux", target_arch = "x86_64"))
    {
        #[expect(clippy::print_stderr, reason = "a test that did not run must say so")]
        {
            eprintln!("SKIPPED: needs pip's index and Linux on x86-64; HEADSTART_STRICT runs it");
        }
        return;
    }
    let place = Place::new();
    place.photos(5);
    let doctor = place.run(&["doctor", "--json"]).expect(0).json();
    let has_bf16 = doctor["cpu"]["features"].as_array().unwrap().iter().any(|it| it == "avx512bf16");
    let run = |arguments: &[&str]| {
        let output = place.command(arguments).env_remove("ORT_DYLIB_PATH").output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = run(&["setup", "--device", "openvino"]);
    assert_eq!(code, Some(0), "{said}");
    let extract =
        |store: &str, more: &[&str]| run(&[&["extract", "photos", "--store", store], more].concat());
    assert_eq!(extract("cpu", &[]).0, Some(0));
    let rows = |store: &str| {
        let store = Store::open(&place.path(store)).unwrap();
        let mut digests: Vec<_> = store.samples().unwrap().samples.iter().map(|it| it.digest).collect();
        digests.sort();
        let n_features = store.space().n_features;
        (n_features, store.load(&digests).unwrap().values)
    };
    let (n_features, expected) = rows("cpu");
    // f32 differs by the order of sums; bf16 keeps 8 bits (0.9989 was measured on real photos).
    let precisions = [("f32", 0.999_99), ("bf16", 0.995)];
    let mut n_compared = 0;
    for (precision, least) in precisions {
        let (code, said) = extract(precision, &["--device", "openvino", "--precision", precision]);
        if precision == "bf16" && !has_bf16 {
            assert_eq!(code, Some(2));
            assert!(said.contains("no bf16 instructions") && !said.contains("setup"), "{said}");
            continue;
        }
        assert_eq!(code, Some(0), "{said}");
        let (_, found) = rows(precision);
        for (a, b) in expected.chunks_exact(n_features).zip(found.chunks_exact(n_features)) {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
            assert!(cosine >= least, "{precision}: cosine {cosine}");
            n_compared += 1;
        }
        let (code, said) = extract("cpu", &["--device", "openvino", "--precision", precision]);
        assert_eq!(code, Some(2), "rows of another device were mixed in");
        assert!(said.contains("execution_provider"), "{said}");
    }
    assert_eq!(n_compared, if has_bf16 { 30 } else { 15 });
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
fn the_default_backbone_says_what_it_is() {
    let place = Place::new();
    place.photos(1);
    let ran = place.run(&["extract", "photos", "--store", "store"]).expect(0);
    assert!(ran.stderr.contains("headstart-distilled-96: a small distilled default"), "{}", ran.stderr);
}

#[test]
fn models_are_listed_and_files_inspected() {
    let place = Place::new();
    let list = place.run(&["models", "list", "--json"]).expect(0).json();
    assert!(list["models"].as_array().unwrap().len() >= 7);
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
fn two_setups_at_once_give_one_library_and_another_one_mends_it() {
    if std::env::var_os("HEADSTART_STRICT").is_none() {
        #[expect(clippy::print_stderr, reason = "a test that did not run must say so")]
        {
            eprintln!("SKIPPED: needs pip's index; HEADSTART_STRICT runs it");
        }
        return;
    }
    let place = Place::new();
    place.photos(1);
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
    let run = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        let output = command.env("HEADSTART_CACHE", place.path("cache")).env_remove("ORT_DYLIB_PATH");
        let output = output.output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    assert!(run(&["doctor", "--json"]).0);
    let (is_good, said) = run(&["setup"]);
    assert!(is_good && !said.contains("getting"), "{said}");
    // The library cut short, or gone, and what a killed setup left.
    let largest = |folder: &Path| {
        let files = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
        files.max_by_key(|it| fs::metadata(it).unwrap().len()).unwrap()
    };
    let library = largest(&runtime.join("1.31.1"));
    let whole = fs::read(&library).unwrap();
    for damage in [|it: &Path| fs::write(it, "half").unwrap(), |it: &Path| fs::remove_file(it).unwrap()] {
        damage(&library);
        fs::create_dir_all(runtime.join(".setup-killed/staged")).unwrap();
        let (is_good, _) = run(&["doctor", "--json"]);
        assert!(!is_good);
        let (is_good, said) = run(&["setup"]);
        assert!(is_good && said.contains("getting"), "{said}");
        assert!(fs::read(&library).unwrap() == whole);
        assert!(!runtime.join(".setup-killed").exists());
        assert!(run(&["doctor", "--json"]).0);
    }
    // Nothing can be got: what is damaged is told, what nobody knows of is left as it is.
    let offline = || {
        let mut command = place.command(&["setup"]);
        command.env("HEADSTART_CACHE", place.path("cache")).env_remove("ORT_DYLIB_PATH").env("PATH", "");
        for proxy in ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env(proxy, "http://127.0.0.1:9");
        }
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let files = runtime.join("1.31.1/files.json");
    let known = fs::read(&files).unwrap();
    for unknown in ["", "{}", "{"] {
        fs::write(&files, unknown).unwrap();
        let (is_good, said) = offline();
        assert!(is_good && said.contains("left as it is"), "{said}");
    }
    fs::write(&files, &known).unwrap();
    assert!(offline().0);
    // Cut short, but still a library to the loader: mapped, it would end the process without a word.
    fs::write(&library, &whole[..whole.len() / 2]).unwrap();
    let (is_good, said) = run(&["extract", "photos", "--store", "store"]);
    assert!(!is_good && said.contains("bytes instead of") && said.contains("`headstart setup`"), "{said}");
    let (is_good, said) = offline();
    assert!(!is_good && said.contains("is damaged; getting it again") && said.contains("pip"), "{said}");
}
