//! JPEG 2000: the only module that names `hayro_jpeg2000`.

use hayro_jpeg2000::{ColorSpace, DecodeSettings, DecoderContext, Image};
use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage, RgbaImage};

use super::pixels::check_memory;
use crate::error::InputError;
use crate::limits::Limits;

/// Most bytes that a channel of a pixel takes while it is decoded: as f32 in coefficients and in the result, as u8.
const BYTES_PER_CHANNEL: u64 = 12;

/// Bytes that a tile takes besides.
const BYTES_PER_TILE: u64 = 512;

/// Most tiles: their number has 16 bits.
const MAX_TILES: u64 = 65_535;

/// Decodes grey or RGB, each with or without alpha; other depths than 8 bits are scaled to that.
pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<DynamicImage, InputError> {
    let failed = |err: hayro_jpeg2000::DecodeError| InputError::Unsupported(err.to_string());
    let n_tiles = check_structure(bytes)?;
    let image = Image::new(bytes, &DecodeSettings::default()).map_err(failed)?;
    let (width, height, has_alpha) = (image.width(), image.height(), image.has_alpha());
    let n_colours = image.color_space().num_channels();
    let n_channels = u64::from(n_colours) + u64::from(has_alpha);
    let of_tiles = n_tiles.saturating_mul(BYTES_PER_TILE);
    let limits = Limits { max_bytes: limits.max_bytes.saturating_sub(of_tiles), ..*limits };
    check_memory(width, height, BYTES_PER_CHANNEL * n_channels + 4, &limits)?;
    let is_known = !matches!(image.color_space(), ColorSpace::CMYK | ColorSpace::Unknown { .. });
    let mut context = DecoderContext::default();
    let data = image.decode(&mut context).map_err(failed)?.data_u8();
    let image: Option<DynamicImage> = match (n_colours, has_alpha) {
        (1, false) => GrayImage::from_raw(width, height, data).map(Into::into),
        (1, true) => GrayAlphaImage::from_raw(width, height, data).map(Into::into),
        (3, false) => RgbImage::from_raw(width, height, data).map(Into::into),
        (3, true) => RgbaImage::from_raw(width, height, data).map(Into::into),
        _ => None,
    };
    let other = || InputError::Unsupported(format!("JPEG 2000 of {n_channels} channels that are no RGB"));
    image.filter(|_| is_known).ok_or_else(other)
}

/// Refuses a file that ends early, and one whose header asks for more components or tiles than a picture has; returns
/// the number of its tiles.
///
/// Source: ISO/IEC 15444-1, A.5.1 (SIZ) and annex I (boxes).
fn check_structure(bytes: &[u8]) -> Result<u64, InputError> {
    let refused = |what: &str| InputError::Unsupported(format!("JPEG 2000 {what}"));
    let ends_early = || refused("that ends early");
    let mut codestreams = Vec::new();
    let mut has_palette = false;
    if bytes.starts_with(CODESTREAM) {
        codestreams.push(bytes);
    } else {
        let mut open = vec![bytes];
        while let Some(mut rest) = open.pop() {
            while !rest.is_empty() {
                let (kind, content, after) = next_box(rest).ok_or_else(ends_early)?;
                match kind {
                    b"jp2h" => open.push(content),
                    b"jp2c" => codestreams.push(content),
                    b"pclr" => has_palette = true,
                    b"cmap" if content.len() > 4 * MAX_COMPONENTS => return Err(refused("of many channels")),
                    _ => {}
                }
                rest = after;
            }
        }
    }
    let mut n_tiles = 0;
    for codestream in codestreams {
        let number = |at: usize| {
            let bytes = codestream.get(CODESTREAM.len() + at..)?.first_chunk()?;
            Some(u64::from(u32::from_be_bytes(*bytes)))
        };
        let all = [4, 8, 20, 24, 28, 32].map(number);
        let [Some(x), Some(y), Some(tile_x), Some(tile_y), Some(left), Some(top)] = all else {
            return Err(ends_early());
        };
        let components = codestream.get(CODESTREAM.len() + 36..).and_then(|it| it.first_chunk());
        let n_components = usize::from(u16::from_be_bytes(*components.ok_or_else(ends_early)?));
        if n_components > if has_palette { 1 } else { MAX_COMPONENTS } {
            return Err(refused("of many channels"));
        }
        let tiles = |size: u64, begin: u64, tile: u64| size.saturating_sub(begin).div_ceil(tile.max(1));
        n_tiles = tiles(x, left, tile_x).saturating_mul(tiles(y, top, tile_y)).max(n_tiles);
        if n_tiles > MAX_TILES {
            return Err(refused("of more tiles than there can be"));
        }
        if !codestream.ends_with(END) {
            return Err(ends_early());
        }
    }
    Ok(n_tiles)
}

/// Start of a codestream, with the marker of its sizes; and its end.
const CODESTREAM: &[u8] = b"\xff\x4f\xff\x51";
const END: &[u8] = b"\xff\xd9";

/// Most components of a codestream that are read.
const MAX_COMPONENTS: usize = 4;

/// The kind and the content of a box, and what comes after it.
fn next_box(bytes: &[u8]) -> Option<(&[u8; 4], &[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (kind, _) = rest.split_first_chunk()?;
    let (begin, end) = match u32::from_be_bytes(*length) {
        // To the end of the file.
        0 => (8, bytes.len()),
        1 => (16, usize::try_from(u64::from_be_bytes(*bytes.get(8..)?.first_chunk()?)).ok()?),
        length => (8, usize::try_from(length).ok()?),
    };
    Some((kind, bytes.get(begin..end)?, bytes.get(end..)?))
}
