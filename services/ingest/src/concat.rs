//! `Upload-Concat` (tus 1.0, concatenation extension): which upload is a part of which. Pure: it reads and compares, and
//! looks nothing up.

use flame_api::ingest::ConcatRole;
use uuid::Uuid;

/// What an upload has to do with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Concat {
    /// It is to be a part of another one.
    Partial,
    /// It is made of partial ones. The header as it came, which every HEAD gives back.
    Final(String),
}

/// An `Upload-Concat` that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConcatError {
    /// Neither of the two forms.
    #[error("Upload-Concat is `partial`, or `final;` and the URLs of partial uploads with spaces between")]
    Form,
    /// Something in the list that is no URL of an upload here.
    #[error("Upload-Concat: `{0}` is no URL of an upload of this service")]
    Url(String),
    /// One upload twice.
    #[error("Upload-Concat: {0} stands there twice; a partial upload becomes part of one upload, once")]
    Twice(Uuid),
    /// More than are taken.
    #[error("Upload-Concat names more than {max} partial uploads (limits.max_partials)")]
    TooMany {
        /// The bound.
        max: usize,
    },
}

const PARTIAL: &str = "partial";
const FINAL: &str = "final;";

// === impl Concat ===

impl Concat {
    /// Reads the header; of a final upload also the partial ones, in order, at most `max`.
    pub fn parse(header: &str, max: usize) -> Result<(Self, Vec<Uuid>), ConcatError> {
        let header = header.trim();
        if header == PARTIAL {
            return Ok((Self::Partial, Vec::new()));
        }
        let list = header.strip_prefix(FINAL).ok_or(ConcatError::Form)?;
        let mut partials = Vec::new();
        for url in list.split_ascii_whitespace() {
            let id = upload_of(url).ok_or_else(|| ConcatError::Url(url.chars().take(200).collect()))?;
            if partials.contains(&id) {
                return Err(ConcatError::Twice(id));
            }
            if partials.len() == max {
                return Err(ConcatError::TooMany { max });
            }
            partials.push(id);
        }
        if partials.is_empty() { Err(ConcatError::Form) } else { Ok((Self::Final(header.to_owned()), partials)) }
    }

    /// The one that [`as_str`](Self::as_str) gave.
    #[must_use]
    pub fn stored(text: &str) -> Option<Self> {
        if text == PARTIAL {
            Some(Self::Partial)
        } else {
            text.starts_with(FINAL).then(|| Self::Final(text.to_owned()))
        }
    }

    /// The header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Partial => PARTIAL,
            Self::Final(header) => header,
        }
    }

    /// What callers see of it.
    #[must_use]
    pub fn role(&self) -> ConcatRole {
        match self {
            Self::Partial => ConcatRole::Partial,
            Self::Final(_) => ConcatRole::Final,
        }
    }
}

/// The upload that a URL names, absolute or not: clients send what they made of `Location`, through whatever proxy.
fn upload_of(url: &str) -> Option<Uuid> {
    let path = url.split(['?', '#']).next()?;
    let (before, id) = path.rsplit_once('/')?;
    (before == "uploads" || before.ends_with("/uploads")).then(|| id.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "0192f7a0-0000-7000-8000-00000000000a";
    const B: &str = "0192f7a0-0000-7000-8000-00000000000b";

    #[test]
    fn both_forms_are_read() {
        assert_eq!(Concat::parse("partial", 9), Ok((Concat::Partial, vec![])));
        let header = format!("final;/uploads/{A} https://media.example/~ingest/uploads/{B}");
        let (concat, partials) = Concat::parse(&header, 9).unwrap();
        assert_eq!(partials, [A.parse::<Uuid>().unwrap(), B.parse().unwrap()]);
        assert_eq!(concat.as_str(), header);
        assert_eq!(Concat::stored(concat.as_str()), Some(concat));
        assert_eq!(Concat::stored("partial"), Some(Concat::Partial));
    }

    #[test]
    fn what_is_neither_is_named() {
        for form in ["", "parts", "final", "final;", "final; ", "Partial"] {
            assert_eq!(Concat::parse(form, 9), Err(ConcatError::Form), "{form}");
        }
        for url in ["/uploads/1", "/files/0192f7a0-0000-7000-8000-00000000000a", A] {
            assert_eq!(Concat::parse(&format!("final;{url}"), 9), Err(ConcatError::Url(url.to_owned())));
        }
        let twice = Concat::parse(&format!("final;/uploads/{A} /uploads/{A}"), 9);
        assert_eq!(twice, Err(ConcatError::Twice(A.parse().unwrap())));
        assert_eq!(Concat::parse(&format!("final;/uploads/{A} /uploads/{B}"), 1), Err(ConcatError::TooMany { max: 1 }));
    }

    proptest! {
        #[test]
        fn survives_any_header(header in "(final;)?.{0,200}") {
            if let Ok((_, partials)) = Concat::parse(&header, 4) {
                prop_assert!(partials.len() <= 4);
            }
        }
    }
}
