//! A small set of texts made by code: what customers write, from a grammar, seeded.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The classes: what a message is about.
pub(crate) const CLASSES: [&str; 4] = ["billing", "delivery", "praise", "repair"];

const THINGS: [&str; 8] = ["lamp", "kettle", "radio", "coat", "bicycle", "printer", "watch", "tent"];
const WHEN: [&str; 8] =
    ["yesterday", "last week", "on Monday", "in March", "two days ago", "this morning", "in spring", "again"];
const OPENINGS: [&str; 6] =
    ["Hello,", "Dear team,", "Hi there,", "Good morning,", "", "To whom it may concern:"];

/// Sentences of each class; `{}` is a thing, `[]` a time.
const SENTENCES: [[&str; 6]; 4] = [
    [
        "you charged me twice for the {} []",
        "the invoice of the {} shows the wrong amount",
        "I would like my money back for the {} that I paid []",
        "my card was declined when I paid for the {}",
        "why is there a fee on my account for the {}?",
        "please send me a receipt for the {} I bought []",
    ],
    [
        "where is my {}? It should have arrived []",
        "the parcel with the {} went to the wrong address []",
        "how long does shipping of the {} take?",
        "the courier left the {} at my neighbour's []",
        "the tracking number of the {} does not work",
        "can you deliver the {} to another city?",
    ],
    [
        "the {} is wonderful, I am so happy with it",
        "thank you, the {} I got [] is a joy",
        "what a beautiful {}, my sister loves it",
        "I recommend your {} to everybody I know",
        "best {} I ever had, and such kind people",
        "your help with the {} [] was excellent",
    ],
    [
        "the {} broke [], can it be mended?",
        "a part of the {} is loose and makes a noise",
        "the {} stopped working []",
        "there is a crack in the {}",
        "the switch of the {} is stuck, do you have a spare one?",
        "smoke came out of the {} []",
    ],
];

/// Writes `n_each` texts of every class into `folder/<class>/`.
pub(crate) fn write(folder: &Path, n_each: usize, seed: u64) -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for (class, sentences) in CLASSES.iter().zip(SENTENCES) {
        let of_class = folder.join(class);
        fs::create_dir_all(&of_class).with_context(|| format!("cannot create {}", of_class.display()))?;
        for index in 0..n_each {
            let path = of_class.join(format!("{class}-{index:03}.txt"));
            fs::write(&path, text(&sentences, &mut rng))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

fn text(sentences: &[&str], rng: &mut impl Rng) -> String {
    let mut drawn = |from: &[&'static str]| from[rng.random_range(0..from.len())];
    let opening = drawn(&OPENINGS);
    let (thing, when) = (drawn(&THINGS), drawn(&WHEN));
    let sentence = sentences[rng.random_range(0..sentences.len())];
    let (order, day) = (rng.random_range(1000..9999), rng.random_range(1..28));
    let said = sentence.replace("{}", thing).replace("[]", when);
    format!("{opening} {said}. Order {order} of the {day}.").trim_start().to_owned()
}
