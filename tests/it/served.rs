//! The page beside an export: its code runs, and says what this program says.

use std::path::{Path, PathBuf};
use std::process::Command;

use headstart::{Engine, EngineConfig, ModelConfig, Predictor, Source};
use headstart_input::{Channels, Filter, ImageOptions};
use image::{Rgba, RgbaImage};

use crate::support::{exported, node, python, root, run_python};

const SIZE: (u32, u32) = (241, 322);

/// A picture that is no square, with soft edges and transparency, as a file and as bytes.
fn photo(folder: &Path) -> (PathBuf, PathBuf) {
    let level = |it: f64| (127.5 + 127.5 * it.sin()).round();
    let picture = RgbaImage::from_fn(SIZE.0, SIZE.1, |x, y| {
        let (x, y) = (f64::from(x), f64::from(y));
        let [r, g, b] = [level(x / 9.0), level(y / 7.0), level((x + y) / 23.0)];
        let alpha = if x < 40.0 { 3.0 * x } else { 255.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
        Rgba([r, g, b, alpha].map(|it| it as u8))
    });
    let (png, raw) = (folder.join("photo.png"), folder.join("photo.rgba"));
    picture.save(&png).expect("it is written");
    std::fs::write(&raw, picture.as_raw()).expect("it is written");
    (png, raw)
}

#[test]
fn the_code_on_the_page_says_what_the_program_says() {
    let (Some(python), Some(node)) = (python(), node()) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (png, raw) = photo(folder.path());
    std::os::unix::fs::symlink(node.modules(), folder.path().join("node_modules")).expect("a link");
    std::fs::copy(root().join("tests/js/served.mjs"), folder.path().join("served.mjs")).expect("a copy");
    let recipes = [
        ImageOptions::default(),
        ImageOptions {
            filter: Some(Filter::Bicubic),
            channels: Some(Channels::Bgr),
            ..ImageOptions::default()
        },
        ImageOptions { short_side: Some(0), ..ImageOptions::default() },
    ];
    let engine = Engine::new(EngineConfig::default());
    let places: Vec<PathBuf> = (0..recipes.len()).map(|it| folder.path().join(it.to_string())).collect();
    let mut said: Vec<Vec<f64>> = Vec::new();
    for (image, place) in recipes.iter().zip(&places) {
        let config =
            ModelConfig { image: image.clone(), ..ModelConfig::from(headstart_backbone::EMBEDDED_ID) };
        let (file, _) = exported(place, &config);
        let mut predictor = Predictor::open(&engine, &file, &mut |_| ()).expect("it opens");
        let mut hear = |_, it: Result<headstart::Prediction, String>| {
            said.push(it.expect("it is read").scores);
            Ok::<(), headstart::Error>(())
        };
        predictor.predict(&[Source::from(&png)], &mut hear).expect("it runs");
    }
    let arguments: Vec<&str> =
        [&png].into_iter().chain(&places).map(|it| it.to_str().expect("UTF-8")).collect();
    let by_python = run_python(&python, "served.py", &arguments, "");
    assert_eq!((by_python.len(), said.len()), (3, 3));
    for ((by_python, said), place) in by_python.iter().zip(&said).zip(&places) {
        let scores: Vec<f64> =
            ["bright", "dark"].iter().map(|it| by_python[it].as_f64().expect("a score")).collect();
        // The pixels differ by one level where alpha was rounded otherwise.
        assert_near(&scores, said, 2e-3, "Python");
        let page = std::fs::read_to_string(place.join("out.md")).expect("a page");
        let code = page.split("```js\n").nth(1).and_then(|it| it.split("```").next()).expect("code");
        let module = folder.path().join("page.mjs");
        std::fs::write(&module, code).expect("it is written");
        let output = Command::new(node.program())
            .current_dir(folder.path())
            .args(["served.mjs", "page.mjs"])
            .arg(place.join("out.onnx"))
            .args([SIZE.0.to_string(), SIZE.1.to_string()])
            .arg(&raw)
            .output()
            .expect("node starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let scores: Vec<f64> = serde_json::from_slice(&output.stdout).expect("scores");
        assert_near(&scores, said, 2e-3, "JavaScript");
    }
}

fn assert_near(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    let is_near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= tolerance);
    assert!(is_near && found.len() == expected.len(), "{what}: {found:?} {expected:?}");
}

#[test]
fn a_page_that_somebody_wrote_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("out.md"), "my own notes").expect("it is written");
    exported(folder.path(), &ModelConfig::from(headstart_backbone::EMBEDDED_ID));
    let page = std::fs::read_to_string(folder.path().join("out.md")).expect("it reads");
    assert_eq!(page, "my own notes");
}
