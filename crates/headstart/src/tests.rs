//! What is written and read back: descriptions of models, names on a command line.

use headstart_backbone::ModelSpec;
use headstart_input::{Background, Channels, Filter, ImageRecipe, Recipe, TextRecipe, TokenInput, TokenRole};
use headstart_onnx::Pool;

use crate::model::description;
use crate::{DeviceChoice, Shard};

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

    /// The TOML beside a model says all that there is to say of how it is fed and cut.
    #[test]
    fn descriptions_round_trip(
        size in proptest::array::uniform2(1_u32..512),
        more in proptest::option::of(0_u32..300),
        grey: bool,
        levels in proptest::array::uniform6(0.001_f32..300.0),
        flags in proptest::array::uniform5(proptest::bool::ANY),
        tap in "[ -~]{1,20}",
        pool in 0..4_usize,
        normalize: bool,
    ) {
        let n = if grey { 1 } else { 3 };
        let recipe = Recipe::Image(ImageRecipe {
            size,
            short_side: more.map(|it| size[0].max(size[1]) + it),
            filter: if flags[0] { Filter::Bicubic } else { Filter::Bilinear },
            channels: if grey { Channels::Grey } else { Channels::Bgr },
            unit_range: flags[1],
            mean: levels[..n].to_vec(),
            std: levels[3..3 + n].to_vec(),
            background: if flags[2] { Background::White } else { Background::Black },
            orientation: flags[3],
            scaled_jpeg: flags[4],
        });
        let pool = [Pool::None, Pool::Mean, Pool::First, Pool::Last][pool];
        let folder = tempfile::tempdir().unwrap();
        let text = description("a model", &tap, pool, normalize, &recipe);
        std::fs::write(folder.path().join("a.toml"), &text).unwrap();
        let (spec, described_by) = ModelSpec::of_file(&folder.path().join("a.onnx")).unwrap();
        proptest::prop_assert!(described_by.is_some());
        proptest::prop_assert_eq!(spec.id, "a model");
        proptest::prop_assert_eq!((spec.tap, spec.pool, spec.normalize), (Some(tap), Some(pool), normalize));
        proptest::prop_assert_eq!(spec.recipe, recipe, "{}", text);
    }

    /// Of texts too; the tokenizer and what the graph takes are said by files of their own.
    #[test]
    fn descriptions_of_texts_round_trip(max_tokens in 1_usize..4096, prefix in "[ -~]{0,20}", normalize: bool) {
        let recipe = TextRecipe { max_tokens: Some(max_tokens), prefix, ..TextRecipe::default() };
        let inputs = vec![TokenInput { name: "input_ids".to_owned(), role: TokenRole::Ids, is_int32: true }];
        let fed = Recipe::Text(TextRecipe { inputs, ..recipe.clone() });
        let folder = tempfile::tempdir().unwrap();
        let text = description("a model", "row", Pool::None, normalize, &fed);
        std::fs::write(folder.path().join("a.toml"), &text).unwrap();
        let (spec, _) = ModelSpec::of_file(&folder.path().join("a.onnx")).unwrap();
        proptest::prop_assert_eq!((spec.normalize, spec.kind_is_open), (normalize, false));
        proptest::prop_assert_eq!(spec.recipe, Recipe::Text(recipe), "{}", text);
    }
}

#[test]
fn shards_and_devices_read_as_they_are_written() {
    assert_eq!("2/8".parse(), Ok(Shard { index: 1, count: 8 }));
    for wrong in ["", "2", "0/8", "9/8", "2/", "-1/8", "2/0", "a/b"] {
        assert_eq!(
            wrong.parse::<Shard>(),
            Err("expected I/N with I from 1 to N, 2/8 for instance"),
            "{wrong}"
        );
    }
    assert_eq!("auto".parse(), Ok(DeviceChoice::Auto));
    for device in ["cpu", "openvino", "cuda"] {
        let Ok(DeviceChoice::Is(read)) = device.parse() else { panic!("{device}") };
        assert_eq!(read.to_string(), device);
    }
    let err = "gpu".parse::<DeviceChoice>().unwrap_err();
    assert!(err.contains("cpu") && err.ends_with("or auto"), "{err}");
    for pool in [Pool::None, Pool::Mean, Pool::First, Pool::Last] {
        assert_eq!(pool.to_string().parse(), Ok(pool));
    }
}
