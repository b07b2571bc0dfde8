//! Reads SubRip (`.srt`), which nobody specified and everybody writes.
//!
//! Only the lines with two times are trusted. Numbers are thrown away, whatever they say; empty lines neither end a
//! text nor have to; coordinates behind the times are passed over. What a text may hold is `markup`'s matter.

use crate::clock::{self, Line};
use crate::collector::{Collector, Quoted};
use crate::document::{Cue, Document};
use crate::{SubtitleError, markup};

/// A cue whose text is not yet read.
struct Open {
    line: usize,
    start_ms: u64,
    end_ms: u64,
}

/// Reads the whole file.
pub fn parse(text: &str, mut collector: Collector) -> Result<Document, SubtitleError> {
    let mut open: Option<Open> = None;
    let mut has_times = false;
    // Where the text begins that belongs to `open`, and where the line that is looked at does.
    let (mut from, mut at) = (0, 0);
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let (begins, ends) = (at, at + line.len());
        at = ends;
        let next = match clock::line(line.trim_end()) {
            Line::Text => continue,
            Line::Timed { start_ms, end_ms, .. } => Some(Open { line: number, start_ms, end_ms }),
            Line::Broken => {
                let said = Quoted(line.trim());
                let times = "not two times (00:00:01,000 --> 00:00:02,000)";
                collector.warn(number, format_args!("{times}: {said}: the cue is left out"));
                None
            }
        };
        close(open.take(), without_number(&text[from..begins]), has_times, &mut collector)?;
        (open, has_times, from) = (next, true, ends);
    }
    close(open, &text[from..], has_times, &mut collector)?;
    if !has_times && !text.trim().is_empty() {
        return Err(SubtitleError::Unrecognised);
    }
    Ok(collector.finish(None))
}

/// A text without its last line, if that is the number of the cue that begins behind it.
fn without_number(text: &str) -> &str {
    let whole = text.strip_suffix('\n').unwrap_or(text);
    let last = whole.rsplit('\n').next().unwrap_or_default();
    let number = last.trim();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { &whole[..whole.len() - last.len()] } else { text }
}

fn close(open: Option<Open>, text: &str, has_times: bool, collector: &mut Collector) -> Result<(), SubtitleError> {
    let Some(Open { line, start_ms, end_ms }) = open else {
        if !has_times && !text.trim().is_empty() {
            collector.warn(1, "what stands before the first times is left out");
        }
        return Ok(());
    };
    let read = markup::read(text);
    if read.text.is_empty() {
        collector.warn(line, "the cue has no text: it is left out");
        return Ok(());
    }
    collector.cue(line, Cue { start_ms, end_ms, id: None, settings: read.settings.to_owned(), text: read.text })
}

#[cfg(test)]
mod tests {
    use crate::{Cue, Format, SubtitleError, parse};

    fn cue(start_ms: u64, end_ms: u64, text: &str) -> Cue {
        Cue { start_ms, end_ms, text: text.to_owned(), ..Cue::default() }
    }

    #[test]
    fn odd_files_are_read() {
        let file = "\u{FEFF}1\r
00:00:01,000 --> 00:00:02,500\r
Hello\r
\r
7\r
00:00:03.000 --> 00:00:04.000  X1:100 X2:200 Y1:10 Y2:20\r
<I>no</I> empty line\r
2\r
00:00:02,000 --> 00:00:02,900\r
{\\an8}before &\r
\r
after the gap: 3 < 4 --> 5\r
\r
\r
3\r
0:0:6,5 --> 0:0:7\r
1984\r
\r
4\r
00:00:09,000 --> 00:00:08,000\r
backwards\r
\r
5\r
00:00:0x,000 --> 00:00:10,000\r
\r
6\r
00:00:11:000 --> 00:00:12,000\r
broken\r
\r
00:00:13,000 --> 00:00:14,000\r
";
        let document = parse(file.as_bytes(), None).unwrap();
        let over =
            Cue { settings: "line:0".to_owned(), ..cue(2000, 2900, "before &amp;\nafter the gap: 3 &lt; 4 --&gt; 5") };
        assert_eq!(
            document.cues,
            [cue(1000, 2500, "Hello"), over, cue(3000, 4000, "<i>no</i> empty line"), cue(6500, 7000, "1984"),]
        );
        let warned: Vec<(usize, &str)> =
            document.warnings.iter().map(|warning| (warning.line, warning.text.as_str())).collect();
        assert_eq!(warned.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [20, 27, 30], "{warned:?}");
    }

    #[test]
    fn without_times_there_is_nothing() {
        assert_eq!(parse(b"just text", Some(Format::SubRip)), Err(SubtitleError::Unrecognised));
        assert_eq!(parse(b"just text", None), Err(SubtitleError::Unrecognised));
        assert_eq!(parse(b"", None), Err(SubtitleError::Unrecognised));
        assert_eq!(parse(b" \r\n", Some(Format::SubRip)).unwrap().cues, []);
    }
}
