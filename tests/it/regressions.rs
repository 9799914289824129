//! Files that once went wrong: `tests/regressions`, with Pillow's pixels at 7×5 beside them.

use headstart_input::{ImageRecipe, Limits};
use serde_json::Value;

use crate::support::root;

#[test]
fn pictures_that_once_went_wrong_are_pillows_pixel_for_pixel() {
    let folder = root().join("tests/regressions");
    let expected = std::fs::read_to_string(folder.join("expected.jsonl")).expect("the list");
    let recipe = ImageRecipe { size: [7, 5], short_side: None, ..ImageRecipe::imagenet() };
    let mut n_cases = 0;
    for line in expected.lines() {
        let case: Value = serde_json::from_str(line).expect("JSON");
        let bytes = std::fs::read(folder.join(case["file"].as_str().expect("a name"))).expect("a picture");
        let pixels = recipe.apply(&bytes, &Limits::default()).expect("it decodes");
        assert_eq!(serde_json::json!(pixels), case["pixels"], "{}: {}", case["file"], case["why"]);
        n_cases += 1;
    }
    assert_eq!(n_cases, 3);
}
