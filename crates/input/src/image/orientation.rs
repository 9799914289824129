//! Which way up a picture is: by its EXIF data, or where these say nothing by its XMP, as Pillow has it
//! (`Image.getexif`).

use std::io::Read;

use flate2::read::ZlibDecoder;
use image::ImageDecoder;
use image::metadata::Orientation;

/// Longest profile that is unpacked.
const MAX_PROFILE_BYTES: u64 = 1 << 20;

/// The orientation of a picture that `image` decodes.
pub(crate) fn of_decoder(decoder: &mut impl ImageDecoder, bytes: &[u8]) -> Option<Orientation> {
    let exif = decoder.exif_metadata().ok().flatten();
    // Some writers of WebP put JPEG's marker before the EXIF data, as Pillow knows.
    let marked = exif.as_deref().and_then(|it| it.strip_prefix(b"Exif\0\0"));
    let of_exif = match (marked, &exif) {
        (Some(marked), _) => Orientation::from_exif_chunk(marked),
        (None, Some(exif)) => Orientation::from_exif_chunk(exif),
        // A TIFF has it among its own tags.
        (None, None) => decoder.orientation().ok().filter(|it| *it != Orientation::NoTransforms),
    };
    let of_profile = || Orientation::from_exif_chunk(&raw_profile(bytes)?);
    let of_exif = of_exif.or_else(of_profile);
    of_exif.or_else(|| in_xmp(&decoder.xmp_metadata().ok().flatten()?))
}

/// The orientation in the XMP of a JPEG.
pub(crate) fn of_jpeg_xmp(bytes: &[u8]) -> Option<Orientation> {
    let mut at = 2;
    // Segments, until the picture begins.
    while let [0xff, marker, high, low, ..] = *bytes.get(at..)? {
        let length = usize::from(u16::from_be_bytes([high, low]));
        if marker == 0xda {
            return None;
        }
        let segment = bytes.get(at + 4..at + 2 + length)?;
        if let (0xe1, Some(xmp)) = (marker, segment.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0")) {
            return in_xmp(xmp);
        }
        at += 2 + length;
    }
    None
}

/// `tiff:Orientation="8"` or `<tiff:Orientation>8`.
fn in_xmp(xmp: &[u8]) -> Option<Orientation> {
    const KEY: &[u8] = b"tiff:Orientation";
    let mut places = xmp.windows(KEY.len()).enumerate().filter(|it| it.1 == KEY);
    places.find_map(|(place, _)| {
        let rest = &xmp[place + KEY.len()..];
        let value = rest.strip_prefix(b"=\"").or(rest.strip_prefix(b">"))?;
        Orientation::from_exif(value.first()?.checked_sub(b'0')?)
    })
}

/// The EXIF data that ImageMagick writes into a PNG: hexadecimal, in a text of its own.
fn raw_profile(png: &[u8]) -> Option<Vec<u8>> {
    const KEYWORD: &[u8] = b"Raw profile type exif\0";
    let mut rest = png.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    loop {
        let (length, after) = rest.split_first_chunk()?;
        let (kind, after) = after.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let data = after.get(..length)?;
        let text = match (kind, data.strip_prefix(KEYWORD)) {
            (b"tEXt", Some(text)) => Some(text.to_vec()),
            (b"zTXt", Some([0, packed @ ..])) => {
                let mut text = Vec::new();
                ZlibDecoder::new(packed).take(MAX_PROFILE_BYTES).read_to_end(&mut text).ok()?;
                Some(text)
            }
            _ => None,
        };
        if let Some(text) = text {
            return from_hex(&text);
        }
        rest = after.get(length + 4..)?;
    }
}

/// `\nexif\n      72\n4578…`: a name, a length, and the bytes; JPEG's marker may stand before them.
fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let digits: String = text.split('\n').skip(3).collect();
    let byte = |it: &[u8]| u8::from_str_radix(std::str::from_utf8(it).ok()?, 16).ok();
    let bytes: Vec<u8> = digits.as_bytes().chunks(2).map(byte).collect::<Option<_>>()?;
    Some(bytes.strip_prefix(b"Exif\0\0").map_or(bytes.clone(), <[u8]>::to_vec))
}
