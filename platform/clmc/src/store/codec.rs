//! How points lie in a file: varints and little-endian numbers. Pure, and total: whatever the bytes are, reading them gives
//! a value or nothing.

use flame_telemetry::Value;

/// Reads from the front of what is left.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a>(pub &'a [u8]);

const FLOAT: u8 = 0;
const INTEGER: u8 = 1;
const FALSE: u8 = 2;
const TRUE: u8 = 3;
const TEXT: u8 = 4;

/// Seven bits a byte, the lowest first.
pub fn put_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The sign in the lowest bit, so that small negative numbers are short.
pub fn put_i64(out: &mut Vec<u8>, value: i64) {
    put_u64(out, (value.wrapping_shl(1) ^ (value >> 63)).cast_unsigned());
}

/// Its length and itself.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_u64(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Its type and itself.
pub fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Float(number) => {
            out.push(FLOAT);
            out.extend_from_slice(&number.to_le_bytes());
        }
        Value::Integer(number) => {
            out.push(INTEGER);
            put_i64(out, *number);
        }
        Value::Boolean(value) => out.push(if *value { TRUE } else { FALSE }),
        Value::Text(text) => {
            out.push(TEXT);
            put_text(out, text);
        }
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    pub fn u64(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for (at, byte) in self.0.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.0 = &self.0[at + 1..];
                return Some(value);
            }
        }
        None
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.u64()?.try_into().ok()
    }

    pub fn i64(&mut self) -> Option<i64> {
        let value = self.u64()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn sized(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.u64()?).ok()?;
        self.bytes(count)
    }

    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.sized()?).ok()
    }

    pub fn value(&mut self) -> Option<Value> {
        Some(match self.bytes(1)?[0] {
            FLOAT => Value::Float(f64::from_le_bytes(self.bytes(8)?.try_into().ok()?)),
            INTEGER => Value::Integer(self.i64()?),
            FALSE => Value::Boolean(false),
            TRUE => Value::Boolean(true),
            TEXT => Value::Text(self.text()?.to_owned()),
            _ => return None,
        })
    }

    /// Passes over a value.
    pub fn skip_value(&mut self) -> Option<()> {
        match self.bytes(1)?[0] {
            FLOAT => self.bytes(8).map(drop),
            INTEGER => self.u64().map(drop),
            FALSE | TRUE => Some(()),
            TEXT => self.sized().map(drop),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_put_is_read(number in any::<i64>(), count in any::<u64>(), float in any::<f64>(), text in ".{0,20}") {
            let mut out = Vec::new();
            put_u64(&mut out, count);
            put_i64(&mut out, number);
            let values = [Value::Float(float), Value::Integer(number), Value::Boolean(true), Value::Text(text)];
            values.iter().for_each(|value| put_value(&mut out, value));
            let mut reader = Reader(&out);
            prop_assert_eq!((reader.u64(), reader.i64()), (Some(count), Some(number)));
            let mut skipped = reader;
            for value in values {
                prop_assert_eq!(reader.value(), Some(value));
                prop_assert!(skipped.skip_value().is_some() && skipped.0.len() == reader.0.len());
            }
            prop_assert!(reader.0.is_empty());
        }

        #[test]
        fn whatever_lies_there_is_read_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut reader = Reader(&bytes);
            while reader.value().is_some() {}
            prop_assert!(reader.0.len() <= bytes.len());
        }
    }
}
