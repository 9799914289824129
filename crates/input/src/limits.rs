//! What one input may cost.

/// What one input may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most memory that one input may take while it is decoded, turned and converted, in bytes, besides
    /// its own bytes and 16 MiB for the resize. An input that would take more is refused by its header.
    pub max_bytes: u64,
    /// Longest input that is taken, in bytes.
    pub max_input_bytes: u64,
}

/// 512 MiB for one picture (an 89-megapixel JPEG, 59 where it is progressive), 256 MiB for its file.
impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 512 << 20, max_input_bytes: 256 << 20 }
    }
}
