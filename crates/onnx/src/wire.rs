//! The protobuf wire format, read without trust and written without loss.
//!
//! Only what ONNX needs: varints, length-delimited fields, fixed 32 and 64. Every length is checked
//! against the bytes that are there before anything is allocated; payloads are slices of the caller's
//! buffer, never copies. Fields nobody asked about are kept as they came ([`Unknown`]) and written
//! back in field order, so that a file written by a canonical writer comes back byte for byte.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

use bytes::Bytes;

use crate::error::OnnxError;

/// Deepest nesting of messages; ONNX control flow nests a graph per level, real models stay under 10.
const MAX_DEPTH: u32 = 64;

/// Most memory the structure of one file may take, besides its own bytes. A message of two bytes on disk
/// costs a few hundred in memory; weights are slices of the file and cost nothing. Models of 100,000
/// nodes stay under a tenth of this.
const MAX_STRUCTURE_BYTES: usize = 512 << 20;

/// One field as it lies on the wire.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Varint(u64),
    /// No field this crate names has one; kept as it came.
    Fixed64,
    Bytes(Bytes),
    Fixed32(u32),
}

/// Limits shared by all messages of one file.
#[derive(Debug)]
pub(crate) struct Budget {
    depth: u32,
    bytes_left: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { depth: 0, bytes_left: MAX_STRUCTURE_BYTES }
    }
}

impl Budget {
    /// Takes the memory of one more element of a list, which may hold as much again in reserve.
    pub(crate) fn charge<T>(&mut self, heap_bytes: usize) -> Result<(), OnnxError> {
        let cost = 2 * size_of::<T>() + heap_bytes;
        let left = self.bytes_left.checked_sub(cost);
        self.bytes_left = left.ok_or_else(|| {
            malformed(format!("its structure needs more than {} MiB of memory", MAX_STRUCTURE_BYTES >> 20))
        })?;
        Ok(())
    }
}

/// A message type: how one of its fields is taken in, and how all of them are written.
pub(crate) trait Message: Default + Sized {
    /// Takes one field. `raw` is the whole field, tag included, for fields this type does not know.
    fn merge_field(
        &mut self,
        number: u32,
        value: Value,
        raw: Bytes,
        budget: &mut Budget,
    ) -> Result<(), OnnxError>;
    fn encoded_len(&self) -> usize;
    fn encode(&self, out: &mut Vec<u8>);

    fn merge(&mut self, bytes: Bytes, budget: &mut Budget) -> Result<(), OnnxError> {
        if budget.depth == MAX_DEPTH {
            return Err(malformed(format!("messages nested deeper than {MAX_DEPTH}")));
        }
        budget.depth += 1;
        let mut reader = Reader { bytes: &bytes, position: 0 };
        while let Some((number, value, raw)) = reader.next_field()? {
            self.merge_field(number, value, raw, budget)?;
        }
        budget.depth -= 1;
        Ok(())
    }
}

/// Decodes a whole message.
pub(crate) fn decode<M: Message>(bytes: Bytes) -> Result<M, OnnxError> {
    let mut message = M::default();
    message.merge(bytes, &mut Budget::default())?;
    Ok(message)
}

pub(crate) fn malformed(reason: String) -> OnnxError {
    OnnxError::Malformed { reason }
}

pub(crate) struct Reader<'a> {
    pub(crate) bytes: &'a Bytes,
    pub(crate) position: usize,
}

impl Reader<'_> {
    fn next_field(&mut self) -> Result<Option<(u32, Value, Bytes)>, OnnxError> {
        if self.position == self.bytes.len() {
            return Ok(None);
        }
        let start = self.position;
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|n| *n != 0).ok_or_else(|| {
            malformed(format!("field tag {tag} at byte {start} of its message is out of range"))
        })?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Value::Fixed64
            }
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            wire_type => {
                return Err(malformed(format!(
                    "field {number} has wire type {wire_type}, which ONNX never uses"
                )));
            }
        };
        Ok(Some((number, value, self.bytes.slice(start..self.position))))
    }

    pub(crate) fn varint(&mut self) -> Result<u64, OnnxError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self
                .bytes
                .get(self.position)
                .ok_or_else(|| malformed("the file ends inside a number".to_owned()))?;
            self.position += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(malformed("a number longer than ten bytes".to_owned()))
    }

    fn take(&mut self, length: u64) -> Result<Bytes, OnnxError> {
        let left = self.bytes.len() - self.position;
        let length = usize::try_from(length).ok().filter(|n| *n <= left).ok_or_else(|| {
            malformed(format!("a field of {length} bytes where only {left} bytes are left"))
        })?;
        let start = self.position;
        self.position += length;
        Ok(self.bytes.slice(start..self.position))
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], OnnxError> {
        let bytes = self.take(N as u64)?;
        Ok(<[u8; N]>::try_from(&bytes[..]).expect("take returned exactly N bytes"))
    }
}

