//! The examples of the crates, run on real weights and photos, and held against what the program says.

use std::path::{Path, PathBuf};
use std::process::Command;

use headstart::Places;

use crate::support::{or_skip, root, runtime, shared};

/// Runs an example that `cargo test --workspace` built, and returns what it printed.
fn example(name: &str, arguments: &[&Path]) -> Option<String> {
    let tests = std::env::current_exe().expect("a test lies in a file");
    let built = tests.parent().and_then(Path::parent).expect("target/<profile>/deps").join("examples");
    let file = built.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let file = or_skip(file.is_file().then_some(file), "no examples; `cargo test --workspace` builds them")?;
    let mut command = Command::new(file);
    let models = root().join("../shared/models");
    command.args(arguments).env("HEADSTART_MODELS", models);
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).expect("UTF-8"))
}

fn library() -> PathBuf {
    runtime().path().to_owned()
}

#[test]
fn the_whole_job_prints_the_accuracy_that_the_program_prints() {
    let Some(shared) = shared() else { return };
    let out = tempfile::tempdir().expect("a temporary folder");
    let photos = shared.join("datasets/hymenoptera");
    let photo = photos.join("val/ants/10308379_1b6c72e180.jpg");
    let id = "mobilenetv2-1.0-224";
    let Some(printed) = example("whole_job", &[&photos, Path::new(id), &photo, out.path()]) else { return };
    // The program, in its own words, on the same photos.
    let program = |arguments: &[&str]| {
        let file = std::env::current_exe().expect("a test lies in a file");
        let program = file.ancestors().nth(2).expect("target/<profile>").join("headstart");
        let output = Command::new(program)
            .args(arguments)
            .current_dir(out.path())
            .env("HEADSTART_MODELS", shared.join("models"))
            .output()
            .expect("it is built with the tests");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let folder = photos.canonicalize().expect("it is there");
    program(&["extract", &folder.to_string_lossy(), "--model", id, "--store", "theirs"]);
    let told = program(&["fit-head", "--store", "theirs", "--out", "theirs.head"]);
    let of_program =
        told.split("of 153 samples it had not seen: ").nth(1).and_then(|it| it.split(';').next());
    let of_example = printed.strip_prefix("accuracy ").and_then(|it| it.split(' ').next());
    assert!(of_program.is_some_and(|it| it.ends_with('%')), "{told}");
    assert_eq!(of_program, of_example, "{printed}");
    assert!(printed.contains(" of 153\n") && printed.contains("given: [0]"), "{printed}");
    assert!(out.path().join("photos.onnx").is_file());
}

#[test]
fn the_examples_of_the_crates_print_what_they_promise() {
    let Some(shared) = shared() else { return };
    let out = tempfile::tempdir().expect("a temporary folder");
    let model = shared.join("models/mobilenetv2-1.0-224.onnx");
    let photos = shared.join("datasets/hymenoptera/val/ants");
    let photo = photos.join("10308379_1b6c72e180.jpg");
    let cases: [(&str, Vec<PathBuf>, &str); 6] = [
        ("cut", vec![model.clone(), out.path().join("cut.onnx")], "2206818 of 3487818 parameters"),
        ("prepare", vec![photo], "image: uint8 [224, 224, 3]"),
        ("certified_fit", vec![], "above its minimum"),
        ("embed_folder", vec![library(), photos], "10308379_1b6c72e180.jpg ["),
        ("cut_and_run", vec![library(), model], "float32 [2, 1280]"),
        ("in_process", vec![], "ONNX Model Zoo MobileNetV2"),
    ];
    for (name, arguments, expected) in &cases {
        let arguments: Vec<&Path> = arguments.iter().map(PathBuf::as_path).collect();
        let Some(printed) = example(name, &arguments) else { return };
        assert!(printed.contains(expected), "{name}: {printed}");
    }
    assert_eq!(cases.len(), 6);
}

/// On a store that the library makes, of pictures drawn by code.
#[test]
fn a_store_reads_as_its_example_does() {
    let out = tempfile::tempdir().expect("a temporary folder");
    for (class, colour) in [("blue", [9, 9, 200]), ("red", [200, 9, 9])] {
        let folder = out.path().join("photos").join(class);
        std::fs::create_dir_all(&folder).expect("it is made");
        let picture = image::RgbImage::from_pixel(30, 20, image::Rgb(colour));
        picture.save(folder.join("1.png")).expect("written");
    }
    let engine = headstart::Engine::new(headstart::EngineConfig {
        places: Some(Places::from_environment()),
        ..Default::default()
    });
    let quiet = &mut |_| ();
    let mut backbone = engine.backbone(&headstart::ModelConfig::default(), quiet).expect("it loads");
    let dataset = headstart::Dataset::open(out.path().join("photos"), &headstart::DatasetConfig::default());
    let store = out.path().join("store");
    engine.extract(&mut backbone, dataset.expect("a folder"), &store, None, quiet).expect("it is made");
    let Some(printed) = example("read_store", &[&store]) else { return };
    assert!(printed.starts_with("2 samples of "), "{printed}");
    assert!(printed.contains("blue/1.png blue [") && printed.contains("red/1.png red ["), "{printed}");
}
