//! Formats of sounds, told by the ending of a file's name or by its first bytes.

use crate::error::InputError;
use crate::format::FileFormat;
use crate::recipe::InputKind;

/// Endings of names, in small letters.
pub(crate) const EXTENSIONS: [(&str, bool, &[&str]); 16] = [
    ("WAV", true, &["wav", "wave", "bwf"]),
    ("FLAC", true, &["flac"]),
    ("MP3", true, &["mp3", "mp2", "mpga"]),
    ("Ogg", true, &["ogg", "oga"]),
    ("AIFF", true, &["aif", "aiff", "aifc"]),
    ("AAC", true, &["aac", "adts"]),
    ("MPEG-4 audio", true, &["m4a", "m4b"]),
    ("Opus", false, &["opus"]),
    ("Windows Media Audio", false, &["wma", "asf"]),
    ("AMR", false, &["amr", "awb"]),
    ("Matroska", false, &["mka", "weba"]),
    ("Core Audio", false, &["caf"]),
    ("Sun audio", false, &["au", "snd"]),
    ("WavPack", false, &["wv"]),
    ("Monkey's Audio", false, &["ape"]),
    ("MIDI", false, &["mid", "midi"]),
];

/// First bytes: a name, whether it is read, where they stand, and what they are.
pub(crate) const MAGIC: [(&str, bool, usize, &[u8]); 23] = [
    // A WAV of more than 4 GiB.
    ("RF64", false, 0, b"RF64"),
    ("WAV", true, 8, b"WAVE"),
    ("FLAC", true, 0, b"fLaC"),
    ("Opus", false, 28, b"OpusHead"),
    ("Ogg", true, 0, b"OggS"),
    ("MP3", true, 0, b"ID3"),
    ("MP3", true, 0, b"\xff\xfb"),
    ("MP3", true, 0, b"\xff\xfa"),
    ("MP3", true, 0, b"\xff\xf3"),
    ("MP3", true, 0, b"\xff\xf2"),
    ("AAC", true, 0, b"\xff\xf1"),
    ("AAC", true, 0, b"\xff\xf9"),
    ("AIFF", true, 8, b"AIFF"),
    ("AIFF", true, 8, b"AIFC"),
    ("MPEG-4 audio", true, 4, b"ftypM4A "),
    ("MPEG-4 audio", true, 4, b"ftypM4B "),
    ("Windows Media Audio", false, 0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    ("AMR", false, 0, b"#!AMR"),
    ("Core Audio", false, 0, b"caff"),
    ("Sun audio", false, 0, b".snd"),
    ("WavPack", false, 0, b"wvpk"),
    ("Monkey's Audio", false, 0, b"MAC "),
    ("MIDI", false, 0, b"MThd"),
];

/// Refuses what is of a format that is not read, and what is no sound but a picture: a decoder that looks for the
/// beginning of a sound finds one in most things.
pub(super) fn refuse(begin: &[u8]) -> Result<(), InputError> {
    match FileFormat::of_bytes(InputKind::Audio, begin) {
        Some(FileFormat { name, is_read: false }) => {
            return Err(InputError::FormatNotRead { kind: InputKind::Audio, format: name });
        }
        Some(_) => return Ok(()),
        None => {}
    }
    match FileFormat::of_bytes(InputKind::Image, begin) {
        Some(_) => Err(InputError::UnknownFormat { kind: InputKind::Audio }),
        None => Ok(()),
    }
}
