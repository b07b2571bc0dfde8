//! What is read of a document, and where its mistakes are.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::chain::{Cap, Rate, Sizes, Work};
use crate::shipped;

const CHAIN: &str = "\
chain: mine
about: For tests
parameters:
  crf: { default: 23, about: quality }
stages:
  source: { type: decode }
  cut: { type: crop, input: source, left: 2 }
  sizes: { type: scale, input: cut, sizes: [720, 360] }
  video: { type: encode-video, input: sizes, crf: \"${crf}\", gates: [\"track.peak_bps <= 9000000\"] }
  audio: { type: encode-audio, input: source, bitrate: 96k }
  out: { type: package, input: [video, audio] }
";

fn plain(text: &str) -> Result<Chain, DocumentError> {
    read(text, &BTreeMap::new())
}

#[test]
fn a_right_document_becomes_a_chain_in_order() {
    let chain = plain(CHAIN).unwrap();
    let names: Vec<_> = chain.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["source", "cut", "sizes", "video", "audio", "out"]);
    let video = chain.stage("video").unwrap();
    let Work::EncodeVideo(encoding) = &video.work else { panic!("{video:?}") };
    assert_eq!(encoding.rate, Rate::Quality { crf: Some(23), cap: Cap::Auto });
    assert_eq!(
        chain.path(video).iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>(),
        ["source", "cut", "sizes"]
    );
    assert_eq!(chain.stage("sizes").unwrap().work, Work::Scale(Sizes::Shorter(vec![720, 360])));
    // Also if the document is written from its end to its beginning.
    let (head, stages) = CHAIN.split_once("stages:\n").unwrap();
    let turned: Vec<&str> = stages.lines().rev().collect();
    let turned = plain(&format!("{head}stages:\n{}\n", turned.join("\n"))).unwrap();
    assert_eq!(turned.stages[0].name, "source");
    assert_eq!(turned.stages.last().unwrap().name, "out");
}

#[test]
fn parameters_are_set_by_name() {
    let set = |name: &str, value: &str| read(CHAIN, &[(name.to_owned(), value.to_owned())].into());
    assert_eq!(set("crf", "30").unwrap().parameters[0].value, "30");
    let wrong = set("crf", "99").unwrap_err();
    assert!(wrong.line == 4 && wrong.reason.contains("0 to 63"), "{wrong}");
    // Codecs count differently.
    let h264 = set("crf", "60").unwrap_err();
    assert!(h264.line == 4 && h264.reason.contains("of h264 is a whole number from 0 to 50"), "{h264}");
    let av1 = CHAIN.replace("crf: \"${crf}\"", "crf: \"${crf}\", codec: av1");
    assert!(read(&av1, &[("crf".to_owned(), "60".to_owned())].into()).is_ok());
    assert!(set("cfr", "30").unwrap_err().reason.contains("did you mean `crf`?"));
}

