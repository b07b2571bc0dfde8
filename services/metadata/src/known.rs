//! What an asset is known by: to others an identifier of a scheme, or the digest of its source; here its id. Pure.

use flame_api::metadata::BATCH_MAX;
use uuid::Uuid;

use crate::limits::Refused;
use crate::record::TEXT_MAX_CHARS;

/// Something that others know assets by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownBy {
    /// One of `record.identifier`.
    Identifier {
        /// Its `propertyID`.
        scheme: String,
        /// Its `value`.
        value: String,
    },
    /// The SHA-256 of the source, lower-case hex.
    Sha256(String),
    /// Several ids, each once.
    Ids(Vec<Uuid>),
}

// === impl KnownBy ===

impl KnownBy {
    /// Reads `SCHEME:VALUE`; the first colon ends the scheme.
    pub fn identifier(text: &str) -> Result<Self, Refused> {
        let refused = |reason: String| Refused { field: "identifier".to_owned(), reason };
        let is_text = |text: &str| !text.is_empty() && text.chars().count() <= TEXT_MAX_CHARS && !text.contains('\0');
        match text.split_once(':').filter(|(scheme, value)| is_text(scheme) && is_text(value)) {
            Some((scheme, value)) => Ok(Self::Identifier { scheme: scheme.to_owned(), value: value.to_owned() }),
            None => Err(refused(format!(
                "must be a scheme, a colon and a value such as `EIDR:10.5240/1`, each of 1 to {TEXT_MAX_CHARS} characters"
            ))),
        }
    }

    /// Reads ids with commas between them.
    pub fn ids(text: &str) -> Result<Self, Refused> {
        let refused = |reason: String| Refused { field: "ids".to_owned(), reason };
        if text.split(',').count() > BATCH_MAX {
            return Err(refused(format!("must have at most {BATCH_MAX} ids")));
        }
        let read = |id: &str| id.trim().parse().map_err(|_| refused(format!("`{}` is no id", id.trim())));
        let mut ids: Vec<Uuid> = text.split(',').map(read).collect::<Result<_, _>>()?;
        ids.sort_unstable();
        ids.dedup();
        Ok(Self::Ids(ids))
    }

    /// Reads a digest.
    pub fn sha256(text: &str) -> Result<Self, Refused> {
        let is_digit = |symbol: char| symbol.is_ascii_digit() || ('a'..='f').contains(&symbol);
        if text.len() == 64 && text.chars().all(is_digit) {
            return Ok(Self::Sha256(text.to_owned()));
        }
        Err(Refused { field: "sha256".to_owned(), reason: "must be 64 lower-case hexadecimal digits".to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_once_each_and_bounded() {
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(KnownBy::ids(&format!("{b}, {a},{b}")), Ok(KnownBy::Ids(vec![a, b])));
        for wrong in ["", ",", "x", &format!("{a},")] {
            assert!(KnownBy::ids(wrong).is_err(), "{wrong:?}");
        }
        let many = |count: usize| vec![a.to_string(); count].join(",");
        assert!(KnownBy::ids(&many(BATCH_MAX)).is_ok() && KnownBy::ids(&many(BATCH_MAX + 1)).is_err());
    }

    #[test]
    fn the_first_colon_ends_the_scheme() {
        let read = KnownBy::identifier("house:a:b").unwrap();
        assert_eq!(read, KnownBy::Identifier { scheme: "house".to_owned(), value: "a:b".to_owned() });
        for wrong in ["", "house", ":x", "x:", "x:\0"] {
            assert!(KnownBy::identifier(wrong).is_err(), "{wrong:?}");
        }
        assert!(KnownBy::sha256(&"ab".repeat(32)).is_ok());
        assert!(KnownBy::sha256(&"AB".repeat(32)).is_err() && KnownBy::sha256("ab").is_err());
    }
}
