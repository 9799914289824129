//! Texts: tokens, what is cut and filled up, what is refused.

use crate::*;

/// Words in letters, `[` before and `]` behind each text.
fn tokenizer() -> Tokenizer {
    let json = r#"{"version": "1.0", "truncation": {"direction": "Right", "max_length": 9, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 5, "pad_type_id": 0, "pad_token": "_"},
        "added_tokens": [], "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "]", "type_id": 1}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"[": {"id": "[", "ids": [1], "tokens": ["["]}, "]": {"id": "]", "ids": [2], "tokens": ["]"]}}},
        "decoder": null, "model": {"type": "WordLevel", "unk_token": "?",
            "vocab": {"?": 0, "[": 1, "]": 2, "good": 3, "bad": 4, "_": 5}}}"#;
    Tokenizer::from_json(json).unwrap()
}

fn input(name: &str, role: TokenRole, is_int32: bool) -> TokenInput {
    TokenInput { name: name.to_owned(), role, is_int32 }
}

fn recipe() -> TextRecipe {
    let inputs = vec![
        input("ids", TokenRole::Ids, false),
        input("mask", TokenRole::Mask, true),
        input("types", TokenRole::Types, false),
        input("places", TokenRole::Positions, false),
        input("past", TokenRole::Past([2, 4]), false),
    ];
    TextRecipe { tokenizer: Some(tokenizer()), inputs, ..TextRecipe::default() }
}

fn apply(recipe: &TextRecipe, text: &str) -> Vec<Tensor> {
    Recipe::Text(recipe.clone()).apply(text.as_bytes(), &Limits::default()).unwrap()
}

#[test]
fn a_text_becomes_what_its_model_takes() {
    let tensors = apply(&recipe(), "Good BAD awful");
    let expected = [
        Tensor::new("ids", vec![5], Data::I64(vec![1, 3, 4, 0, 2])),
        Tensor::new("mask", vec![5], Data::I32(vec![1; 5])),
        Tensor::new("types", vec![5], Data::I64(vec![0, 0, 0, 0, 1])),
        Tensor::new("places", vec![5], Data::I64(vec![0, 1, 2, 3, 4])),
        Tensor::new("past", vec![2, 0, 4], Data::F32(vec![])),
    ];
    assert_eq!(tensors, expected);
    let prefixed = TextRecipe { prefix: "bad ".to_owned(), ..recipe() };
    assert_eq!(apply(&prefixed, "good")[0].data, Data::I64(vec![1, 4, 3, 2]));
    let fixed = TextRecipe { length: Some(6), ..recipe() };
    let tensors = apply(&fixed, "good");
    assert_eq!(tensors[0].data, Data::I64(vec![1, 3, 2, 5, 5, 5]));
    assert_eq!((&tensors[1].data, &tensors[4].shape), (&Data::I32(vec![1, 1, 1, 0, 0, 0]), &vec![2, 0, 4]));
}

#[test]
fn what_is_longer_is_cut_and_what_was_special_stays() {
    let recipe = recipe();
    // Nobody says how long: the tokenizer does.
    assert_eq!(recipe.n_tokens(), 9);
    let text = "good bad ".repeat(10);
    let remarks = |text: &str| {
        let recipe = Recipe::Text(recipe.clone());
        recipe.pieces(recipe.decode(text.as_bytes().into(), &Limits::default()).unwrap()).remarks()
    };
    assert_eq!(remarks(&text), [Remark::Cut(22)]);
    assert_eq!(apply(&recipe, &text)[0].data, Data::I64(vec![1, 3, 4, 3, 4, 3, 4, 3, 2]));
    assert_eq!(remarks("good"), []);
    for (max_tokens, expected) in [(4, vec![1, 3, 4, 2]), (3, vec![1, 3, 2])] {
        let options = TextOptions { max_tokens: Some(max_tokens), prefix: None };
        assert_eq!(apply(&recipe.clone().with(&options), &text)[0].data, Data::I64(expected));
    }
}

