//! Pictures of every format that people have, as Pillow reads them.

use headstart_input::{ImageRecipe, InputError, Limits};

use crate::support::{python, run_python};

/// Where decoders round otherwise: lossy transforms, 5 bits to 8, colours that are divided by alpha and multiplied
/// again.
const BY_ONE: [&str; 6] =
    ["lossy.jp2", "jpeg.tif", "premultiplied.tif", "grey-premultiplied.tif", "565.bmp", "555.bmp"];

/// Levels of 16 bits, which Pillow cuts off at 255; they are those of `grey.pgm`, times 257.
const OF_16_BITS: [&str; 3] = ["16.pgm", "16.png", "mode-I-16.tif"];

/// What is not read, and how it is called.
const REFUSED: [(&str, &str); 12] = [
    ("half.jp2", "that ends early"),
    ("half.j2k", "that ends early"),
    ("tiles.j2k", "of more tiles than there can be"),
    ("components.j2k", "of many channels"),
    ("lzma.tif", "compressed by LZMA"),
    ("mode-YCbCr.tif", "in YCbCr that is no JPEG"),
    ("mode-LAB.tif", "in CIELab"),
    ("mode-I.tif", "of signed numbers"),
    ("mode-F.tif", "of floating-point grey"),
    ("grey-12.tif", "of 12 bits a pixel"),
    ("tiled-planar.tif", "of tiles with a plane for every channel"),
    ("fill-order.tif", "with its bits in reverse"),
];

#[test]
fn pictures_of_every_format_are_what_pillow_reads() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let found = run_python(&python, "formats.py", &[folder.path().to_str().expect("UTF-8")], "");
    let read = |name: &str| std::fs::read(folder.path().join(name));
    let (mut n_equal, mut n_others) = (0, 0);
    for found in &found {
        let name = found["name"].as_str().expect("a name");
        let side = |it: &str| u32::try_from(found[it].as_u64().unwrap_or(1)).expect("small");
        let size = [side("height"), side("width")];
        let recipe = ImageRecipe { size, short_side: None, ..ImageRecipe::imagenet() };
        let actual = recipe.apply(&read(name).expect("a picture"), &Limits::default());
        if let Some((_, what)) = REFUSED.iter().find(|it| it.0 == name) {
            let error = actual.expect_err(name);
            assert!(
                matches!(&error, InputError::Unsupported(reason) if reason.contains(what)),
                "{name} {error}"
            );
            n_others += 1;
            continue;
        }
        let actual = actual.unwrap_or_else(|err| panic!("{name} {err}"));
        if name == "664.bmp" {
            assert!(!found["error"].is_null(), "Pillow does not read it");
            n_others += 1;
            continue;
        }
        let like = if OF_16_BITS.contains(&name) { "grey.pgm" } else { name };
        let expected = read(&format!("{like}.rgb")).expect("its pixels");
        assert_eq!(actual.len(), expected.len(), "{name}");
        let worst = actual.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
        let allowed = u8::from(BY_ONE.contains(&name));
        assert!(worst <= Some(allowed), "{name}: {worst:?}");
        n_equal += usize::from(allowed == 0);
        n_others += usize::from(allowed);
    }
    assert_eq!((n_equal, n_others), (83, 19), "of {}", found.len());
}
