//! Kinds of TIFF that `image` leaves out or reads otherwise: the only module that names `tiff`.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage};
use tiff::decoder::{Decoder, DecodingResult, Limits as TiffLimits};
use tiff::tags::Tag;

use super::pixels::check_memory;
use crate::error::InputError;
use crate::limits::Limits;

/// What `image` would get wrong.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Nothing: it reads this.
    Plain,
    /// Its colours are multiplied by alpha already.
    Premultiplied,
    /// Decoded here.
    Decoded { image: DynamicImage, turned: Option<Orientation>, is_premultiplied: bool },
}

/// Decodes what `image` does not: palettes, grey of 2 and 4 bits, grey with alpha that is not declared as such;
/// and names what nobody reads.
///
/// # Errors
/// [`InputError::Unsupported`], [`InputError::TooLarge`].
pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<Kind, InputError> {
    let Some(directory) = Directory::new(bytes) else { return Ok(Kind::Plain) };
    let tag = |tag: u16| directory.find(tag).map(|(_, value)| value);
    let refused =
        |what: &str| Err(InputError::Unsupported(format!("a TIFF {what} is not read; convert it to PNG")));
    let photometric = tag(PHOTOMETRIC).unwrap_or(1);
    match (tag(259), photometric, tag(339)) {
        (Some(34925), ..) => return refused("compressed by LZMA"),
        (_, 8..=10, _) => return refused("in CIELab"),
        (Some(1 | 5 | 8 | 32773 | 32946), 6, _) => return refused("in YCbCr that is no JPEG"),
        (.., Some(2)) => return refused("of signed numbers"),
        (_, 0 | 1, Some(3)) => {
            return refused("of floating-point grey, whose black and white it does not say,");
        }
        _ => {}
    }
    if tag(266) == Some(2) {
        return refused("with its bits in reverse (FillOrder 2)");
    }
    let n_channels = tag(277).unwrap_or(1);
    if tag(284) == Some(2) && tag(322).is_some() {
        return refused("of tiles with a plane for every channel");
    }
    let bits = tag(258).unwrap_or(1);
    let is_grey = matches!(photometric, 0 | 1);
    let turned = tag(274).and_then(|it| Orientation::from_exif(u8::try_from(it).ok()?));
    let mut is_premultiplied = false;
    let decoded = match (n_channels, bits) {
        (1, 1 | 2 | 4 | 8) if photometric == 3 => {
            // `tiff` refuses to interpret a palette but decodes grey levels, which are stored alike.
            let (width, height, indices) = levels(&directory.as_grey(), bits, limits)?;
            palette(bytes, width, height, &indices)?
        }
        (1, 12) => return refused("of 12 bits a pixel"),
        (1, 2 | 4) if is_grey => {
            // `tiff` has turned those whose zero is white.
            let (width, height, levels) = levels(bytes, bits, limits)?;
            let white = (1_u32 << bits) - 1;
            let level = |it: u16| (u32::from(it) * 255 / white).to_le_bytes()[0];
            let data = levels.into_iter().map(level).collect();
            GrayImage::from_raw(width, height, data).ok_or(InputError::Empty)?.into()
        }
        (2, 8) if is_grey && tag(284) == Some(2) => return refused("of grey and alpha in planes"),
        (2, 8) if is_grey => {
            let (width, height, result) = read(bytes, limits)?;
            let DecodingResult::U8(data) = result else { return refused("of such grey and alpha") };
            match tag(338) {
                // The second channel is none of the picture.
                None | Some(0) => {
                    let grey = data.chunks_exact(2).map(|it| it[0]).collect();
                    GrayImage::from_raw(width, height, grey).ok_or(InputError::Empty)?.into()
                }
                extra => {
                    is_premultiplied = extra == Some(1);
                    GrayAlphaImage::from_raw(width, height, data).ok_or(InputError::Empty)?.into()
                }
            }
        }
        _ if tag(338) == Some(1) => return Ok(Kind::Premultiplied),
        _ => return Ok(Kind::Plain),
    };
    Ok(Kind::Decoded { image: decoded, turned, is_premultiplied })
}

fn failed(err: tiff::TiffError) -> InputError {
    InputError::Unsupported(err.to_string())
}

fn read(bytes: &[u8], limits: &Limits) -> Result<(u32, u32, DecodingResult), InputError> {
    let mut decoder_limits = TiffLimits::default();
    decoder_limits.decoding_buffer_size = usize::try_from(limits.max_bytes).unwrap_or(usize::MAX);
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(failed)?.with_limits(decoder_limits);
    let (width, height) = decoder.dimensions().map_err(failed)?;
    // What is read, numbers of 16 bits, RGB, and a copy of that.
    check_memory(width, height, 10, limits)?;
    Ok((width, height, decoder.read_image().map_err(failed)?))
}

