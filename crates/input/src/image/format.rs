//! Formats of pictures, told by the ending of a file's name or by its first bytes.

/// A format that pictures come in.
///
/// # Examples
/// ```
/// use headstart_input::PictureFormat;
///
/// let heic = PictureFormat::of_bytes(b"\0\0\0\x18ftypheic\0\0\0\0").expect("a picture");
/// assert_eq!((heic.name, heic.is_read), ("HEIC", false));
/// assert!(PictureFormat::of_extension("JPG").is_some_and(|it| it.is_read));
/// assert_eq!(PictureFormat::of_bytes(b"PK\x03\x04 a zip file"), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureFormat {
    /// Name, as people write it.
    pub name: &'static str,
    /// Whether its pictures are read.
    pub is_read: bool,
}

/// Endings of names, in small letters.
const EXTENSIONS: [(&str, bool, &[&str]); 21] = [
    ("JPEG", true, &["jpg", "jpeg", "jpe", "jfif"]),
    ("PNG", true, &["png", "apng"]),
    ("WebP", true, &["webp"]),
    ("GIF", true, &["gif"]),
    ("BMP", true, &["bmp", "dib"]),
    ("TIFF", true, &["tif", "tiff"]),
    ("HEIC", false, &["heic", "heif", "hif"]),
    ("AVIF", false, &["avif"]),
    ("JPEG XL", false, &["jxl"]),
    ("JPEG 2000", true, &["jp2", "j2k", "jpf", "jpx", "j2c"]),
    ("QOI", true, &["qoi"]),
    ("ICO", true, &["ico"]),
    ("CUR", false, &["cur"]),
    ("TGA", true, &["tga", "icb", "vda", "vst"]),
    ("PNM", true, &["ppm", "pgm", "pbm", "pnm", "pam"]),
    ("SVG", false, &["svg", "svgz"]),
    ("Photoshop", false, &["psd", "psb"]),
    ("OpenEXR", false, &["exr"]),
    ("Radiance HDR", false, &["hdr"]),
    ("DDS", false, &["dds"]),
    (RAW, false, &RAW_EXTENSIONS),
];

/// Formats whose first bytes do not tell them, or not all of them.
const BY_NAME_ALONE: [&str; 4] = ["TGA", "CUR", "SVG", RAW];

/// What cameras keep of a photo before it is one.
const RAW: &str = "camera raw";

const RAW_EXTENSIONS: [&str; 15] =
    ["cr2", "cr3", "crw", "nef", "nrw", "arw", "srf", "sr2", "dng", "orf", "raf", "rw2", "pef", "srw", "x3f"];

/// First bytes: a name, whether it is read, where they stand, and what they are.
const MAGIC: [(&str, bool, usize, &[u8]); 29] = [
    ("JPEG", true, 0, b"\xff\xd8\xff"),
    ("PNG", true, 0, b"\x89PNG\r\n\x1a\n"),
    ("WebP", true, 8, b"WEBPVP8"),
    ("GIF", true, 0, b"GIF8"),
    (RAW, false, 8, b"CR\x02\0"),
    ("TIFF", true, 0, b"II*\0"),
    ("TIFF", true, 0, b"MM\0*"),
    ("TIFF", true, 0, b"II+\0"),
    ("TIFF", true, 0, b"MM\0+"),
    (RAW, false, 0, b"IIU\0"),
    (RAW, false, 0, b"IIRO"),
    (RAW, false, 0, b"FUJIFILMCCD-RAW"),
    (RAW, false, 4, b"ftypcrx "),
    ("HEIC", false, 4, b"ftyphei"),
    ("HEIC", false, 4, b"ftyphev"),
    ("HEIC", false, 4, b"ftypmif1"),
    ("HEIC", false, 4, b"ftypmsf1"),
    ("AVIF", false, 4, b"ftypavi"),
    ("JPEG XL", false, 0, b"\xff\x0a"),
    ("JPEG XL", false, 0, b"\0\0\0\x0cJXL "),
    ("JPEG 2000", true, 0, b"\0\0\0\x0cjP  "),
    ("JPEG 2000", true, 0, b"\xff\x4f\xff\x51"),
    ("QOI", true, 0, b"qoif"),
    ("ICO", true, 0, b"\0\0\x01\0"),
    ("Photoshop", false, 0, b"8BPS"),
    ("OpenEXR", false, 0, b"\x76\x2f\x31\x01"),
    ("Radiance HDR", false, 0, b"#?RADIANCE"),
    ("DDS", false, 0, b"DDS "),
    ("SVG", false, 0, b"<svg"),
];

impl PictureFormat {
    /// Bytes at the beginning of a file that tell its format.
    pub const N_BYTES: usize = 32;

    /// The format that a file's ending stands for, without its dot, in letters of any size.
    #[must_use]
    pub fn of_extension(extension: &str) -> Option<Self> {
        let extension = extension.to_lowercase();
        let found = EXTENSIONS.iter().find(|it| it.2.contains(&extension.as_str()));
        found.map(|&(name, is_read, _)| Self { name, is_read })
    }

    /// The format that a file's first bytes, [`N_BYTES`](Self::N_BYTES) of them, are of.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        // Two letters alone are too little to tell a BMP by: the size of its header is one of a few.
        let is_bmp =
            bytes.starts_with(b"BM") && matches!(bytes.get(14), Some(12 | 40 | 52 | 56 | 64 | 108 | 124));
        if is_bmp {
            return Some(Self { name: "BMP", is_read: true });
        }
        let is_pnm = matches!(bytes, [b'P', b'1'..=b'7', space, ..] if space.is_ascii_whitespace());
        if is_pnm {
            return Some(Self { name: "PNM", is_read: true });
        }
        let is = |it: &&(&str, bool, usize, &[u8])| bytes.get(it.2..).is_some_and(|at| at.starts_with(it.3));
        MAGIC.iter().find(is).map(|&(name, is_read, ..)| Self { name, is_read })
    }

    /// Whether all files of the format, but no others, begin as [`of_bytes`](Self::of_bytes) expects.
    #[must_use]
    pub fn is_told_by_bytes(&self) -> bool {
        !BY_NAME_ALONE.contains(&self.name)
    }

    /// Whether a file with its ending is one, or a damaged one: an `.ico` beside photos may be anything.
    #[must_use]
    pub fn is_told_by_name(&self) -> bool {
        (self.is_read && self.name != "ICO") || self.is_camera_raw()
    }

    /// Whether it is what cameras keep of a photo: such files begin as TIFFs do, and are none.
    #[must_use]
    pub fn is_camera_raw(&self) -> bool {
        self.name == RAW
    }
}
