//! AMF0 (Action Message Format 0), as far as RTMP commands need it: read within bounds, written plainly.
//!
//! References, typed objects and what only Flash knew are refused. How deep values nest and how many there are is bounded, so
//! a message costs no more memory than its own length a few times over.

use thiserror::Error;

/// How deep objects nest.
pub const DEPTH_MAX: u32 = 8;
/// Values in one message.
pub const VALUES_MAX: u32 = 1024;

const NUMBER: u8 = 0x00;
const BOOLEAN: u8 = 0x01;
const STRING: u8 = 0x02;
const OBJECT: u8 = 0x03;
const NULL: u8 = 0x05;
const UNDEFINED: u8 = 0x06;
const ECMA_ARRAY: u8 = 0x08;
const OBJECT_END: u8 = 0x09;
const STRICT_ARRAY: u8 = 0x0a;
const DATE: u8 = 0x0b;
const LONG_STRING: u8 = 0x0c;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A double.
    Number(f64),
    /// A truth value.
    Boolean(bool),
    /// Text; what is not UTF-8 is replaced.
    Text(String),
    /// Named values in order; ECMA arrays are the same.
    Object(Vec<(String, Value)>),
    /// A list.
    Array(Vec<Value>),
    /// Nothing.
    Null,
}

/// Octets that are no AMF0, or too much of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AmfError {
    /// It ends within a value.
    #[error("a value of AMF0 is cut off")]
    CutOff,
    /// A type that is not taken.
    #[error("a value of AMF0 has the type {marker:#04x}, which is not taken")]
    Marker {
        /// The type.
        marker: u8,
    },
    /// A bound is passed.
    #[error("more than {VALUES_MAX} values of AMF0, or more than {DEPTH_MAX} within each other")]
    TooMuch,
}

/// Reads values one after the other.
struct Reader<'a> {
    rest: &'a [u8],
    values: u32,
}

/// All values of a message.
///
/// # Errors
/// [`AmfError`].
pub fn read(message: &[u8]) -> Result<Vec<Value>, AmfError> {
    let mut reader = Reader { rest: message, values: 0 };
    let mut values = Vec::new();
    while !reader.rest.is_empty() {
        values.push(reader.value(0)?);
    }
    Ok(values)
}

/// The octets of values.
#[must_use]
pub fn write(values: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    values.iter().for_each(|value| append(&mut bytes, value));
    bytes
}

