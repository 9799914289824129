//! Pixels of every format, orientation, limits; what is refused.

mod recipes;
mod sounds;
mod texts;

use std::io::Cursor;

use ::image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};

use crate::*;

/// A preprocessing that leaves pixels as they are.
fn as_is(height: u32, width: u32) -> ImageRecipe {
    ImageRecipe { size: [height, width], short_side: None, ..ImageRecipe::imagenet() }
}

fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn apply(recipe: &ImageRecipe, bytes: &[u8]) -> Result<Vec<u8>, InputError> {
    recipe.apply(bytes, &Limits::default())
}

/// 3 rows, 2 columns, all different.
fn picture() -> RgbImage {
    RgbImage::from_fn(2, 3, |x, y| Rgb([10 + 40 * x as u8, 20 + 70 * y as u8, 200 - 30 * (x + y) as u8]))
}

#[test]
fn lossless_formats_come_back_pixel_for_pixel() {
    let picture = picture();
    let formats =
        [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP, ImageFormat::Gif];
    for format in formats {
        let bytes = encode(&picture.clone().into(), format);
        assert_eq!(apply(&as_is(3, 2), &bytes).unwrap(), *picture.as_raw(), "{format:?}");
    }
    assert_eq!(formats.len(), 5);
}

#[test]
fn grey_and_16_bit_pictures_become_rgb() {
    let grey = GrayImage::from_fn(2, 2, |x, y| Luma([(60 * x + 100 * y) as u8]));
    let expected: Vec<u8> = grey.as_raw().iter().flat_map(|it| [*it; 3]).collect();
    assert_eq!(apply(&as_is(2, 2), &encode(&grey.into(), ImageFormat::Png)).unwrap(), expected);
    let deep = ::image::ImageBuffer::<Luma<u16>, _>::from_fn(2, 1, |x, _| Luma([x as u16 * 65535]));
    assert_eq!(
        apply(&as_is(1, 2), &encode(&deep.into(), ImageFormat::Png)).unwrap(),
        [0, 0, 0, 255, 255, 255]
    );
}

#[test]
fn transparency_is_laid_over_the_background() {
    let alphas = [0, 128, 255];
    let picture = RgbaImage::from_fn(3, 1, |x, _| Rgba([100, 0, 200, alphas[x as usize]]));
    let bytes = encode(&picture.into(), ImageFormat::Png);
    let over = |background| apply(&ImageRecipe { background, ..as_is(1, 3) }, &bytes).unwrap();
    // (c·128 + b·127 + 127) / 255, in integers.
    assert_eq!(over(Background::White), [255, 255, 255, 177, 127, 227, 100, 0, 200]);
    assert_eq!(over(Background::Black), [0, 0, 0, 50, 0, 100, 100, 0, 200]);
}

#[test]
fn channels_are_ordered_as_asked() {
    let bytes = encode(&picture().into(), ImageFormat::Png);
    let [r, g, b] = picture().get_pixel(0, 0).0;
    let first = |channels| apply(&ImageRecipe { channels, ..as_is(3, 2) }, &bytes).unwrap()[..3].to_vec();
    assert_eq!(first(Channels::Bgr), [b, g, r]);
    let luma = (299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) + 500) / 1000;
    assert_eq!(u32::from(first(Channels::Grey)[0]), luma);
}

/// A JPEG with an EXIF orientation: APP1 with one little-endian IFD entry, put behind the start marker.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    let mut bytes = jpeg[..2].to_vec();
    bytes.extend([0xff, 0xe1]);
    bytes.extend(u16::try_from(exif.len() + 2).unwrap().to_be_bytes());
    bytes.extend(exif);
    bytes.extend(&jpeg[2..]);
    bytes
}

fn jpeg(image: &RgbImage) -> Vec<u8> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};
    compress(image.as_raw(), width, height, PixelFormat::Rgb, 100, Subsampling::S444).unwrap()
}

