//! Texts: tokens as Python's `tokenizers` makes them, embeddings as onnxruntime does, whatever a batch holds.

use std::process::Command;

use headstart_backbone::{Backbone, BackboneError, Content, Known, RunConfig, Source, run};
use headstart_input::{Data, InputError, Limits, Recipe};
use serde_json::Value;

use crate::support::{cosine, load, python, run_python, shared};

/// The texts of a dataset.
pub(crate) fn texts_of(set: &str) -> Option<Vec<String>> {
    let archive = shared()?.join("datasets/text/trec_sst2_banking77.tar.gz");
    let folder = tempfile::tempdir().expect("a folder");
    let status = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(folder.path()).status();
    assert!(status.expect("tar starts").success());
    let text = std::fs::read_to_string(folder.path().join("text").join(set)).expect("it is in the archive");
    let line =
        |it: &str| serde_json::from_str::<Value>(it).expect("JSON")["text"].as_str().map(str::to_owned);
    Some(text.lines().map(|it| line(it).expect("a text")).collect())
}

/// Texts that tokenizers stumble over.
pub(crate) fn odd_texts() -> Vec<String> {
    let mut odd: Vec<String> = [
        " ",
        "\n",
        "a",
        "İstanbul ﬁn ǅ ß",
        "日本語のテキスト",
        "مرحبا بالعالم",
        "שלום",
        "👩‍👩‍👧‍👦 🇩🇪 👍🏽",
        "e\u{301}e\u{300}",
        "zero\u{200b}width\u{200d}joined\u{feff}",
        "\u{202e}right to left\u{202c}",
        "nul\0in it",
        "[CLS] [SEP] [MASK] [PAD]",
        "<|endoftext|><|im_start|>",
        "tab\there\r\nline",
        "３．１４ ½ ⅷ",
        "𝕬𝖑𝖑 𝒑𝒍𝒂𝒏𝒆𝒔 𐍈 🜚",
        "don't can't I'm you'll",
        "x\u{e0001}\u{10ffff}",
        "a-b_c/d\\e.f,g;h:i!j?k(l)m[n]o{p}q",
        "ＦＵＬＬ　ＷＩＤＴＨ",
        "ไม่มีช่องว่าง",
        "각 한국어",
        "\u{fffd}\u{fffe}",
    ]
    .map(str::to_owned)
    .into();
    odd.push("x".repeat(20_000));
    odd.push("word ".repeat(2_000));
    odd.push("語".repeat(3_000));
    odd
}

/// Strings of letters from all planes of Unicode; the same every time.
fn drawn_texts(n: usize) -> Vec<String> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let blocks = [
        (0x20, 0x5f),
        (0x61, 0x1a),
        (0xa0, 0x160),
        (0x370, 0x90),
        (0x400, 0x100),
        (0x590, 0x170),
        (0x900, 0x80),
        (0xe00, 0x80),
        (0x1100, 0x100),
        (0x2000, 0x70),
        (0x3040, 0xc0),
        (0x4e00, 0x5000),
        (0xac00, 0x2b00),
        (0xfb00, 0x500),
        (0x1_0000, 0x400),
        (0x1_d400, 0x400),
        (0x1_f300, 0x500),
        (0x2_0000, 0x1000),
        (0xe_0000, 0x100),
    ];
    let mut letter = move || {
        let (first, n) = blocks[usize::try_from(next(blocks.len() as u64)).expect("small")];
        let n_more = next(n);
        let is_space = next(6) == 0;
        let code = u32::try_from(first + n_more).expect("a code");
        if is_space { ' ' } else { char::from_u32(code).unwrap_or('?') }
    };
    (0..n).map(|it| (0..=it % 40).map(|_| letter()).collect()).collect()
}

/// What each text became, in order.
pub(crate) fn embed(
    backbone: &mut Backbone,
    texts: &[String],
    config: &RunConfig,
) -> Vec<Result<Vec<f32>, String>> {
    let contents: Vec<Content> = texts.iter().map(|it| Content::Text(it.as_str().into())).collect();
    let sources: Vec<Source<'_>> = contents.iter().map(Source::from).collect();
    let mut rows = vec![Err("nothing came".to_owned()); texts.len()];
    run(backbone.runner_mut(), &sources, Known::Nothing, config, &mut |index, row| {
        rows[index] = row.map(|it| it.values.expect("a row").to_vec()).map_err(ToString::to_string);
        Ok::<(), BackboneError>(())
    })
    .expect("it runs");
    rows
}

