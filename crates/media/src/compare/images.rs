//! Pictures that are a file each, with a number in their name. All of them must be there: FFmpeg would end at a hole, or jump over it,
//! and the frames behind it would be taken for others.

use std::path::Path;

use crate::fault::MediaError;

/// Kinds of files that are read, by their extension.
const EXTENSIONS: [&str; 9] = ["bmp", "dpx", "jpeg", "jpg", "pgm", "png", "ppm", "tif", "tiff"];
/// Most digits of a number.
const DIGITS_MAX: usize = 9;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// As FFmpeg is told it: `file:` and the path with the number's place.
    pub(super) address: String,
    /// The first number.
    pub(super) first: u32,
}

/// A name with a place for a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pattern<'a> {
    before: &'a str,
    after: &'a str,
    /// Digits that a number has at least, with zeros in front; none for a number without.
    digits: usize,
}

/// Looks which pictures there are: `frames/shot-%04d.png`.
pub(super) fn find(input: &str) -> Result<Found, MediaError> {
    let path = Path::new(input);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let pattern = Pattern::of(&name).ok_or_else(|| {
        MediaError::input(format!(
            "{input} does not say where the pictures' number is: a name such as shot-%04d.png, with one %d or %0Nd (N of 1 to {DIGITS_MAX})"
        ))
    })?;
    let extension = path.extension().map(|text| text.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    if !EXTENSIONS.contains(&extension.as_str()) {
        return Err(MediaError::input(format!("{input}: pictures of these kinds are read: {}", EXTENSIONS.join(", "))));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed =
        |error: &std::io::Error| MediaError::environment(format!("cannot look into {}: {error}", folder.display()));
    let (mut count, mut first, mut last) = (0_u32, u32::MAX, 0);
    for entry in std::fs::read_dir(folder).map_err(|error| failed(&error))? {
        let name = entry.map_err(|error| failed(&error))?.file_name();
        if let Some(number) = name.to_str().and_then(|name| pattern.number(name)) {
            (count, first, last) = (count + 1, first.min(number), last.max(number));
        }
    }
    if count == 0 {
        return Err(MediaError::input(format!("no file is called like {input}")));
    }
    let missing = last - first + 1 - count;
    if missing > 0 {
        return Err(MediaError::input(format!(
            "{missing} of the pictures {input} from number {first} to {last} are missing: what is behind a hole would be compared with \
             something else"
        )));
    }
    // A percent sign of the folder is no number's place.
    let folder = folder.to_string_lossy().replace('%', "%%");
    Ok(Found { address: format!("file:{folder}/{name}"), first })
}

// === impl Pattern ===

impl<'a> Pattern<'a> {
    /// Of a name with one number in it.
    fn of(name: &'a str) -> Option<Self> {
        let (before, rest) = name.split_once('%')?;
        let (digits, after) = rest.split_once('d')?;
        let digits = match digits.strip_prefix('0') {
            Some(digits) => digits.parse().ok().filter(|digits| (1..=DIGITS_MAX).contains(digits))?,
            None if digits.is_empty() => 0,
            None => return None,
        };
        Some(Self { before, after, digits }).filter(|_| !after.contains('%'))
    }

    /// The number of a file with this name, if it is one of them; a number has one name.
    fn number(&self, name: &str) -> Option<u32> {
        let digits = name.strip_prefix(self.before)?.strip_suffix(self.after)?;
        let is_written_so = if digits.len() > self.digits.max(1) {
            !digits.starts_with('0')
        } else {
            digits.len() == self.digits.max(1)
        };
        let is_number = is_written_so && digits.len() <= DIGITS_MAX && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| is_number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_name() {
        let padded = Pattern::of("shot-%03d.png").expect("it is one");
        for (name, number) in [
            ("shot-007.png", Some(7)),
            ("shot-1000.png", Some(1000)),
            ("shot-0007.png", None),
            ("shot-07.png", None),
            ("shot-.png", None),
            ("shot-+07.png", None),
            ("shot-007.jpg", None),
            ("other-007.png", None),
            ("shot-9999999999.png", None),
        ] {
            assert_eq!(padded.number(name), number, "{name}");
        }
        let plain = Pattern::of("%d.png").expect("it is one");
        assert_eq!([plain.number("0.png"), plain.number("12.png"), plain.number("012.png")], [Some(0), Some(12), None]);
    }

    #[test]
    fn names_without_one_number_are_none() {
        for name in ["shot.png", "shot-%s.png", "%03d-%03d.png", "%4d.png", "%00d.png", "%010d.png", "%%d.png", ""] {
            assert_eq!(Pattern::of(name), None, "{name}");
        }
    }
}