/// All eight orientations of a picture with four different corners, told apart by where the corners are.
#[test]
fn the_exif_orientation_is_applied_unless_turned_off() {
    let picture = RgbImage::from_fn(16, 24, |x, y| match (x < 8, y < 12) {
        (true, true) => Rgb([250, 10, 10]),
        (false, true) => Rgb([10, 250, 10]),
        (true, false) => Rgb([10, 10, 250]),
        (false, false) => Rgb([240, 240, 240]),
    });
    let plain = jpeg(&picture);
    let corners = |bytes: &[u8], recipe: &ImageRecipe| -> String {
        let pixels = apply(recipe, bytes).unwrap();
        let [height, width] = recipe.size.map(|it| it as usize);
        let at = |x: usize, y: usize| {
            let pixel = &pixels[(y * width + x) * 3..][..3];
            match (pixel[0] > 150, pixel[1] > 150) {
                (true, true) => 'w',
                (true, false) => 'r',
                (false, true) => 'g',
                (false, false) => 'b',
            }
        };
        [(1, 1), (width - 2, 1), (1, height - 2), (width - 2, height - 2)]
            .map(|(x, y)| at(x, y))
            .iter()
            .collect()
    };
    let expected = ["rgbw", "grwb", "wbgr", "bwrg", "rbgw", "brwg", "wgbr", "gwrb"];
    for (index, expected) in expected.into_iter().enumerate() {
        let orientation = index as u8 + 1;
        let turned = if orientation > 4 { as_is(16, 24) } else { as_is(24, 16) };
        let bytes = with_orientation(&plain, orientation);
        assert_eq!(corners(&bytes, &turned), expected, "orientation {orientation}");
        let off = ImageRecipe { orientation: false, ..as_is(24, 16) };
        assert_eq!(corners(&bytes, &off), "rgbw", "orientation {orientation} turned off");
    }
}

/// A triangle filter over a ramp gives the ramp again, and the crop takes its middle.
#[test]
fn resize_and_crop_take_the_middle_of_a_ramp() {
    let ramp = RgbImage::from_fn(240, 120, |x, _| Rgb([x as u8; 3]));
    let recipe = ImageRecipe { size: [60, 60], short_side: Some(60), ..ImageRecipe::imagenet() };
    let pixels = apply(&recipe, &encode(&ramp.into(), ImageFormat::Png)).unwrap();
    for (x, pixel) in pixels[..180].chunks_exact(3).enumerate() {
        // Column x of the crop is column x + 30 of 120, whose centre lies at 2·(x + 30) + 0.5.
        let expected = 2 * (x + 30);
        assert!(pixel.iter().all(|it| (usize::from(*it)).abs_diff(expected) <= 1), "column {x}: {pixel:?}");
    }
}

#[test]
fn a_picture_of_one_pixel_fills_the_input() {
    let dot = RgbImage::from_pixel(1, 1, Rgb([7, 8, 9]));
    let bytes = encode(&dot.into(), ImageFormat::Png);
    for filter in [Filter::Bilinear, Filter::Bicubic] {
        let recipe = ImageRecipe { filter, ..ImageRecipe::imagenet() };
        assert!(apply(&recipe, &bytes).unwrap().chunks_exact(3).all(|it| it == [7, 8, 9]));
    }
}

#[test]
fn cmyk_follows_pillows_integers() {
    // Pillow 13: Image.merge("CMYK", ...) saved and opened again converts (64, 128, 192, 32) so.
    let inverted = [255 - 64, 255 - 128, 255 - 192, 255 - 32];
    use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};
    let pixels = inverted.repeat(64);
    let bytes = compress(&pixels, 8, 8, PixelFormat::Cmyk, 100, Subsampling::S444).unwrap();
    let actual = apply(&as_is(8, 8), &bytes).unwrap();
    for (value, expected) in actual[..3].iter().zip([167_u8, 111, 55]) {
        assert!(value.abs_diff(expected) <= 2, "{:?}", &actual[..3]);
    }
}

