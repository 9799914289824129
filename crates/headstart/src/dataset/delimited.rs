//! Tables of text: records between delimiters, of bounded length, each with the line it begins on.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use csv_core::ReaderBuilder;

use super::{DatasetError, MAX_ROW_BYTES};
use crate::error::{Error, io};

/// A table of text, its header read.
pub(super) struct Delimited {
    pub(super) header: Vec<String>,
    /// What stands between fields.
    pub(super) delimiter: u8,
    /// Whether it was written in 16-bit units.
    pub(super) is_utf16: bool,
    records: Records,
}

/// A record: the line it begins on, and its fields or what is wrong with it.
pub(super) type Record = (usize, Result<Vec<String>, String>);

impl Delimited {
    /// Opens a table; the delimiter is the one that the header, its first line that is not empty, has most of
    /// outside quotes, `usual` among equals.
    ///
    /// # Errors
    /// [`Error::Io`]; [`DatasetError::Table`] for a header that does not read.
    pub(super) fn open(path: &Path, usual: u8) -> Result<Self, Error> {
        let read = io("read", path);
        let (reader, is_utf16) = decoded(path).map_err(read)?;
        let mut records = Records::new(reader, vec![b'\t', b';', b',']);
        let failed =
            |line: usize, reason: String| DatasetError::Table { path: path.to_owned(), line, reason };
        records.next_filled().map_err(io("read", path))?;
        let delimiter = records.most_frequent_delimiter(usual);
        records.put_back(delimiter);
        let header = records.next_filled().map_err(io("read", path))?;
        let (line, ended) = header.ok_or_else(|| failed(1, "has no header".to_owned()))?;
        let header = records.fields(ended).map_err(|reason| failed(line, reason))?;
        let header = header.iter().map(|it| it.trim().to_owned()).collect();
        Ok(Self { header, delimiter, is_utf16, records })
    }

    /// The next record that is not empty.
    ///
    /// # Errors
    /// [`Error::Io`]; [`DatasetError::Table`] for a quote that is never closed: what is in it cannot be told apart.
    pub(super) fn next_record(&mut self, path: &Path) -> Result<Option<Record>, Error> {
        let Some((line, ended)) = self.records.next_filled().map_err(io("read", path))? else {
            return Ok(None);
        };
        if let Ended::OpenQuote { line } = ended {
            let reason = "opens a quote that is never closed".to_owned();
            return Err(DatasetError::Table { path: path.to_owned(), line, reason }.into());
        }
        let n_expected = self.header.len();
        let fields = self.records.fields(ended).and_then(|fields| match fields.len() {
            n if n == n_expected => Ok(fields),
            1 => Err(format!("has 1 field, the header has {n_expected}")),
            n => Err(format!("has {n} fields, the header has {n_expected}")),
        });
        Ok(Some((line, fields)))
    }
}