const MODELS: [(&str, &str, &str, &str, &str); 2] = [
    ("minilm-l6-v2-f16", "minilm-l6-v2-f16.onnx", "minilm-tokenizer.json", "256", "yes"),
    ("smollm2-135m-l5", "smollm2-135m-l5-v12k-q8.onnx", "smollm2-v12k-tokenizer.json", "512", "no"),
];

#[test]
fn tokens_are_those_of_python() {
    let (Some(shared), Some(python)) = (shared(), python()) else { return };
    let mut n_cases = 0;
    for (id, _, tokenizer, _, _) in MODELS {
        let backbone = load(&shared.join("models"), id, 1);
        let recipe = backbone.runner().recipe();
        let texts: Vec<String> = [odd_texts(), drawn_texts(10_000)].concat();
        let tokenizer = shared.join("models").join(tokenizer);
        // Fewer than the model takes, so that many are cut.
        let Recipe::Text(text) = recipe else { panic!("{id} takes texts") };
        for max_tokens in [text.n_tokens(), 12] {
            let recipe =
                Recipe::Text(headstart_input::TextRecipe { max_tokens: Some(max_tokens), ..text.clone() });
            let arguments = ["-", tokenizer.to_str().expect("UTF-8"), &max_tokens.to_string(), "mean", "no"];
            let expected =
                run_python(&python, "texts.py", &arguments, &serde_json::to_string(&texts).expect("JSON"));
            assert_eq!(expected.len(), texts.len());
            for (text, expected) in texts.iter().zip(&expected) {
                let expected: Vec<i64> =
                    expected["ids"].as_array().expect("a list").iter().filter_map(Value::as_i64).collect();
                let tensors = match recipe.apply(text.as_bytes(), &Limits::default()) {
                    Ok(tensors) => tensors,
                    Err(InputError::NoTokens) => {
                        assert!(expected.is_empty(), "{text:?}");
                        continue;
                    }
                    Err(err) => panic!("{text:?}: {err}"),
                };
                let ids = tensors.iter().find(|it| it.name == "input_ids").expect("ids");
                assert_eq!(ids.data, Data::I64(expected), "{id}, at most {max_tokens}: {text:?}");
                n_cases += 1;
            }
        }
    }
    assert!(n_cases > 39_000, "{n_cases} texts were compared");
}

#[test]
fn embeddings_of_texts_are_those_of_python_whatever_the_batch_holds() {
    let (Some(shared), Some(python)) = (shared(), python()) else { return };
    let mut texts = texts_of("trec/test.jsonl").expect("it is there");
    texts.truncate(150);
    texts.extend(odd_texts());
    for (id, file, tokenizer, max_tokens, normalize) in MODELS {
        let mut backbone = load(&shared.join("models"), id, 2);
        assert_eq!(backbone.runner().one_by_one(), None, "a row does not depend on its batch");
        let models = shared.join("models");
        let path = |it: &str| models.join(it).to_str().expect("UTF-8").to_owned();
        let (model, tokenizer) = (path(file), path(tokenizer));
        let arguments = [model.as_str(), &tokenizer, max_tokens, "mean", normalize];
        let expected =
            run_python(&python, "texts.py", &arguments, &serde_json::to_string(&texts).expect("JSON"));
        let alone = RunConfig { batch_size: Some(1), ..RunConfig::default() };
        let rows =
            [embed(&mut backbone, &texts, &RunConfig::default()), embed(&mut backbone, &texts, &alone)];
        let (mut worst, mut n_cases) = (1.0_f64, 0);
        for (index, expected) in expected.iter().enumerate() {
            let Some(expected) = expected["row"].as_array() else {
                assert_eq!(rows[0][index], Err("has no tokens".to_owned()));
                continue;
            };
            #[expect(clippy::cast_possible_truncation, reason = "it was f32")]
            let expected: Vec<f32> =
                expected.iter().map(|it| it.as_f64().expect("a number") as f32).collect();
            for rows in &rows {
                worst = worst.min(cosine(rows[index].as_ref().expect("a row"), &expected));
                n_cases += 1;
            }
        }
        assert!(n_cases >= 350, "{n_cases}");
        // The order of float sums changes with the batch; nothing else does.
        assert!(worst >= 0.999_99, "{id}: the worst cosine is {worst}");
    }
}
