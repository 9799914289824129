//! Encoded sounds to mono samples, block by block. The one place that names `symphonia`.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Cursor, ErrorKind, Read, Seek};
use std::ops::RangeInclusive;

use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::common::Limit;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::default::{get_codecs, get_probe};

use super::format;
use crate::error::InputError;
use crate::format::FileFormat;
use crate::quietly::quietly;
use crate::recipe::InputKind;

/// Names the decoders in the fingerprint: another gives other samples.
pub(crate) const DECODER: &str = "symphonia 0.6";

/// Most bytes of a title or a cover beside a sound.
const MAX_TAG_BYTES: usize = 1 << 16;

/// Rates that sounds have, in samples a second.
pub(super) const RATES: RangeInclusive<u32> = 100..=1_000_000;

/// Packets in a row that may give no samples: a header that lies makes them endless.
const MOST_IDLE: u32 = 1000;

/// A sound that is being decoded.
pub(crate) struct Sound<'a> {
    format: Box<dyn FormatReader + 'a>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    rate: u32,
    interleaved: Vec<f32>,
    n_packets: u64,
    n_damaged: u64,
    /// Packets since the last one that gave samples.
    n_idle: u32,
    /// Whether it ended before it should have.
    is_cut_short: bool,
}

impl<'a> Sound<'a> {
    /// A sound in memory.
    pub(crate) fn of_bytes(bytes: Cow<'a, [u8]>) -> Result<Self, InputError> {
        let begin = bytes.get(..bytes.len().min(FileFormat::N_BYTES)).unwrap_or_default();
        format::refuse(begin)?;
        Self::open(Box::new(Cursor::new(bytes)))
    }

    /// A sound in a file, which is read as it is decoded.
    pub(crate) fn of_file(mut file: File) -> Result<Self, InputError> {
        let mut begin = Vec::new();
        let looked = file.by_ref().take(FileFormat::N_BYTES as u64).read_to_end(&mut begin);
        looked.and_then(|_| file.rewind()).map_err(|err| InputError::Sound(err.to_string()))?;
        format::refuse(&begin)?;
        Self::open(Box::new(file))
    }

    fn open(source: Box<dyn MediaSource + 'a>) -> Result<Self, InputError> {
        quietly(|| Self::open_loudly(source)).unwrap_or(Err(InputError::DecoderPanic))
    }

    fn open_loudly(source: Box<dyn MediaSource + 'a>) -> Result<Self, InputError> {
        let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
        let metadata = MetadataOptions::default()
            .limit_tag_bytes(Limit::Maximum(MAX_TAG_BYTES))
            .limit_visual_bytes(Limit::Maximum(MAX_TAG_BYTES));
        let probed = get_probe().probe(&Hint::new(), stream, FormatOptions::default(), metadata);
        let format = probed.map_err(|err| match err {
            // What is of no format ends the search.
            Error::IoError(err) if err.kind() == ErrorKind::UnexpectedEof => {
                InputError::UnknownFormat { kind: InputKind::Audio }
            }
            Error::Unsupported(_) => InputError::UnknownFormat { kind: InputKind::Audio },
            err => InputError::Sound(err.to_string()),
        })?;
        let track = format.default_track(TrackType::Audio).ok_or(InputError::Silent)?;
        let parameters = track.codec_params.as_ref().and_then(|it| it.audio());
        let parameters = parameters.ok_or_else(|| InputError::Unsupported("an unknown codec".to_owned()))?;
        let decoder = get_codecs().make_audio_decoder(parameters, &AudioDecoderOptions::default());
        let decoder = decoder.map_err(|err| InputError::Unsupported(err.to_string()))?;
        let rate = parameters.sample_rate.unwrap_or(0);
        let track = track.id;
        Ok(Self {
            format,
            decoder,
            track,
            rate,
            interleaved: Vec::new(),
            n_packets: 0,
            n_damaged: 0,
            n_idle: 0,
            is_cut_short: false,
        })
    }

    /// Samples a second.
    pub(crate) fn rate(&self) -> u32 {
        self.rate
    }

    /// Whether some of it did not decode; known at its end.
    pub(crate) fn is_damaged(&self) -> bool {
        self.n_damaged > 0 || self.is_cut_short
    }

    /// Appends the next samples, the mean of all channels, ±1 at full scale; false at the end.
    ///
    /// # Errors
    /// [`InputError`] where too little of it decodes to be called the sound, or samples are no numbers.
    pub(crate) fn read(&mut self, out: &mut Vec<f32>) -> Result<bool, InputError> {
        quietly(|| self.read_loudly(out)).unwrap_or(Err(InputError::DecoderPanic))
    }

    fn read_loudly(&mut self, out: &mut Vec<f32>) -> Result<bool, InputError> {
        let packet = match self.format.next_packet() {
            Ok(Some(packet)) if packet.track_id == self.track => packet,
            Ok(Some(_)) => return Ok(true),
            Ok(None) => return self.end(),
            Err(Error::IoError(err)) if err.kind() == ErrorKind::UnexpectedEof => {
                self.is_cut_short = true;
                return self.end();
            }
            Err(Error::ResetRequired) => {
                return Err(InputError::Sound("it is a chain of several sounds".to_owned()));
            }
            Err(err) => return Err(InputError::Sound(err.to_string())),
        };
        self.n_packets += 1;
        self.n_idle += 1;
        if self.n_idle > MOST_IDLE {
            return Err(InputError::Sound("nothing comes of its packets".to_owned()));
        }
        let (rate, n_channels) = match self.decoder.decode(&packet) {
            Ok(decoded) => {
                self.interleaved.clear();
                decoded.copy_to_vec_interleaved(&mut self.interleaved);
                (decoded.spec().rate(), decoded.num_planes())
            }
            Err(Error::DecodeError(_) | Error::IoError(_)) => {
                self.n_damaged += 1;
                return Ok(true);
            }
            Err(err) => return Err(InputError::Sound(err.to_string())),
        };
        self.expect_rate(rate)?;
        if !self.interleaved.is_empty() {
            self.n_idle = 0;
        }
        if self.interleaved.iter().any(|it| !it.is_finite()) {
            return Err(InputError::NotFinite);
        }
        match n_channels {
            0 => {}
            1 => out.extend_from_slice(&self.interleaved),
            n => {
                let n_channels = n as f32;
                let mean = |frame: &[f32]| frame.iter().sum::<f32>() / n_channels;
                out.extend(self.interleaved.chunks_exact(n).map(mean));
            }
        }
        Ok(true)
    }

    /// Refuses a rate that no sound has, and one that changes on the way.
    fn expect_rate(&mut self, rate: u32) -> Result<(), InputError> {
        // Some headers do not say: the first block does.
        let before = if self.rate == 0 { rate } else { self.rate };
        self.rate = rate;
        match rate {
            _ if rate != before => Err(InputError::Sound(format!("its rate is {before} Hz, then {rate} Hz"))),
            _ if !RATES.contains(&rate) => Err(InputError::Sound(format!("its rate is {rate} Hz"))),
            _ => Ok(()),
        }
    }

    fn end(&self) -> Result<bool, InputError> {
        if 2 * self.n_damaged > self.n_packets {
            let (n, all) = (self.n_damaged, self.n_packets);
            return Err(InputError::Sound(format!("{n} of its {all} packets are damaged")));
        }
        Ok(false)
    }
}
