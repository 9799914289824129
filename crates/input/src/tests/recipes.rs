//! Recipes as text, what they are fed as, tensors put together.

use ::image::ImageFormat;

use super::{as_is, encode, picture};
use crate::*;

#[test]
fn a_recipe_is_written_and_read_with_and_without_its_kind() {
    let recipe = Recipe::Image(ImageRecipe { size: [96, 80], short_side: None, ..ImageRecipe::imagenet() });
    let text = serde_json::to_string(&recipe).unwrap();
    assert!(!text.contains("kind"), "files and fingerprints of before would change: {text}");
    assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), recipe);
    let named = text.replacen('{', r#"{"kind":"image","#, 1);
    assert_eq!(serde_json::from_str::<Recipe>(&named).unwrap(), recipe);
    let err = serde_json::from_str::<Recipe>(r#"{"kind":"smell"}"#).unwrap_err().to_string();
    assert!(err.contains("expected kind `image`, `text` or `audio`, found \"smell\""), "{err}");
    let sounds: Recipe = toml::from_str(
        "kind = \"audio\"\nwindow = 0.975\nshort = \"repeat\"\nfront-end = { n-mels = 40, scale = \"kaldi\" }",
    )
    .unwrap();
    let text = serde_json::to_string(&sounds).unwrap();
    assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), sounds, "{text}");
    let Recipe::Audio(audio) = &sounds else { panic!("{sounds:?}") };
    assert_eq!((audio.n_window(), audio.n_hop(), audio.short), (15600, 15600, Filling::Repeat));
    let named: Recipe = toml::from_str("kind = \"audio\"\nfront-end = \"whisper-80\"").unwrap();
    assert_eq!(
        named.to_string(),
        "16000 Hz mono, ±1, windows of 30 s, shorter ones filled up with silence, as whisper-80 prepares them, their mean"
    );
    for (front_end, expected) in [
        ("\"whisper80\"", "expected one of: zero-mean-unit-variance, whisper-80"),
        ("{ n-mel = 3 }", "unknown field `n-mel`"),
    ] {
        let err =
            toml::from_str::<Recipe>(&format!("kind = \"audio\"\nfront-end = {front_end}")).unwrap_err();
        assert!(err.to_string().contains(expected), "{err}");
    }
    for (numbers, expected) in [
        ("hop = 2\nwindow = 1", "hop, in seconds, of longer steps than windows, cannot be 2"),
        ("sample-rate = 8000\nfront-end = {}", "range, in Hz, up to half the sample rate, cannot be 8000"),
        (
            "front-end = { n-frames = 1000000, n-mels = 4096 }",
            "n-frames, for so many bins, cannot be 1000000",
        ),
        ("front-end = { hop-length = 1, frame-length = 4096, n-fft = 4096 }", "hop-length, for the frames"),
        ("front-end = { frame-length = 1 }", "frame-length, cannot be 1"),
        ("window = 1001", "window, in seconds, cannot be 1001"),
    ] {
        let recipe: Recipe = toml::from_str(&format!("kind = \"audio\"\n{numbers}")).unwrap();
        let err = recipe.check().unwrap_err().to_string();
        assert!(err.starts_with(expected), "{err}");
    }
    // TOML leaves out what is none, which would then be the default.
    let squeezed: Recipe = toml::from_str("short-side = 0").unwrap();
    assert_eq!(squeezed, Recipe::Image(ImageRecipe { short_side: None, ..ImageRecipe::imagenet() }));
    let err = toml::from_str::<Recipe>("sise = 3").unwrap_err().to_string();
    assert!(err.contains("unknown field `sise`"), "{err}");
}

/// What a backbone is fed is the same whichever way it is asked for.
#[test]
fn tensors_of_a_picture_are_its_pixels() {
    let image = as_is(3, 2);
    let recipe = Recipe::Image(image.clone());
    let bytes = encode(&picture().into(), ImageFormat::Png);
    let tensors = recipe.apply(&bytes, &Limits::default()).unwrap();
    let pixels = Data::U8(picture().into_raw());
    assert_eq!(tensors, [Tensor { name: "image".to_owned(), shape: vec![3, 2, 3], data: pixels }]);
    let alike = |a: &Tensor, b: &Tensor| a.name == b.name && a.shape == b.shape;
    let made_up = recipe.probes(3).into_iter().chain([recipe.neutral()]).collect::<Vec<_>>();
    assert!(made_up.iter().all(|it| it.len() == 1 && alike(&it[0], &tensors[0])));
    assert!(made_up.iter().enumerate().all(|(index, it)| !made_up[..index].contains(it)));
    assert_eq!(recipe.identity()["preprocess"], serde_json::to_value(&image).unwrap());
}

#[test]
fn tensors_that_are_not_alike_are_not_stacked() {
    let tensor = |name: &str, shape: &[usize], data| Tensor::new(name, shape.to_vec(), data);
    let a = || tensor("x", &[2], Data::F32(vec![1.0, 2.0]));
    let batch = Tensor::stack([&a(), &a()]).unwrap();
    assert_eq!(batch, tensor("x", &[2, 2], Data::F32(vec![1.0, 2.0, 1.0, 2.0])));
    assert_eq!((batch.n_bytes(), batch.data.dtype()), (16, "float32"));
    assert_eq!(Tensor::stack([]), None);
    for other in [
        tensor("y", &[2], Data::F32(vec![1.0, 2.0])),
        tensor("x", &[1, 2], Data::F32(vec![1.0, 2.0])),
        tensor("x", &[2], Data::I64(vec![1, 2])),
    ] {
        assert_eq!(Tensor::stack([&a(), &other]), None);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]
    /// A recipe comes back from JSON as it was, and so does what it adds to a fingerprint.
    #[test]
    fn recipes_round_trip(
        size in proptest::array::uniform2(1_u32..512),
        more in proptest::option::of(0_u32..300),
        bicubic: bool,
        channels in 0..3_usize,
        unit_range: bool,
        levels in proptest::array::uniform6(0.001_f32..300.0),
        flags in proptest::array::uniform3(proptest::bool::ANY),
    ) {
        let channels = [Channels::Rgb, Channels::Bgr, Channels::Grey][channels];
        let n = if channels == Channels::Grey { 1 } else { 3 };
        // Of the scale of the pixels: another is refused.
        let levels = levels.map(|it| if unit_range { it / 300.0 } else { it + 1.0 });
        let recipe = Recipe::Image(ImageRecipe {
            size,
            short_side: more.map(|it| size[0].max(size[1]) + it),
            filter: if bicubic { Filter::Bicubic } else { Filter::Bilinear },
            channels,
            unit_range,
            mean: levels[..n].to_vec(),
            std: levels[3..3 + n].to_vec(),
            background: if flags[0] { Background::White } else { Background::Black },
            orientation: flags[1],
            scaled_jpeg: flags[2],
        });
        recipe.check().unwrap();
        let read: Recipe = serde_json::from_str(&serde_json::to_string(&recipe).unwrap()).unwrap();
        proptest::prop_assert_eq!(read.identity(), recipe.identity());
        proptest::prop_assert_eq!(read, recipe);
    }
}
