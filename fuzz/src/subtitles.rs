//! What people bring to be read along with an asset: files of three formats, and the language that they say.

use flame_subtitles::{CUES_MAX, Timeline, WARNINGS_MAX, language, parse, parsers, segments};

use crate::fields::text;

/// The first byte picks what the sender calls the file; the rest is the file.
pub fn document(data: &[u8]) {
    let Some(document) = parsers::document(data) else { return };
    assert!(document.cues.len() <= CUES_MAX && document.warnings.len() <= WARNINGS_MAX + 1);
    assert!(document.cues.is_sorted_by_key(|cue| cue.start_ms));
    let written = document.to_webvtt();
    let again = parse(written.as_bytes(), None).expect("what is written can be read");
    assert!(again.warnings.is_empty(), "{:?}\n{written}", again.warnings);
    assert_eq!((&again.language, &again.cues, &again.header), (&document.language, &document.cues, &document.header));

    // Cut anywhere, each part shows what the whole shows, and nothing else.
    let boundaries_ms = [0, 1500, 4000, u64::MAX];
    let made = segments(&document, &boundaries_ms, Timeline::FROM_ZERO);
    for (made, span) in made.zip(boundaries_ms.windows(2)) {
        let part = parse(made.as_bytes(), None).expect("a segment is a file").cues;
        let shown = document.cues.iter().filter(|cue| cue.start_ms < span[1] && cue.end_ms > span[0]);
        assert!(part.iter().eq(shown), "{span:?}\n{made}");
    }
}

pub fn language_tag(data: &[u8]) {
    let Some(canonical) = text(data).and_then(parsers::language_tag) else { return };
    assert!(canonical.is_ascii(), "{canonical}");
    assert_eq!(language::canonical(&canonical).as_ref(), Ok(&canonical));
}