#[test]
fn parameters_of_stages_are_set_by_stage_and_name() {
    let set = |name: &str, value: &str| read(CHAIN, &[(name.to_owned(), value.to_owned())].into());
    let sizes = |chain: Chain| chain.stage("sizes").unwrap().work.clone();
    assert_eq!(sizes(set("sizes.sizes", "[480, 240]").unwrap()), Work::Scale(Sizes::Shorter(vec![480, 240])));
    assert_eq!(sizes(set("sizes.sizes", "480").unwrap()), Work::Scale(Sizes::Shorter(vec![480])));
    let video = |chain: Chain| match chain.stage("video").unwrap().work.clone() {
        Work::EncodeVideo(encoding) => encoding,
        other => panic!("{other:?}"),
    };
    // What the document does not say, and what it leaves to a parameter, which is still used then.
    assert_eq!(video(set("video.preset", "slow").unwrap()).preset.as_deref(), Some("slow"));
    assert_eq!(video(set("video.crf", "31").unwrap()).rate, Rate::Quality { crf: Some(31), cap: Cap::Auto });
    assert_eq!(video(set("video.gates", "[\"track.peak_bps <= 1\", \"track.samples >= 2\"]").unwrap()).gates.len(), 2);
    // As if it stood there.
    for (name, value, line, column, why) in [
        ("video.crf", "99", 9, 51, "0 to 63"),
        ("video.preset", "slwo", 9, 3, "did you mean `slow`?"),
        ("sizes.sizes", "[480, x]", 8, 44, "`x`"),
        ("sizes.sizes", "[480", 8, 44, "is no list"),
        ("audio.bitrate", "96kb", 10, 56, "bits per second"),
        ("video.cfr", "30", 9, 3, "did you mean `crf`?"),
        ("video.type", "scale", 9, 3, "no parameter `type`"),
        ("video.input", "cut", 9, 3, "no parameter `input`"),
        ("source.x", "1", 6, 3, "there are none"),
    ] {
        let error = set(name, value).expect_err(name);
        assert!(error.reason.contains(why), "{name}={value}: {error}");
        assert_eq!((error.line, error.column), (line, column), "{name}={value}: {error}");
    }
    assert!(set("vidoe.crf", "30").unwrap_err().reason.contains("did you mean `video`?"));
    let many = (0..=PARAMETERS_MAX).map(|n| (format!("video.x{n}"), "1".to_owned())).collect();
    assert!(read(CHAIN, &many).unwrap_err().reason.contains("at most 32"));
    // Also one that could not even be read, and is not.
    for (name, value) in [("crf", "1".repeat(2000)), ("video.gates", format!("[{}", "x".repeat(2000)))] {
        let reason = set(name, &value).unwrap_err().reason;
        assert!(reason.contains("more than 1024 bytes"), "{reason}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_the_word_that_was_meant() {
    for (was, becomes, line, column, why) in [
        ("type: crop", "type: corp", 7, 16, "did you mean `crop`?"),
        ("left: 2", "lfet: 2", 7, 37, "did you mean `left`?"),
        ("left: 2", "left: 3", 7, 43, "even"),
        ("sizes: [720, 360]", "sizes: [720, 361]", 8, 50, "even numbers of pixels"),
        ("sizes: [720, 360]", "sizes: clasic", 8, 44, "did you mean `classic`?"),
        ("input: sizes, crf", "input: size, crf", 9, 39, "did you mean `sizes`?"),
        ("${crf}", "${cfr}", 9, 51, "did you mean `crf`?"),
        ("track.peak_bps <= ", "track.peak_bpz <= ", 9, 69, "no gate"),
        ("track.peak_bps <= ", "vmav.p5 >= ", 9, 69, "did you mean `vmaf`?"),
        ("bitrate: 96k", "bitrate: 96kb", 10, 56, "bits per second"),
        ("bitrate: 96k", "encoder: x264", 10, 56, "avenc-aac"),
        ("crf: \"${crf}\"", "crf: \"${crf}\", codec: av1, encoder: x265", 9, 82, "svt-av1"),
        ("crf: \"${crf}\"", "crf: \"${crf}\", codec: h265", 9, 68, "hevc"),
        ("[video, audio]", "[video]", 10, 3, "nothing comes of `audio`"),
        ("[video, audio]", "[video, audio, cut]", 11, 47, "takes tracks"),
        ("input: cut, sizes", "input: sizes, sizes", 8, 32, "takes decoded media or pictures"),
        ("crf: { default: 23", "cfg: { default: 23", 9, 51, "no parameter `crf`"),
        ("about: For tests", "abut: For tests", 2, 1, "did you mean `about`?"),
        ("chain: mine", "chain: Mine", 1, 8, "no name"),
        ("  out: { type: package, input: [video, audio] }\n", "", 5, 10, ""),
        ("crf: \"${crf}\"", "crf: \"${crf}\", bitrate: 2M", 4, 19, "exclude each other"),
    ] {
        let wrong = CHAIN.replacen(was, becomes, 1);
        assert_ne!(wrong, CHAIN, "{was}");
        let error = plain(&wrong).expect_err(becomes);
        assert!(error.reason.contains(why), "{becomes}: {error}");
        // Where a stage is missing, the place is about the whole.
        if !becomes.is_empty() {
            assert_eq!((error.line, error.column), (line, column), "{becomes}: {error}");
        }
    }
}

#[test]
fn gates_that_would_compare_what_cannot_be_compared_are_refused() {
    let wrong = plain(&CHAIN.replace("track.peak_bps <= 9000000", "psnr_y.p5 >= 30")).unwrap_err();
    assert!(wrong.reason.contains("`cut` (crop) changes the pictures"), "{wrong}");
    assert!(
        plain(&CHAIN.replace("track.peak_bps <= 9000000", "psnr_y.p5 >= 30").replace("left: 2", "left: 0")).is_ok()
    );
    let sound = CHAIN.replace("bitrate: 96k", "gates: [\"psnr_y.p5 >= 30\"]");
    assert!(plain(&sound).unwrap_err().reason.contains("makes sound"));
    // What is found without a reference is of either kind.
    let loud = CHAIN.replace("bitrate: 96k", "gates: [\"loudness.integrated >= -24\"]");
    assert!(plain(&loud).is_ok());
    let dark = CHAIN.replace("bitrate: 96k", "gates: [\"black.total_s <= 1\"]");
    assert!(plain(&dark).unwrap_err().reason.contains("is about pictures"));
    let deaf = CHAIN.replace("track.peak_bps <= 9000000", "loudness.integrated >= -24");
    assert!(plain(&deaf).unwrap_err().reason.contains("is about sound"));
}

#[test]
fn loudness_stands_before_the_encoder() {
    let loud = CHAIN
        .replace("bitrate: 96k", "bitrate: 96k, input: loud")
        .replace("encode-audio, input: source,", "encode-audio,")
        .replace("  out:", "  loud: { type: loudness, input: source, target: -16, true_peak: \"-1.5\" }\n  out:");
    let chain = plain(&loud).unwrap();
    let wanted = crate::chain::Loudness { target_lufs: -16.0, true_peak_max_dbtp: -1.5 };
    assert_eq!(chain.stage("loud").unwrap().work, Work::Loudness(wanted));
    let wrong = plain(&loud.replace("target: -16", "target: 16")).unwrap_err();
    assert!(wrong.reason.contains("a level from -40 to -8"), "{wrong}");
}

#[test]
fn all_tracks_that_players_switch_between_show_the_same() {
    let two = CHAIN.replace("[video, audio]", "[video, audio, other]")
        + "  other: { type: encode-video, input: source, crf: 40 }\n";
    let wrong = plain(&two).unwrap_err();
    assert!(wrong.line == 12 && wrong.reason.contains("same pictures"), "{wrong}");
    assert!(plain(&two.replace("input: source, crf: 40", "input: cut, crf: 40")).is_ok());
}

proptest! {
    /// Whatever is done to a right document, it is read or refused with a place in it.
    #[test]
    fn a_damaged_document_is_read_or_refused(
        which in 0..shipped::ALL.len(), at in 0_usize..2000, length in 0_usize..12, put in "[a-z:{}\\[\\], \n$\"0-9]{0,6}",
    ) {
        let text = shipped::ALL[which].text;
        let at = text.floor_char_boundary(at % text.len());
        let end = text.floor_char_boundary((at + length).min(text.len()));
        let damaged = format!("{}{put}{}", &text[..at], &text[end..]);
        if let Err(error) = plain(&damaged) {
            prop_assert!(error.line >= 1 && !error.reason.is_empty(), "{}", error);
        }
    }
}
