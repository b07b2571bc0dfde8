//! What of an asset is searched besides its title and its file name: which texts of its record, by which words and stems. Pure.
//!
//! Texts that subtitles hold are not among them: they lie in the object store, which this service reads nothing of.

use std::collections::BTreeSet;

use flame_api::metadata::{Place, Record};

use crate::{record, stems, words};

/// What the databases index of it. Both texts are words with spaces between them, which hold letters and digits only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Searched {
    /// The words of the record's texts, in their order.
    pub record_words: String,
    /// What the words of title and record come from, in the record's languages ([`crate::stems`]); each once.
    pub stems: String,
}

/// What is searched of an asset with this title and record.
pub fn of(title: &str, record: &Record) -> Searched {
    let texts: Vec<&str> = texts(record).into_iter().map(|(_, text)| text).collect();
    let record_words: Vec<String> = texts.iter().flat_map(|text| words::of(text)).collect();
    let spelt: BTreeSet<String> = texts.into_iter().chain([title]).flat_map(words::spelt).collect();
    let mut stems = BTreeSet::new();
    for language in stems::spoken(&record.in_language) {
        stems.extend(spelt.iter().flat_map(|word| language.stems(word)));
    }
    let stems: Vec<String> = stems.into_iter().collect();
    Searched { record_words: record_words.join(" "), stems: stems.join(" ") }
}

/// The texts of a record that are searched, each with the name of its field.
pub fn texts(record: &Record) -> Vec<(&'static str, &str)> {
    let mut texts: Vec<(&'static str, &str)> = Vec::new();
    let single = [
        ("alternateName", &record.alternate_name),
        ("description", &record.description),
        ("creditText", &record.credit_text),
    ];
    texts.extend(single.into_iter().filter_map(|(field, text)| Some((field, text.as_deref()?))));
    let lists = [("keywords", &record.keywords), ("genre", &record.genre)];
    texts.extend(lists.into_iter().flat_map(|(field, list)| list.iter().map(move |text| (field, text.as_str()))));
    texts.extend(record.has_part.iter().map(|chapter| ("hasPart", chapter.name.as_str())));
    for (field, agents) in record::agents(record) {
        for agent in agents {
            texts.push((field, agent.name.as_str()));
            texts.extend(agent.role_name.as_deref().map(|role| (field, role)));
        }
    }
    let shown = record.content_location.iter().map(|place| ("contentLocation", place));
    let made = record.location_created.iter().map(|place| ("locationCreated", place));
    for (field, Place { name, address, geo: _ }) in shown.chain(made) {
        texts.push((field, name.as_str()));
        texts.extend(address.as_deref().map(|address| (field, address)));
    }
    texts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_of_people_places_and_chapters_are_searched_and_the_rest_is_not() {
        let record: Record = serde_json::from_value(json!({
            "description": "Riding home",
            "keywords": ["Sea"],
            "inLanguage": ["en"],
            "identifier": [{ "propertyID": "house", "value": "hidden" }],
            "actor": [{ "name": "Ada", "roleName": "Rider", "sameAs": "https://hidden.example" }],
            "hasPart": [{ "name": "Start", "startOffset": 0.0 }],
            "locationCreated": { "name": "Bristol", "address": "Millennium Square" },
        }))
        .unwrap();
        let searched = of("Rides", &record);
        assert_eq!(searched.record_words, "riding home sea start ada rider bristol millennium square");
        let stems: Vec<&str> = searched.stems.split(' ').collect();
        assert!(stems.contains(&"enride") && stems.contains(&"ensea"), "{stems:?}");
        assert_eq!(stems.iter().filter(|stem| **stem == "enride").count(), 1, "of title and description");
    }

    #[test]
    fn without_a_language_there_are_words_and_no_stems() {
        let record = Record { keywords: vec!["Été".to_owned()], ..Record::default() };
        assert_eq!(of("Rides", &record), Searched { record_words: "ete".to_owned(), stems: String::new() });
        assert_eq!(of("Rides", &Record::default()), Searched::default());
    }
}