/// The text of a file as UTF-8, its byte order mark taken off; and whether it was UTF-16.
fn decoded(path: &Path) -> io::Result<(Box<dyn BufRead>, bool)> {
    let mut file = BufReader::new(File::open(path)?);
    let begin = file.fill_buf()?;
    let from_bytes = match begin {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        [0xef, 0xbb, 0xbf, ..] => {
            file.consume(3);
            return Ok((Box::new(file), false));
        }
        _ => return Ok((Box::new(file), false)),
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let (units, rest) = bytes.as_chunks();
    let units = units[1..].iter().map(|it| from_bytes(*it));
    let text: Result<String, _> = char::decode_utf16(units).collect();
    match text {
        Ok(text) if rest.is_empty() => Ok((Box::new(Cursor::new(text)), true)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it begins as UTF-16 does, and is none")),
    }
}

/// The bytes of one record after the other.
struct Records {
    reader: Box<dyn BufRead>,
    /// What may stand between fields.
    delimiters: Vec<u8>,
    /// Line that is read next, from 1, and the one that the record begins on.
    line: usize,
    first_line: usize,
    /// The byte that was read last: of `\r\n` the second ends no line.
    last_byte: u8,
    /// The record, its end left out; its beginning where it is too long.
    bytes: Vec<u8>,
    /// What takes a record apart.
    parser: csv_core::Reader,
}

/// How a record ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    AtLine,
    /// With the file, in a quote that was opened on this line.
    OpenQuote {
        line: usize,
    },
    /// Somewhere a quote was closed and the field went on.
    StrayQuote,
    TooLong,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the beginning of a field.
    Begin,
    Bare,
    Quoted,
    /// After a quote that ends the field, or is the first of two.
    Closed,
}

impl Records {
    fn new(reader: Box<dyn BufRead>, delimiters: Vec<u8>) -> Self {
        let parser = ReaderBuilder::new().delimiter(delimiters[0]).build();
        Self { reader, delimiters, line: 1, first_line: 1, last_byte: b'\n', bytes: Vec::new(), parser }
    }

    /// Puts the record that was read back, to be read with one delimiter.
    fn put_back(&mut self, delimiter: u8) {
        self.delimiters = vec![delimiter];
        self.parser = ReaderBuilder::new().delimiter(delimiter).build();
        self.line = self.first_line;
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.push(if self.last_byte == b'\r' { b'\r' } else { b'\n' });
        self.last_byte = b'\n';
        let rest = std::mem::replace(&mut self.reader, Box::new(io::empty()));
        self.reader = Box::new(Cursor::new(bytes).chain(rest));
    }

    /// The delimiter that the record has most of outside quotes; `usual` among equals.
    fn most_frequent_delimiter(&self, usual: u8) -> u8 {
        let outside = || self.bytes.split(|it| *it == b'"').step_by(2).flatten();
        let count = |delimiter: &u8| outside().filter(|it| *it == delimiter).count();
        self.delimiters.iter().copied().chain([usual]).max_by_key(count).unwrap_or(usual)
    }

    /// As [`next_bytes`](Self::next_bytes), past records without a byte.
    fn next_filled(&mut self) -> io::Result<Option<(usize, Ended)>> {
        loop {
            let next = self.next_bytes()?;
            if next.is_none() || !self.bytes.is_empty() {
                return Ok(next);
            }
        }
    }

    /// Reads the next record's bytes, and says on which line it begins and how it ended.
    fn next_bytes(&mut self) -> io::Result<Option<(usize, Ended)>> {
        self.bytes.clear();
        self.first_line = self.line;
        let (first_line, mut quote_line) = (self.line, self.line);
        let (mut state, mut is_stray, mut n_bytes) = (State::Begin, false, 0_usize);
        let ended = |state, quote_line, is_stray, n_bytes| match state {
            State::Quoted => Ended::OpenQuote { line: quote_line },
            _ if n_bytes > MAX_ROW_BYTES => Ended::TooLong,
            _ if is_stray => Ended::StrayQuote,
            _ => Ended::AtLine,
        };
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                let is_end = n_bytes == 0 && state == State::Begin;
                return Ok((!is_end).then(|| (first_line, ended(state, quote_line, is_stray, n_bytes))));
            }
            let mut end = None;
            for (place, byte) in buffer.iter().enumerate() {
                let is_line_end = matches!(byte, b'\n' | b'\r');
                let last_byte = std::mem::replace(&mut self.last_byte, *byte);
                self.line += usize::from(is_line_end && (last_byte, *byte) != (b'\r', b'\n'));
                state = match (state, *byte) {
                    (State::Quoted, b'"') => State::Closed,
                    (State::Quoted, _) => State::Quoted,
                    _ if is_line_end => {
                        end = Some(place);
                        break;
                    }
                    (_, it) if self.delimiters.contains(&it) => State::Begin,
                    (State::Begin, b'"') => {
                        quote_line = self.line;
                        State::Quoted
                    }
                    (State::Closed, b'"') => State::Quoted,
                    (State::Closed, _) => {
                        is_stray = true;
                        State::Bare
                    }
                    (State::Begin | State::Bare, _) => State::Bare,
                };
            }
            let n = end.unwrap_or(buffer.len());
            n_bytes += n;
            let room = (MAX_ROW_BYTES + 1).saturating_sub(self.bytes.len());
            self.bytes.extend_from_slice(&buffer[..n.min(room)]);
            self.reader.consume(n + usize::from(end.is_some()));
            if end.is_some() {
                return Ok(Some((first_line, ended(state, quote_line, is_stray, n_bytes))));
            }
        }
    }

    /// The fields of the record that was read last.
    fn fields(&mut self, ended: Ended) -> Result<Vec<String>, String> {
        match ended {
            Ended::AtLine => {}
            Ended::OpenQuote { .. } => return Err("opens a quote that is never closed".to_owned()),
            Ended::StrayQuote => return Err("closes a quote in the middle of a field".to_owned()),
            Ended::TooLong => return Err(format!("is longer than {MAX_ROW_BYTES} bytes")),
        }
        self.bytes.push(b'\n');
        let mut text = vec![0; self.bytes.len()];
        let mut ends = vec![0; self.bytes.len()];
        let (_, _, _, n_fields) = self.parser.read_record(&self.bytes, &mut text, &mut ends);
        self.parser.reset();
        let ends = &ends[..n_fields];
        let mut begin = 0;
        let field = |end: &usize| {
            let bytes = &text[begin..*end];
            begin = *end;
            String::from_utf8(bytes.to_vec()).map_err(|err| {
                let byte = bytes[err.utf8_error().valid_up_to()];
                format!("is no UTF-8 (byte 0x{byte:02x}); save the table as UTF-8")
            })
        };
        ends.iter().map(field).collect()
    }
}