#[test]
fn bad_pictures_are_refused_with_a_reason() {
    let photo = jpeg(&RgbImage::from_fn(64, 64, |x, y| Rgb([(x * y) as u8, x as u8 * 3, y as u8 * 3])));
    let png = encode(&picture().into(), ImageFormat::Png);
    let reason = |bytes: &[u8]| apply(&as_is(4, 4), bytes).unwrap_err().to_string();
    let unknown = "is no picture in a format that is known";
    assert_eq!(reason(b""), unknown);
    assert_eq!(reason(b"PK\x03\x04"), unknown);
    let svg = "is a picture in SVG, which is not read; convert it to JPEG, PNG or TIFF";
    assert_eq!(reason(b"<svg></svg>"), svg);
    assert!(reason(&photo[..photo.len() / 2]).starts_with("cannot be decoded: "));
    assert!(reason(&png[..png.len() / 2]).starts_with("cannot be decoded: "));
}

#[test]
fn a_picture_over_the_memory_limit_is_refused_before_it_is_decoded() {
    let limits = Limits { max_bytes: 100 << 10, ..Limits::default() };
    let picture: DynamicImage = RgbImage::new(300, 300).into();
    for bytes in [encode(&picture, ImageFormat::Png), jpeg(&picture.to_rgb8())] {
        let err = ImageRecipe::imagenet().apply(&bytes, &limits).unwrap_err().to_string();
        assert_eq!(err, "is 300×300 pixels, which needs more than the limit of 0 MiB to decode");
    }
    // One grey byte a pixel on disk, three in the end, and four on the way where it is turned.
    let grey: DynamicImage = GrayImage::new(300, 300).into();
    let needed = 300 * 300 * 7 + 32 * 600;
    for (max_bytes, fits) in [(needed, true), (needed - 1, false)] {
        let limits = Limits { max_bytes, ..Limits::default() };
        let result = ImageRecipe::imagenet().apply(&encode(&grey, ImageFormat::Png), &limits);
        assert_eq!(result.is_ok(), fits, "{max_bytes}");
    }
}

/// A picture a hundred thousand pixels high, squeezed: in pieces, and still what Pillow's formula says.
#[test]
fn a_very_tall_picture_is_resized_in_pieces() {
    let tall = GrayImage::from_fn(2, 100_000, |_, y| Luma([(y / 400) as u8]));
    let pixels = apply(&as_is(250, 200), &encode(&tall.into(), ImageFormat::Png)).unwrap();
    for (y, row) in pixels.chunks_exact(200 * 3).enumerate().skip(1).take(248) {
        // 400 input rows an output row, each of one grey level.
        assert!(row.iter().all(|it| usize::from(*it) == y), "row {y}: {}", row[0]);
    }
}

