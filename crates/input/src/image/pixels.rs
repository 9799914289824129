//! Decoded pixels, and the memory they may take.

use crate::error::InputError;
use crate::limits::Limits;

/// Decoded pixels, `(height, width, channels)`, row-major.
#[derive(Debug)]
pub(crate) struct Pixels {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) data: Vec<u8>,
}

/// Refuses an image by its size, before anything is allocated for it.
///
/// `bytes_per_pixel` is the most that its pixels take at one time; the coefficients of the resize grow
/// with its sides.
pub(crate) fn check_memory(
    width: u32,
    height: u32,
    bytes_per_pixel: u64,
    limits: &Limits,
) -> Result<(), InputError> {
    let sides = 32 * (u64::from(width) + u64::from(height));
    let pixels = u64::from(width) * u64::from(height);
    let needed = pixels.saturating_mul(bytes_per_pixel).saturating_add(sides);
    if needed > limits.max_bytes {
        return Err(InputError::TooLarge { width, height, limit_bytes: limits.max_bytes });
    }
    Ok(())
}
