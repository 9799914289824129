//! TIFF files with a palette, which `image` leaves out: the only module that names `tiff`.

use std::io::Cursor;

use image::RgbImage;
use image::metadata::Orientation;
use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult, Limits as TiffLimits};
use tiff::tags::Tag;

use super::pixels::check_memory;
use crate::error::InputError;
use crate::limits::Limits;

/// Decodes a TIFF of 8-bit palette indices to RGB; `None` for a TIFF of any other kind. The second value is
/// its orientation.
///
/// `tiff` refuses to interpret a palette but decodes grey levels, which are stored alike: the file is
/// read as if it were grey, and its levels are looked up.
pub(crate) fn decode(
    bytes: &[u8],
    limits: &Limits,
) -> Result<Option<(RgbImage, Option<Orientation>)>, InputError> {
    let failed = |err: tiff::TiffError| InputError::Unsupported(err.to_string());
    let Some(grey) = as_grey(bytes) else { return Ok(None) };
    let mut decoder_limits = TiffLimits::default();
    decoder_limits.decoding_buffer_size = usize::try_from(limits.max_bytes).unwrap_or(usize::MAX);
    let mut decoder = Decoder::new(Cursor::new(grey)).map_err(failed)?.with_limits(decoder_limits);
    let (width, height) = decoder.dimensions().map_err(failed)?;
    let orientation = decoder.find_tag_unsigned::<u8>(Tag::Orientation).map_err(failed)?;
    let orientation = orientation.and_then(Orientation::from_exif);
    // Indices, RGB, and a copy of that.
    check_memory(width, height, 7, limits)?;
    // All reds, all greens, all blues, of 16 bits each.
    let map = decoder.get_tag_u16_vec(Tag::ColorMap).map_err(failed)?;
    let n_colours = map.len() / 3;
    let (ColorType::Gray(8), DecodingResult::U8(indices)) =
        (decoder.colortype().map_err(failed)?, decoder.read_image().map_err(failed)?)
    else {
        return Err(InputError::Unsupported("a palette of other than 8 bits".to_owned()));
    };
    let channel = |index: u8, plane: usize| {
        let is_there = usize::from(index) < n_colours;
        if is_there { map[plane * n_colours + usize::from(index)].to_be_bytes()[0] } else { 0 }
    };
    let rgb = indices.iter().flat_map(|it| [0, 1, 2].map(|plane| channel(*it, plane))).collect();
    let image = RgbImage::from_raw(width, height, rgb).ok_or(InputError::Empty)?;
    Ok(Some((image, orientation)))
}

/// The file with its palette declared as grey levels (tag 262: 3 becomes 1), if it has a palette.
///
/// Source: TIFF revision 6.0, section 2 (file structure) and section 5 (palette-colour images).
fn as_grey(bytes: &[u8]) -> Option<Vec<u8>> {
    let is_big_endian = bytes.starts_with(b"MM\0*");
    if !is_big_endian && !bytes.starts_with(b"II*\0") {
        return None;
    }
    let short = |place: usize| {
        let value = *bytes.get(place..)?.first_chunk()?;
        Some(if is_big_endian { u16::from_be_bytes(value) } else { u16::from_le_bytes(value) })
    };
    let offset = *bytes.get(4..)?.first_chunk()?;
    let offset = if is_big_endian { u32::from_be_bytes(offset) } else { u32::from_le_bytes(offset) };
    let directory = usize::try_from(offset).ok()?;
    for entry in 0..usize::from(short(directory)?) {
        let entry = directory.checked_add(2 + 12 * entry)?;
        if short(entry)? == 262 && short(entry.checked_add(8)?)? == 3 {
            let mut grey = bytes.to_vec();
            grey[entry + 8..entry + 10].copy_from_slice(if is_big_endian { &[0, 1] } else { &[1, 0] });
            return Some(grey);
        }
    }
    None
}