fn append(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Number(number) => {
            bytes.push(NUMBER);
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        Value::Boolean(is) => bytes.extend_from_slice(&[BOOLEAN, u8::from(*is)]),
        Value::Text(text) => match u16::try_from(text.len()) {
            Ok(_) => {
                bytes.push(STRING);
                append_name(bytes, text);
            }
            Err(_) => {
                bytes.push(LONG_STRING);
                bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
        },
        Value::Object(members) => {
            bytes.push(OBJECT);
            for (name, value) in members {
                append_name(bytes, name);
                append(bytes, value);
            }
            bytes.extend_from_slice(&[0, 0, OBJECT_END]);
        }
        Value::Array(values) => {
            bytes.push(STRICT_ARRAY);
            bytes.extend_from_slice(&u32::try_from(values.len()).unwrap_or(u32::MAX).to_be_bytes());
            values.iter().for_each(|value| append(bytes, value));
        }
        Value::Null => bytes.push(NULL),
    }
}

fn append_name(bytes: &mut Vec<u8>, name: &str) {
    let name = &name.as_bytes()[..name.len().min(usize::from(u16::MAX))];
    bytes.extend_from_slice(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(name);
}

// === impl Value ===

impl Value {
    /// A text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::Boolean(_) | Self::Object(_) | Self::Array(_) | Self::Null => None,
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) | Self::Boolean(_) | Self::Object(_) | Self::Array(_) | Self::Null => None,
        }
    }

    /// The member of this name, if it is an object that has one.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Object(members) => members.iter().find(|(own, _)| own == name).map(|(_, value)| value),
            Self::Number(_) | Self::Text(_) | Self::Boolean(_) | Self::Array(_) | Self::Null => None,
        }
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn value(&mut self, depth: u32) -> Result<Value, AmfError> {
        self.values += 1;
        if self.values > VALUES_MAX || depth > DEPTH_MAX {
            return Err(AmfError::TooMuch);
        }
        Ok(match self.octets::<1>()?[0] {
            NUMBER => Value::Number(f64::from_be_bytes(self.octets()?)),
            BOOLEAN => Value::Boolean(self.octets::<1>()?[0] != 0),
            STRING => Value::Text(self.name()?),
            LONG_STRING => {
                let length = u32::from_be_bytes(self.octets()?);
                Value::Text(self.text(usize::try_from(length).map_err(|_| AmfError::CutOff)?)?)
            }
            OBJECT => Value::Object(self.members(depth)?),
            ECMA_ARRAY => {
                // How many there are is a guess of the sender; the end is marked.
                self.octets::<4>()?;
                Value::Object(self.members(depth)?)
            }
            STRICT_ARRAY => {
                let count = u32::from_be_bytes(self.octets()?);
                if count > VALUES_MAX {
                    return Err(AmfError::TooMuch);
                }
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(self.value(depth + 1)?);
                }
                Value::Array(values)
            }
            DATE => {
                let milliseconds = f64::from_be_bytes(self.octets()?);
                self.octets::<2>()?;
                Value::Number(milliseconds)
            }
            NULL | UNDEFINED => Value::Null,
            marker => return Err(AmfError::Marker { marker }),
        })
    }

    fn members(&mut self, depth: u32) -> Result<Vec<(String, Value)>, AmfError> {
        let mut members = Vec::new();
        loop {
            let name = self.name()?;
            if name.is_empty() && self.rest.first() == Some(&OBJECT_END) {
                self.rest = &self.rest[1..];
                return Ok(members);
            }
            members.push((name, self.value(depth + 1)?));
        }
    }

    fn name(&mut self) -> Result<String, AmfError> {
        let length = u16::from_be_bytes(self.octets()?);
        self.text(length.into())
    }

    fn text(&mut self, length: usize) -> Result<String, AmfError> {
        let (text, rest) = self.rest.split_at_checked(length).ok_or(AmfError::CutOff)?;
        self.rest = rest;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn octets<const N: usize>(&mut self) -> Result<[u8; N], AmfError> {
        let (octets, rest) = self.rest.split_first_chunk::<N>().ok_or(AmfError::CutOff)?;
        self.rest = rest;
        Ok(*octets)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i32>().prop_map(|number| Value::Number(number.into())),
            any::<bool>().prop_map(Value::Boolean),
            "[a-zA-Z@.é]{0,12}".prop_map(Value::Text),
            Just(Value::Null),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let named = ("[a-z]{1,8}", inner.clone());
            prop_oneof![
                prop::collection::vec(named, 0..4).prop_map(Value::Object),
                prop::collection::vec(inner, 0..4).prop_map(Value::Array),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(values in prop::collection::vec(values(), 0..4)) {
            prop_assert_eq!(read(&write(&values)), Ok(values));
        }

        #[test]
        fn any_octets_are_survived(message in prop::collection::vec(prop_oneof![0_u8..16, any::<u8>()], 0..200)) {
            let _ = read(&message);
        }
    }

    #[test]
    fn bombs_are_refused() {
        // Objects within objects: 4 octets a level.
        let deep = [OBJECT, 0, 1, b'a'].repeat(100_000);
        assert_eq!(read(&deep), Err(AmfError::TooMuch));
        let wide = [NULL].repeat(1_000_000);
        assert_eq!(read(&wide), Err(AmfError::TooMuch));
        assert_eq!(read(&[STRICT_ARRAY, 0xff, 0xff, 0xff, 0xff]), Err(AmfError::TooMuch));
        assert_eq!(read(&[LONG_STRING, 0xff, 0xff, 0xff, 0xff, b'x']), Err(AmfError::CutOff));
        assert_eq!(read(&[0x07, 0, 0]), Err(AmfError::Marker { marker: 0x07 }));
    }

    #[test]
    fn a_long_text_and_an_array_of_names_are_read() {
        let long = "x".repeat(70_000);
        assert_eq!(read(&write(&[Value::Text(long.clone())])), Ok(vec![Value::Text(long)]));
        let array =
            [&[ECMA_ARRAY, 0, 0, 0, 9, 0, 1, b'w', NUMBER][..], &640_f64.to_be_bytes(), &[0, 0, OBJECT_END]].concat();
        let read = read(&array).unwrap();
        assert_eq!(read[0].member("w").and_then(Value::as_number), Some(640.0));
    }
}
