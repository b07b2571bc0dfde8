//! Which audio renditions can be chosen with which pictures, and under which names.
//!
//! One group a codec, because a player takes or leaves a variant by its `CODECS`. Groups of one type must have the same
//! members with the same attributes (RFC 8216bis section 4.4.6.1.1): a member that a codec lacks is lent by the first codec
//! that has it.

use std::collections::{BTreeSet, HashSet};

use super::{AudioRendition, is_language};
use crate::Role;

/// Renditions of which one is played at a time.
pub(super) struct AudioGroup<'a> {
    /// Its name.
    pub(super) id: String,
    /// What can be chosen, in order.
    pub(super) members: Vec<Member<'a>>,
}

/// What a viewer can choose.
pub(super) struct Member<'a> {
    pub(super) audio: &'a AudioRendition,
    pub(super) named: Named,
}

/// How a rendition is presented to viewers and players.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) language: Option<String>,
    pub(super) is_autoselect: bool,
}

/// What makes two renditions the same one in two codecs: name, language, role, and which of several such.
type Identity<'a> = (&'a str, Option<&'a str>, Role, usize);

// === impl AudioGroup ===

impl<'a> AudioGroup<'a> {
    /// Audio of all codecs.
    pub(super) fn of(audio: &'a [AudioRendition]) -> Vec<Self> {
        let identities = identities(audio);
        let mut codecs: Vec<&str> = Vec::new();
        let mut members: Vec<Identity<'_>> = Vec::new();
        for (audio, identity) in audio.iter().zip(&identities) {
            if !codecs.contains(&audio.codec.as_str()) {
                codecs.push(&audio.codec);
            }
            if !members.contains(identity) {
                members.push(*identity);
            }
        }
        let named = names(members.iter().map(|(name, language, role, _)| (*name, *language, *role)), "Audio");
        let is_one = codecs.len() == 1;
        let group = |(at, codec): (usize, &&str)| Self {
            id: if is_one { "audio".to_owned() } else { format!("audio-{}", at + 1) },
            members: members
                .iter()
                .zip(&named)
                .filter_map(|(member, named)| {
                    let all = || audio.iter().zip(&identities).filter(|(_, identity)| *identity == member);
                    let own = all().find(|(audio, _)| audio.codec == **codec).or_else(|| all().next());
                    own.map(|(audio, _)| Member { audio, named: named.clone() })
                })
                .collect(),
        };
        codecs.iter().enumerate().map(group).collect()
    }

    /// The codecs in it, in the order of their names, each once.
    pub(super) fn codecs(&self) -> BTreeSet<&'a str> {
        self.members.iter().map(|member| member.audio.codec.as_str()).collect()
    }

    /// The largest value of any member.
    pub(super) fn most(&self, of: impl Fn(&AudioRendition) -> u64) -> u64 {
        self.members.iter().map(|member| of(member.audio)).max().unwrap_or(0)
    }
}

fn identities(audio: &[AudioRendition]) -> Vec<Identity<'_>> {
    let mut taken = HashSet::new();
    audio
        .iter()
        .map(|audio| {
            let language = audio.language.as_deref().filter(|language| is_language(language));
            let mut identity = (audio.name.as_str(), language, audio.role, 0);
            while !taken.insert((audio.codec.as_str(), identity)) {
                identity.3 += 1;
            }
            identity
        })
        .collect()
}

/// Names that differ; and which of the renditions a player may choose by itself: it does so by language and
/// characteristics only, so the first of each is eligible (section 4.4.6.1, `AUTOSELECT`).
pub(super) fn names<'a>(
    renditions: impl Iterator<Item = (&'a str, Option<&'a str>, Role)>,
    nameless: &str,
) -> Vec<Named> {
    let mut names = HashSet::new();
    let mut eligible = HashSet::new();
    renditions
        .map(|(name, language, role)| Named {
            name: unique_name(name, nameless, &mut names),
            language: language.map(str::to_owned),
            is_autoselect: eligible.insert((language, role.characteristics(), role == Role::Forced)),
        })
        .collect()
}

/// `NAME` must differ within a group and cannot hold quotes or line ends.
fn unique_name(name: &str, nameless: &str, taken: &mut HashSet<String>) -> String {
    let clean: String = name.chars().filter(|&letter| letter != '"' && !letter.is_control()).collect();
    let clean = if clean.trim().is_empty() { nameless.to_owned() } else { clean };
    let unique = std::iter::once(clean.clone())
        .chain((2_u32..).map(|number| format!("{clean} {number}")))
        .find(|candidate| !taken.contains(candidate))
        .expect("the numbers do not run out");
    taken.insert(unique.clone());
    unique
}