#[test]
fn texts_of_different_lengths_are_filled_up_to_the_longest() {
    let recipe = recipe();
    let (a, b) = (apply(&recipe, "good"), apply(&recipe, "bad bad bad"));
    let of_kind = Recipe::Text(recipe.clone());
    let batch = of_kind.stack(&[&a, &b]).unwrap();
    assert_eq!(batch[0], Tensor::new("ids", vec![2, 5], Data::I64(vec![1, 3, 2, 5, 5, 1, 4, 4, 4, 2])));
    assert_eq!(batch[1], Tensor::new("mask", vec![2, 5], Data::I32(vec![1, 1, 1, 0, 0, 1, 1, 1, 1, 1])));
    assert_eq!(batch[4], Tensor::new("past", vec![2, 2, 0, 4], Data::F32(vec![])));
    assert_eq!((of_kind.length(&a), of_kind.length(&b), of_kind.is_of_one_length()), (3, 5, false));
    // Without a mask, nothing may be filled up.
    let bare = TextRecipe { inputs: vec![input("ids", TokenRole::Ids, false)], ..recipe };
    let (a, b) = (apply(&bare, "good"), apply(&bare, "bad bad"));
    assert_eq!(Recipe::Text(bare.clone()).stack(&[&a, &b]), None);
    assert!(Recipe::Text(bare).stack(&[&a, &a]).is_some());
    let probes = of_kind.probes(4);
    assert_eq!(probes.iter().map(|it| of_kind.length(it)).collect::<Vec<_>>(), [5, 9, 9, 9]);
}

#[test]
fn what_is_no_text_or_no_recipe_is_refused() {
    let of_kind = Recipe::Text(recipe());
    let error = |bytes: &[u8], limits: &Limits| of_kind.apply(bytes, limits).unwrap_err().to_string();
    assert_eq!(error(b"good \xff bad", &Limits::default()), "is no UTF-8 text: byte 5 belongs to none");
    let limits = Limits { max_bytes: 1280, ..Limits::default() };
    assert_eq!(error(b"more than ten", &limits), "is a text of 13 bytes, above the limit of 10");
    for (recipe, reason) in [
        (TextRecipe { tokenizer: None, ..recipe() }, "a model of texts needs its tokenizer"),
        (TextRecipe { inputs: vec![], ..recipe() }, "nothing takes the ids of tokens"),
        (
            TextRecipe { length: Some(1 << 40), ..recipe() },
            "at most 9 tokens a text are no bound, or leave no room beside the 2 special ones",
        ),
        (
            TextRecipe { max_tokens: Some(2), ..recipe() },
            "at most 2 tokens a text are no bound, or leave no room beside the 2 special ones",
        ),
    ] {
        assert_eq!(Recipe::Text(recipe).check().unwrap_err().to_string(), reason);
    }
    let random = r#"{"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "dropout": 0.1, "vocab": {"a": 0}, "merges": []}}"#;
    let err = Tokenizer::from_json(random).unwrap_err().to_string();
    assert!(err.contains("it draws its tokens"), "{err}");
    for json in ["", "{}", "[]", "null", "{\"model\": {\"type\": \"BPE\"}}"] {
        let err = Tokenizer::from_json(json).unwrap_err().to_string();
        assert!(err.starts_with("the tokenizer does not read: "), "{err}");
    }
}

#[test]
fn a_recipe_of_texts_is_written_with_its_tokenizer_and_told_by_its_hash() {
    let recipe = Recipe::Text(TextRecipe { prefix: "query: ".to_owned(), max_tokens: Some(7), ..recipe() });
    recipe.check().unwrap();
    let text = serde_json::to_string(&recipe).unwrap();
    assert!(text.starts_with(r#"{"kind":"text""#), "{text}");
    assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), recipe);
    let identity = recipe.identity();
    assert_eq!(identity["tokenizer_sha256"], tokenizer().sha256());
    assert!(identity["preprocess"].get("tokenizer").is_none() && identity["preprocess"]["max-tokens"] == 7);
    // What a description says.
    let described: Recipe = toml::from_str("kind = \"text\"\nmax-tokens = 128").unwrap();
    assert_eq!(described, Recipe::Text(TextRecipe { max_tokens: Some(128), ..TextRecipe::default() }));
    assert!(toml::from_str::<Recipe>("kind = \"text\"\nsize = [9, 9]").is_err());
}
