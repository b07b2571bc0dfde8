//! `flame asset sound`, and what `flame asset show` says of sounds.

use anyhow::anyhow;
use flame_api::Client;
use flame_api::media::{self, AudioStream, Track};
use flame_api::metadata::{Asset, AssetPatch, SoundLabel};

use crate::args::{Global, Sound, SoundRole};
use crate::exit::Exit;
use crate::output;

/// Says something of one sound, over what was said before.
pub async fn label(global: &Global, client: &Client, args: Sound) -> Result<(), Exit> {
    let Sound { id, sound, language, role, title, forget } = args;
    let asset = client.asset(id).await?.ok_or_else(|| Exit::failed(anyhow!("there is no asset {id}")))?;
    if !asset.probe.sounds().any(|stream| stream.number == sound) {
        let numbers: Vec<String> = asset.probe.sounds().map(|stream| stream.number.to_string()).collect();
        let has = if numbers.is_empty() { "no sound".to_owned() } else { format!("only {}", numbers.join(", ")) };
        return Err(Exit::failed(anyhow!("asset {id} has no sound {sound}: it has {has}")));
    }
    let said = SoundLabel { sound, language, role: role.map(media::SoundRole::from), title };
    let patch = AssetPatch { sound_labels: Some(labels(&asset.sound_labels, said, forget)), ..AssetPatch::default() };
    let asset = client.patch_asset(id, asset.revision, &patch).await?;
    if global.json {
        return output::print_json(&asset);
    }
    asset
        .probe
        .sounds()
        .filter(|stream| stream.number == sound)
        .try_for_each(|stream| output::print_line(&format!("sound {sound} of {id}: {}", describe(&asset, stream))))
}

/// All labels with `said` in them: over what was said of the same sound before, or instead of it.
fn labels(before: &[SoundLabel], said: SoundLabel, forget: bool) -> Vec<SoundLabel> {
    let old = before.iter().find(|label| label.sound == said.sound && !forget).cloned();
    let mut labels: Vec<_> = before.iter().filter(|label| label.sound != said.sound).cloned().collect();
    let old = old.unwrap_or(SoundLabel { sound: said.sound, language: None, role: None, title: None });
    let label = SoundLabel {
        sound: said.sound,
        language: said.language.or(old.language),
        role: said.role.or(old.role),
        title: said.title.or(old.title),
    };
    if (&label.language, label.role, &label.title) != (&None, None, &None) {
        labels.push(label);
    }
    labels.sort_by_key(|label| label.sound);
    labels
}

/// An audio stream of the source, as it is offered: `aac 48000 Hz, 2 channels, de, commentary, "Regie"`.
pub fn describe(asset: &Asset, stream: &AudioStream) -> String {
    let label = asset.sound_labels.iter().find(|label| label.sound == stream.number);
    let language = label.and_then(|label| label.language.as_ref()).or(stream.language.as_ref());
    let role = label.and_then(|label| label.role).unwrap_or(stream.role);
    let title = label.and_then(|label| label.title.as_ref()).or(stream.title.as_ref());
    let facts = format!("{} {} Hz, {} channels", stream.codec, stream.sample_rate_hz, stream.channels);
    with_words(facts, language, role, title)
}

/// What a track of sound is, for the table of tracks.
pub fn channels(track: &Track, channels: u16) -> String {
    with_words(format!("{channels} channels"), track.language.as_ref(), track.role, track.title.as_ref())
}

fn with_words(facts: String, language: Option<&String>, role: media::SoundRole, title: Option<&String>) -> String {
    let role = (role != media::SoundRole::Main).then(|| role.word().to_owned());
    let title = title.map(|title| format!("\"{title}\""));
    std::iter::once(facts).chain(language.cloned()).chain(role).chain(title).collect::<Vec<_>>().join(", ")
}

impl From<SoundRole> for media::SoundRole {
    fn from(role: SoundRole) -> Self {
        match role {
            SoundRole::Main => Self::Main,
            SoundRole::Alternate => Self::Alternate,
            SoundRole::Dub => Self::Dub,
            SoundRole::Commentary => Self::Commentary,
            SoundRole::Description => Self::Description,
            SoundRole::ClearSpeech => Self::ClearSpeech,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(sound: u32, language: Option<&str>, title: Option<&str>) -> SoundLabel {
        SoundLabel { sound, language: language.map(str::to_owned), role: None, title: title.map(str::to_owned) }
    }

    #[test]
    fn what_is_said_lies_over_what_was_said() {
        let before = [label(0, Some("en"), None), label(2, Some("fr"), Some("VF"))];
        let after = labels(&before, label(2, Some("fr-CA"), None), false);
        assert_eq!(after, [label(0, Some("en"), None), label(2, Some("fr-CA"), Some("VF"))]);
        assert_eq!(labels(&before, label(2, Some("fr-CA"), None), true)[1], label(2, Some("fr-CA"), None));
        assert_eq!(labels(&before, label(2, None, None), true), before[..1]);
        assert_eq!(labels(&before, label(1, Some("de"), None), false)[1], label(1, Some("de"), None));
    }
}
