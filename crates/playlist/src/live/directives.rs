//! What a viewer asks a live playlist for in its query (draft-ietf-hls-rfc8216bis section 6.2.5).

use super::Position;

/// What a viewer asks a playlist for (section 6.2.5): values of `_HLS_msn`, `_HLS_part`, `_HLS_skip`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Directives {
    /// The answer is to have this.
    pub wait: Option<Position>,
    /// Segments of long ago may be left out.
    pub skip: bool,
}

/// Directives that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDirectives {
    /// A value is no number.
    #[error("{name} must be a decimal number, not {value:?}")]
    Number {
        /// Which.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// `_HLS_part` goes with `_HLS_msn` only.
    #[error("_HLS_part needs _HLS_msn")]
    PartAlone,
    /// Only `YES` and `v2` are defined.
    #[error("_HLS_skip must be YES or v2, not {value:?}")]
    Skip {
        /// Its value.
        value: String,
    },
    /// What is named twice could mean either.
    #[error("{name} is there twice")]
    Twice {
        /// Which.
        name: &'static str,
    },
}

/// Reads the directives of a query string; other arguments are not looked at.
///
/// # Errors
/// [`BadDirectives`].
pub fn directives(query: &str) -> Result<Directives, BadDirectives> {
    let (mut number, mut part, mut skip) = (None, None, None);
    for argument in query.split('&') {
        let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
        let (slot, name) = match name {
            "_HLS_msn" => (&mut number, "_HLS_msn"),
            "_HLS_part" => (&mut part, "_HLS_part"),
            "_HLS_skip" => (&mut skip, "_HLS_skip"),
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return Err(BadDirectives::Twice { name });
        }
    }
    let skip = match skip {
        None => false,
        Some("YES" | "v2") => true,
        Some(value) => return Err(BadDirectives::Skip { value: value.to_owned() }),
    };
    let number = number.map(|value| decimal("_HLS_msn", value)).transpose()?;
    let part = part.map(|value| decimal("_HLS_part", value)).transpose()?;
    match (number, part) {
        (None, Some(_)) => Err(BadDirectives::PartAlone),
        (number, part) => Ok(Directives { wait: number.map(|number| Position { number, part }), skip }),
    }
}

fn decimal(name: &'static str, value: &str) -> Result<u64, BadDirectives> {
    let is_decimal = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let bad = || BadDirectives::Number { name, value: value.chars().take(40).collect() };
    if is_decimal { value.parse().map_err(|_| bad()) } else { Err(bad()) }
}
