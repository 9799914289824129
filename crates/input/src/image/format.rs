//! Formats of pictures: what tells them, by name or by first bytes.

/// Endings of names, in small letters.
pub(crate) const EXTENSIONS: [(&str, bool, &[&str]); 21] = [
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
pub(crate) const BY_NAME_ALONE: [&str; 4] = ["TGA", "CUR", "SVG", RAW];

/// What cameras keep of a photo before it is one.
pub(crate) const RAW: &str = "camera raw";

const RAW_EXTENSIONS: [&str; 15] =
    ["cr2", "cr3", "crw", "nef", "nrw", "arw", "srf", "sr2", "dng", "orf", "raf", "rw2", "pef", "srw", "x3f"];

/// First bytes: a name, whether it is read, where they stand, and what they are.
pub(crate) const MAGIC: [(&str, bool, usize, &[u8]); 29] = [
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

/// The format of a picture that takes more than equal bytes to tell.
pub(crate) fn told_otherwise(bytes: &[u8]) -> Option<&'static str> {
    // Two letters alone are too little to tell a BMP by: the size of its header is one of a few.
    let is_bmp =
        bytes.starts_with(b"BM") && matches!(bytes.get(14), Some(12 | 40 | 52 | 56 | 64 | 108 | 124));
    let is_pnm = matches!(bytes, [b'P', b'1'..=b'7', space, ..] if space.is_ascii_whitespace());
    match (is_bmp, is_pnm) {
        (true, _) => Some("BMP"),
        (_, true) => Some("PNM"),
        _ => None,
    }
}
