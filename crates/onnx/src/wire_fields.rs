//! How each type of field reads from the wire and is written back.

use bytes::Bytes;

use crate::error::OnnxError;
use crate::wire::{
    Budget, Field, Message, Reader, Value, delimited_len, malformed, tag, varint_len, write_delimited_head,
    write_varint, wrong_wire_type,
};

/// A scalar that is written unpacked: how it reads from and writes to the wire.
trait Scalar: Copy {
    const WIRE_TYPE: u64;
    const EXPECTED: &'static str;
    fn from_value(value: &Value) -> Option<Self>;
    fn payload_len(self) -> usize;
    fn write_payload(self, out: &mut Vec<u8>);
    /// One element of a packed list, and how many bytes it took.
    fn read_packed(reader: &mut Reader<'_>) -> Result<Self, OnnxError>;
}

impl Scalar for i64 {
    const WIRE_TYPE: u64 = 0;
    const EXPECTED: &'static str = "an integer";
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Varint(it) = value { Some(it.cast_signed()) } else { None }
    }
    fn payload_len(self) -> usize {
        varint_len(self.cast_unsigned())
    }
    fn write_payload(self, out: &mut Vec<u8>) {
        write_varint(self.cast_unsigned(), out);
    }
    fn read_packed(reader: &mut Reader<'_>) -> Result<Self, OnnxError> {
        Ok(reader.varint()?.cast_signed())
    }
}

impl Scalar for f32 {
    const WIRE_TYPE: u64 = 5;
    const EXPECTED: &'static str = "a 32-bit float";
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Fixed32(bits) = value { Some(Self::from_bits(*bits)) } else { None }
    }
    fn payload_len(self) -> usize {
        4
    }
    fn write_payload(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
    fn read_packed(reader: &mut Reader<'_>) -> Result<Self, OnnxError> {
        Ok(Self::from_le_bytes(reader.array()?))
    }
}

macro_rules! scalar_fields {
    ($($scalar:ty),*) => {$(
        impl Field for Option<$scalar> {
            fn merge(&mut self, value: Value, _: &mut Budget) -> Result<(), OnnxError> {
                let it = <$scalar>::from_value(&value)
                    .ok_or_else(|| wrong_wire_type(<$scalar>::EXPECTED, &value))?;
                *self = Some(it);
                Ok(())
            }
            fn len(&self, number: u32) -> usize {
                self.map_or(0, |it| varint_len(tag(number, 0)) + it.payload_len())
            }
            fn write(&self, number: u32, out: &mut Vec<u8>) {
                if let Some(it) = self {
                    write_varint(tag(number, <$scalar>::WIRE_TYPE), out);
                    it.write_payload(out);
                }
            }
        }

        /// Read packed or not, written unpacked: the form of ONNX's proto2 schema, which every reader takes.
        impl Field for Vec<$scalar> {
            fn merge(&mut self, value: Value, budget: &mut Budget) -> Result<(), OnnxError> {
                if let Value::Bytes(bytes) = &value {
                    let mut reader = Reader { bytes, position: 0 };
                    while reader.position < bytes.len() {
                        budget.charge::<$scalar>(0)?;
                        self.push(<$scalar>::read_packed(&mut reader)?);
                    }
                    return Ok(());
                }
                budget.charge::<$scalar>(0)?;
                self.push(
                    <$scalar>::from_value(&value)
                        .ok_or_else(|| wrong_wire_type(<$scalar>::EXPECTED, &value))?,
                );
                Ok(())
            }
            fn len(&self, number: u32) -> usize {
                self.iter().map(|it| varint_len(tag(number, 0)) + it.payload_len()).sum()
            }
            fn write(&self, number: u32, out: &mut Vec<u8>) {
                for it in self {
                    write_varint(tag(number, <$scalar>::WIRE_TYPE), out);
                    it.write_payload(out);
                }
            }
        }
    )*};
}
scalar_fields!(i64, f32);

/// A length-delimited payload: text or bytes.
trait Blob: Sized {
    fn from_bytes(bytes: Bytes) -> Result<Self, OnnxError>;
    fn as_bytes(&self) -> &[u8];
}

impl Blob for Bytes {
    fn from_bytes(bytes: Bytes) -> Result<Self, OnnxError> {
        Ok(bytes)
    }
    fn as_bytes(&self) -> &[u8] {
        self
    }
}

impl Blob for String {
    fn from_bytes(bytes: Bytes) -> Result<Self, OnnxError> {
        Self::from_utf8(bytes.to_vec()).map_err(|_| malformed("a name that is not UTF-8".to_owned()))
    }
    fn as_bytes(&self) -> &[u8] {
        str::as_bytes(self)
    }
}

fn expect_bytes(value: Value) -> Result<Bytes, OnnxError> {
    if let Value::Bytes(bytes) = value { Ok(bytes) } else { Err(wrong_wire_type("bytes", &value)) }
}

macro_rules! blob_fields {
    ($($blob:ty),*) => {$(
        impl Field for Option<$blob> {
            fn merge(&mut self, value: Value, _: &mut Budget) -> Result<(), OnnxError> {
                *self = Some(<$blob as Blob>::from_bytes(expect_bytes(value)?)?);
                Ok(())
            }
            fn len(&self, number: u32) -> usize {
                self.as_ref().map_or(0, |it| delimited_len(number, Blob::as_bytes(it).len()))
            }
            fn write(&self, number: u32, out: &mut Vec<u8>) {
                if let Some(it) = self {
                    write_delimited_head(number, Blob::as_bytes(it).len(), out);
                    out.extend_from_slice(Blob::as_bytes(it));
                }
            }
        }

        impl Field for Vec<$blob> {
            fn merge(&mut self, value: Value, budget: &mut Budget) -> Result<(), OnnxError> {
                let bytes = expect_bytes(value)?;
                budget.charge::<$blob>(bytes.len())?;
                self.push(<$blob as Blob>::from_bytes(bytes)?);
                Ok(())
            }
            fn len(&self, number: u32) -> usize {
                self.iter().map(|it| delimited_len(number, Blob::as_bytes(it).len())).sum()
            }
            fn write(&self, number: u32, out: &mut Vec<u8>) {
                for it in self {
                    write_delimited_head(number, Blob::as_bytes(it).len(), out);
                    out.extend_from_slice(Blob::as_bytes(it));
                }
            }
        }
    )*};
}
blob_fields!(Bytes, String);

impl<M: Message> Field for Option<M> {
    fn merge(&mut self, value: Value, budget: &mut Budget) -> Result<(), OnnxError> {
        // Protobuf merges a message that comes twice.
        self.get_or_insert_default().merge(expect_bytes(value)?, budget)
    }
    fn len(&self, number: u32) -> usize {
        self.as_ref().map_or(0, |it| delimited_len(number, it.encoded_len()))
    }
    fn write(&self, number: u32, out: &mut Vec<u8>) {
        if let Some(it) = self {
            write_delimited_head(number, it.encoded_len(), out);
            it.encode(out);
        }
    }
}

impl<M: Message> Field for Vec<M> {
    fn merge(&mut self, value: Value, budget: &mut Budget) -> Result<(), OnnxError> {
        budget.charge::<M>(0)?;
        let mut message = M::default();
        message.merge(expect_bytes(value)?, budget)?;
        self.push(message);
        Ok(())
    }
    fn len(&self, number: u32) -> usize {
        self.iter().map(|it| delimited_len(number, it.encoded_len())).sum()
    }
    fn write(&self, number: u32, out: &mut Vec<u8>) {
        for it in self {
            write_delimited_head(number, it.encoded_len(), out);
            it.encode(out);
        }
    }
}