/// One field of a message: how it is taken in and written back.
pub(crate) trait Field {
    fn merge(&mut self, value: Value, budget: &mut Budget) -> Result<(), OnnxError>;
    fn len(&self, number: u32) -> usize;
    fn write(&self, number: u32, out: &mut Vec<u8>);
}

pub(crate) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

pub(crate) fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

pub(crate) fn tag(number: u32, wire_type: u64) -> u64 {
    u64::from(number) << 3 | wire_type
}

pub(crate) fn delimited_len(number: u32, length: usize) -> usize {
    varint_len(tag(number, 2)) + varint_len(length as u64) + length
}

pub(crate) fn write_delimited_head(number: u32, length: usize, out: &mut Vec<u8>) {
    write_varint(tag(number, 2), out);
    write_varint(length as u64, out);
}

pub(crate) fn wrong_wire_type(expected: &str, value: &Value) -> OnnxError {
    malformed(format!("expected {expected}, found {value:.40?}"))
}

/// The fields of a message that its type does not name, tags included, in the order they came.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Unknown(Vec<(u32, Bytes)>);

impl Unknown {
    pub(crate) fn push(&mut self, number: u32, raw: Bytes, budget: &mut Budget) -> Result<(), OnnxError> {
        budget.charge::<(u32, Bytes)>(0)?;
        self.0.push((number, raw));
        Ok(())
    }

    /// The payloads of one length-delimited field, for the few that are read only now and then.
    pub(crate) fn payloads(&self, number: u32) -> impl Iterator<Item = Bytes> {
        self.0.iter().filter(move |(n, _)| *n == number).filter_map(|(_, raw)| {
            match (Reader { bytes: raw, position: 0 }).next_field() {
                Ok(Some((_, Value::Bytes(bytes), _))) => Some(bytes),
                _ => None,
            }
        })
    }

    /// Drops every field of this number.
    pub(crate) fn remove(&mut self, number: u32) {
        self.0.retain(|(n, _)| *n != number);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|(_, raw)| raw.len()).sum()
    }

    /// Writes the fields from index `from` on while their number is below `number`; returns the next index.
    pub(crate) fn write_below(&self, from: usize, number: u32, out: &mut Vec<u8>) -> usize {
        let mut next = from;
        while let Some((_, raw)) = self.0.get(next).filter(|(n, _)| *n < number) {
            out.extend_from_slice(raw);
            next += 1;
        }
        next
    }
}

/// Decodes packed 64-bit varints, such as `TensorProto.int64_data`.
pub(crate) fn packed_i64(bytes: &Bytes) -> Result<Vec<i64>, OnnxError> {
    let mut values = Vec::new();
    Field::merge(&mut values, Value::Bytes(bytes.clone()), &mut Budget::default())?;
    Ok(values)
}

/// Defines message types: fields with their numbers, ascending, plus the fields they do not name.
macro_rules! messages {
    ($(
        $(#[$doc:meta])*
        pub struct $name:ident {
            $( $(#[$field_doc:meta])* $field:ident: $type:ty = $number:literal, )*
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $name {
            $( $(#[$field_doc])* pub $field: $type, )*
            /// Fields of this message that the type does not name, kept for writing.
            pub unknown: $crate::wire::Unknown,
        }

        impl $crate::wire::Message for $name {
            fn merge_field(
                &mut self,
                number: u32,
                value: $crate::wire::Value,
                raw: bytes::Bytes,
                budget: &mut $crate::wire::Budget,
            ) -> Result<(), $crate::error::OnnxError> {
                match number {
                    $( $number => $crate::wire::Field::merge(&mut self.$field, value, budget), )*
                    _ => self.unknown.push(number, raw, budget),
                }
            }

            fn encoded_len(&self) -> usize {
                self.unknown.len() $( + $crate::wire::Field::len(&self.$field, $number) )*
            }

            fn encode(&self, out: &mut Vec<u8>) {
                let mut next = 0;
                $(
                    next = self.unknown.write_below(next, $number, out);
                    $crate::wire::Field::write(&self.$field, $number, out);
                )*
                self.unknown.write_below(next, u32::MAX, out);
            }
        }
    )*};
}
pub(crate) use messages;