/// A WebP file whose EXIF begins with JPEG's marker, as some writers have it.
#[test]
fn the_orientation_of_webp_is_found_behind_jpegs_marker() {
    let picture = picture();
    let simple = encode(&picture.clone().into(), ImageFormat::WebP);
    let chunk = |name: &[u8; 4], data: &[u8]| {
        let mut bytes = name.to_vec();
        bytes.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        bytes
    };
    let turned = |marker: &[u8]| {
        let exif = [marker, b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x03\0\0\0\0\0\0\0"].concat();
        // Flags (EXIF), width - 1 and height - 1 in 24 bits each.
        let header = chunk(b"VP8X", &[8, 0, 0, 0, 1, 0, 0, 2, 0, 0]);
        let body = [b"WEBP".to_vec(), header, simple[12..].to_vec(), chunk(b"EXIF", &exif)].concat();
        apply(&as_is(3, 2), &chunk(b"RIFF", &body)).unwrap()
    };
    let upside_down: Vec<u8> = picture.pixels().rev().flat_map(|it| it.0).collect();
    assert_eq!(turned(b""), upside_down);
    assert_eq!(turned(b"Exif\0\0"), upside_down);
}

/// An uncompressed TIFF of 2×1 palette indices, by hand.
fn palette_tiff(orientation: u32) -> Vec<u8> {
    let entries: [(u16, u16, u32, u32); 10] = [
        (256, 3, 1, 2),           // width
        (257, 3, 1, 1),           // height
        (258, 3, 1, 8),           // bits a sample
        (259, 3, 1, 1),           // not compressed
        (262, 3, 1, 3),           // palette
        (273, 4, 1, 8),           // the strip's place
        (274, 3, 1, orientation), // how it is to be turned
        (278, 3, 1, 1),           // rows a strip
        (279, 4, 1, 2),           // bytes of the strip
        (320, 3, 768, 138),       // the palette's place
    ];
    let mut bytes = b"II*\0\x0c\0\0\0\x05\xfa\0\0".to_vec();
    bytes.extend(10_u16.to_le_bytes());
    for (tag, kind, count, value) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([0; 4]);
    assert_eq!(bytes.len(), 138);
    let plane = |scale: u16| (0..256_u16).flat_map(move |it| ((it / scale) << 8).to_le_bytes());
    bytes.extend(plane(1).chain(plane(2)).chain(plane(5)));
    bytes
}

#[test]
fn a_tiff_with_a_palette_is_decoded_and_turned() {
    assert_eq!(apply(&as_is(1, 2), &palette_tiff(1)).unwrap(), [5, 2, 1, 250, 125, 50]);
    assert_eq!(apply(&as_is(1, 2), &palette_tiff(3)).unwrap(), [250, 125, 50, 5, 2, 1], "upside down");
    // A quarter to the right: the left pixel comes to lie on top.
    assert_eq!(apply(&as_is(2, 1), &palette_tiff(6)).unwrap(), [5, 2, 1, 250, 125, 50]);
}

#[test]
fn a_preprocessing_that_contradicts_itself_is_refused() {
    let base = ImageRecipe::imagenet;
    let cases = [
        (ImageRecipe { mean: vec![0.0], ..base() }, "3 channels, but 1 values of mean and 3 of std"),
        (
            ImageRecipe { std: vec![1.0, 0.0, 1.0], mean: vec![0.0; 3], ..base() },
            "mean [0.0, 0.0, 0.0] and std [1.0, 0.0, 1.0] must be finite, std positive",
        ),
        (ImageRecipe { size: [0, 5], ..base() }, "size [0, 5] is outside 1–8192"),
        (
            ImageRecipe { short_side: Some(100), ..base() },
            "short side 100 does not cover the crop [224, 224]",
        ),
    ];
    let n_cases = cases.len();
    for (recipe, expected) in cases {
        assert_eq!(recipe.check().unwrap_err().to_string(), expected);
    }
    assert_eq!(n_cases, 4);
}

/// A smooth picture as a JPEG.
fn smooth_jpeg(width: usize, height: usize) -> Vec<u8> {
    let wave = |x: f64, period: f64| (127.5 + 100.0 * (x / period).sin()).round() as u8;
    let pixel =
        |x: usize, y: usize| [wave(x as f64, 90.0), wave(y as f64, 70.0), wave((x + y) as f64, 120.0)];
    let pixels: Vec<u8> = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
    let (format, subsampling) = (libjpeg_turbo_rs::PixelFormat::Rgb, libjpeg_turbo_rs::Subsampling::S420);
    libjpeg_turbo_rs::compress(&pixels, width, height, format, 90, subsampling).unwrap()
}

#[test]
fn a_large_jpeg_may_be_decoded_at_a_fraction_of_its_size() {
    let full = ImageRecipe::imagenet();
    let scaled = ImageRecipe { scaled_jpeg: true, ..full.clone() };
    let limits = Limits::default();
    // Sides that are halved, quartered, and not: 510 is just too short for a half of 256.
    for (width, height, is_scaled) in
        [(800, 600, true), (1500, 1100, true), (510, 700, false), (500, 375, false)]
    {
        let bytes = smooth_jpeg(width, height);
        let (a, b) = (full.apply(&bytes, &limits).unwrap(), scaled.apply(&bytes, &limits).unwrap());
        let off: u64 = a.iter().zip(&b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert_eq!(off > 0, is_scaled, "{width}×{height}");
        assert!(off as f64 / (a.len() as f64) < 2.0, "{width}×{height}: {off}");
    }
    let off = serde_json::to_string(&full).unwrap();
    assert!(!off.contains("scaled"), "the fingerprints of before would change: {off}");
    assert!(serde_json::to_string(&scaled).unwrap().contains("\"scaled-jpeg\":true"));
}