/// Numbers of at most 8 bits each, rows of which begin at a whole byte.
fn levels(bytes: &[u8], bits: u32, limits: &Limits) -> Result<(u32, u32, Vec<u16>), InputError> {
    let (width, height, result) = read(bytes, limits)?;
    let (row, n_rows) = (width as usize, height as usize);
    let row_bytes = (row * bits as usize).div_ceil(8);
    let packed = match result {
        DecodingResult::U8(packed) if packed.len() == row_bytes * n_rows => packed,
        _ => return Err(InputError::Unsupported(format!("a TIFF of {bits} bits a pixel"))),
    };
    let level = |line: &[u8], column: usize| {
        let begin = column * bits as usize;
        let bit = |place: usize| u16::from(line[place / 8] >> (7 - place % 8) & 1);
        (begin..begin + bits as usize).fold(0, |level, place| 2 * level + bit(place))
    };
    let lines = packed.chunks_exact(row_bytes.max(1));
    Ok((width, height, lines.flat_map(|line| (0..row).map(move |it| level(line, it))).collect()))
}

/// Indices to colours: the file has all reds, all greens, all blues, of 16 bits each.
fn palette(bytes: &[u8], width: u32, height: u32, indices: &[u16]) -> Result<DynamicImage, InputError> {
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(failed)?;
    let map = decoder.get_tag_u16_vec(Tag::ColorMap).map_err(failed)?;
    let n_colours = map.len() / 3;
    let channel = |index: u16, plane: usize| {
        let is_there = usize::from(index) < n_colours;
        if is_there { map[plane * n_colours + usize::from(index)].to_be_bytes()[0] } else { 0 }
    };
    let rgb = indices.iter().flat_map(|it| [0, 1, 2].map(|plane| channel(*it, plane))).collect();
    Ok(RgbImage::from_raw(width, height, rgb).ok_or(InputError::Empty)?.into())
}

const PHOTOMETRIC: u16 = 262;

/// The first directory of a file.
///
/// Source: TIFF revision 6.0, section 2 (file structure); BigTIFF has 64-bit offsets and counts.
struct Directory<'a> {
    bytes: &'a [u8],
    is_big_endian: bool,
    is_big: bool,
    /// Where its entries begin, and how many there are.
    begin: usize,
    n_entries: usize,
}

impl<'a> Directory<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let (is_big_endian, is_big) = match bytes.get(..4)? {
            b"II*\0" => (false, false),
            b"MM\0*" => (true, false),
            b"II+\0" => (false, true),
            b"MM\0+" => (true, true),
            _ => return None,
        };
        let mut directory = Self { bytes, is_big_endian, is_big, begin: 0, n_entries: 0 };
        let (at, width) = if is_big { (8, 8) } else { (4, 4) };
        let offset = usize::try_from(directory.number(at, width)?).ok()?;
        let width = if is_big { 8 } else { 2 };
        directory.n_entries = usize::try_from(directory.number(offset, width)?).ok()?.min(4096);
        directory.begin = offset.checked_add(width)?;
        Some(directory)
    }

    /// A number of so many bytes.
    fn number(&self, at: usize, width: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(width)?)?.iter();
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if self.is_big_endian { bytes.fold(0, add) } else { bytes.rev().fold(0, add) })
    }

    /// Where the value of a tag stands, and its first value, where that is a number of 16 or 32 bits.
    fn find(&self, wanted: u16) -> Option<(usize, u32)> {
        let (length, value) = if self.is_big { (20, 12) } else { (12, 8) };
        for entry in 0..self.n_entries {
            let at = self.begin.checked_add(length * entry)?;
            if self.number(at, 2)? != u64::from(wanted) {
                continue;
            }
            let width = if self.number(at + 2, 2)? == 3 { 2 } else { 4 };
            let count = self.number(at + 4, value - 4)?;
            let inline = if self.is_big { 8 } else { 4 };
            let place = match count.checked_mul(width as u64)? {
                bytes if bytes <= inline => at + value,
                _ => usize::try_from(self.number(at + value, value - 4)?).ok()?,
            };
            return Some((place, u32::try_from(self.number(place, width)?).ok()?));
        }
        None
    }

    /// The file with its palette declared as grey levels.
    fn as_grey(&self) -> Vec<u8> {
        let mut grey = self.bytes.to_vec();
        if let Some((at, _)) = self.find(PHOTOMETRIC) {
            grey[at..at + 2].copy_from_slice(if self.is_big_endian { &[0, 1] } else { &[1, 0] });
        }
        grey
    }
}
