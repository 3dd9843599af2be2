//! The wire format: fields with numbers, and what they carry.
//! Source: protobuf.dev, "Encoding".

use super::Error;

/// One field of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub(super) number: u32,
    pub(super) payload: Payload<'a>,
}

/// What a field carries.
#[derive(Clone, Copy, Debug)]
pub(super) enum Payload<'a> {
    Varint(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    pub(super) fn bytes(&self) -> Result<&'a [u8], Error> {
        match self.payload {
            Payload::Bytes(bytes) => Ok(bytes),
            _ => Err(Error::Field(self.number)),
        }
    }

    pub(super) fn text(&self) -> Result<String, Error> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| Error::Field(self.number))
    }

    pub(super) fn integer(&self) -> Result<i64, Error> {
        match self.payload {
            Payload::Varint(bits) => Ok(bits.cast_signed()),
            _ => Err(Error::Field(self.number)),
        }
    }

    pub(super) fn double(&self) -> Result<f64, Error> {
        match self.payload {
            Payload::Fixed(bits) => Ok(f64::from_bits(bits)),
            _ => Err(Error::Field(self.number)),
        }
    }
}

/// The fields of a message, in order. Ends after the first error.
pub(super) fn fields(message: &[u8]) -> impl Iterator<Item = Result<Field<'_>, Error>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = next(&mut rest);
        if field.is_err() {
            rest = &[];
        }
        Some(field)
    })
}

/// The numbers of a packed list.
pub(super) fn varints(mut bytes: &[u8]) -> Result<Vec<i64>, Error> {
    let mut numbers = Vec::new();
    while !bytes.is_empty() {
        numbers.push(varint(&mut bytes)?.cast_signed());
    }
    Ok(numbers)
}

fn next<'a>(rest: &mut &'a [u8]) -> Result<Field<'a>, Error> {
    let tag = varint(rest)?;
    let number = u32::try_from(tag >> 3).map_err(|_| Error::Field(0))?;
    let payload = match tag & 7 {
        0 => Payload::Varint(varint(rest)?),
        1 => Payload::Fixed(fixed(rest, 8)?),
        2 => {
            let length = usize::try_from(varint(rest)?).map_err(|_| Error::Truncated)?;
            Payload::Bytes(take(rest, length)?)
        }
        5 => Payload::Fixed(fixed(rest, 4)?),
        _ => return Err(Error::Field(number)),
    };
    Ok(Field { number, payload })
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Error> {
    let (taken, left) = rest.split_at_checked(length).ok_or(Error::Truncated)?;
    *rest = left;
    Ok(taken)
}

fn fixed(rest: &mut &[u8], length: usize) -> Result<u64, Error> {
    Ok(take(rest, length)?.iter().rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte)))
}

fn varint(rest: &mut &[u8]) -> Result<u64, Error> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Error::Truncated)
}
