//! Assets in the forms that others read and write: schema.org JSON-LD, and the columns of a CSV manifest. Pure.
//!
//! What was written is read again to the same: `@type` and what else only JSON-LD needs is taken away, and facts that the service
//! measured itself are left out of what is read. A row of CSV shows less than there is (of people their names): what stands in it as
//! it would be written of the asset as it is says nothing new, and takes nothing away.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use flame_api::metadata::{Asset, Record};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Columns of a CSV manifest that are facts, and are passed over when it is read.
const FACTS: [&str; 8] =
    ["state", "file_name", "size_bytes", "duration_s", "width", "height", "created_at", "revision"];
/// Columns of texts of the record.
const TEXTS: [&str; 8] = [
    "description",
    "alternateName",
    "dateCreated",
    "datePublished",
    "license",
    "creditText",
    "copyrightNotice",
    "contentRating",
];
/// Columns of lists of texts of the record: items have `|` between them.
const LISTS: [&str; 3] = ["keywords", "genre", "inLanguage"];
/// Columns of people of the record: their names.
const PEOPLE: [&str; 5] = ["creator", "director", "actor", "publisher", "copyrightHolder"];

/// What one entry of an import says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entry {
    pub id: Option<Uuid>,
    pub sha256: Option<String>,
    pub title: Option<String>,
    /// A merge patch of the record.
    pub record: Map<String, Value>,
    /// A merge patch of the fields of one's own.
    pub custom: Map<String, Value>,
    /// A file or URL to bring in where the catalogue has no such asset.
    pub source: Option<String>,
    /// All of it, where it was written as NDJSON by `flame asset export`.
    pub whole: Option<Box<Asset>>,
    /// The cells, where it was a row of CSV.
    cells: BTreeMap<String, String>,
}

// === impl Entry ===

impl Entry {
    /// What others call it: scheme and value, with a colon between them.
    pub fn identifiers(&self) -> Vec<String> {
        let list = self.record.get("identifier").and_then(Value::as_array).into_iter().flatten();
        let text = |one: &Value, name: &str| one.get(name).and_then(Value::as_str).map(str::to_owned);
        list.filter_map(|one| Some(format!("{}:{}", text(one, "propertyID")?, text(one, "value")?))).collect()
    }

    /// Reads a line of NDJSON: a whole asset as it was exported, or `title`, `record`, `custom`, `id`, `sha256`, `path` or `url`.
    pub fn of_json(line: &str) -> anyhow::Result<Self> {
        let value: Value = serde_json::from_str(line).context("this is no JSON")?;
        if value.get("@type").is_some() {
            return Self::of_json_ld(&value);
        }
        if value.get("source").is_some_and(Value::is_object) {
            let asset: Asset = serde_json::from_value(value).context("this is no asset")?;
            let members = |value: Value| match value {
                Value::Object(members) => members,
                _ => Map::new(),
            };
            return Ok(Self {
                id: Some(asset.id),
                sha256: Some(asset.source.sha256.clone()),
                title: Some(asset.title.clone()),
                record: members(serde_json::to_value(&asset.record)?),
                custom: asset.custom.clone(),
                source: None,
                whole: Some(Box::new(asset)),
                cells: BTreeMap::new(),
            });
        }
        let Value::Object(members) = value else { bail!("an entry is a JSON object") };
        let mut entry = Self::default();
        for (name, value) in members {
            match (name.as_str(), value) {
                ("record", Value::Object(record)) => entry.record = record,
                ("custom", Value::Object(custom)) => entry.custom = custom,
                (name, Value::String(text)) => entry.column(name, &text)?,
                (name, _) => bail!("`{name}` is not understood"),
            }
        }
        Ok(entry)
    }

    /// Reads a `VideoObject`.
    pub fn of_json_ld(object: &Value) -> anyhow::Result<Self> {
        ensure!(object["@type"] == "VideoObject", "`@type` is {}, and only VideoObject is read", object["@type"]);
        let text = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
        let mut entry =
            Self { title: text("name"), sha256: text("sha256"), source: text("contentUrl"), ..Self::default() };
        entry.id = text("@id").and_then(|id| id.strip_prefix("urn:uuid:")?.parse().ok());
        let Value::Object(members) = untyped(object.clone()) else { bail!("a VideoObject is a JSON object") };
        for (name, value) in members {
            if name == "additionalProperty" {
                let list = value.as_array().cloned().unwrap_or_default();
                for property in list {
                    if let (Some(name), Some(value)) = (property["name"].as_str(), property.get("value")) {
                        entry.custom.insert(name.to_owned(), value.clone());
                    }
                }
            } else if Record::has_member(&name) {
                entry.record.insert(name, value);
            }
        }
        Ok(entry)
    }

    /// Reads a row of a CSV manifest.
    pub fn of_row(columns: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let mut entry = Self { cells: columns.clone(), ..Self::default() };
        for (name, text) in columns.iter().filter(|(_, text)| !text.is_empty()) {
            entry.column(name, text)?;
        }
        Ok(entry)
    }

    /// What it says that is not so of the asset yet. Cells that are as [`row`] writes them are left out; of a list of people that
    /// is another, those whose names were there stay what they were.
    pub fn over(&self, asset: &Asset) -> anyhow::Result<Self> {
        let mut entry = self.clone();
        if entry.cells.is_empty() {
            return Ok(entry);
        }
        let written = header().into_iter().zip(row(asset)?);
        let same = written.filter(|(name, cell)| self.cells.get(*name).is_some_and(|said| said == cell.trim()));
        for (name, _) in same {
            drop(entry.record.remove(name));
            if name == "title" {
                entry.title = None;
            }
        }
        let record = serde_json::to_value(&asset.record)?;
        for name in PEOPLE {
            let there = record[name].as_array();
            let known = |one: &Value| there.into_iter().flatten().find(|known| known["name"] == one["name"]);
            for one in entry.record.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(known) = known(one) {
                    *one = known.clone();
                }
            }
        }
        Ok(entry)
    }

    fn column(&mut self, name: &str, text: &str) -> anyhow::Result<()> {
        let items = || items(text).into_iter();
        match name {
            "id" => self.id = Some(text.parse().with_context(|| format!("`id` is {text}, and no UUID"))?),
            "title" => self.title = Some(text.to_owned()),
            "sha256" => self.sha256 = Some(text.to_owned()),
            "path" | "url" => self.source = Some(text.to_owned()),
            "identifier" => {
                let one = |item: String| {
                    let (scheme, value) = item.split_once(':').context("`identifier` is SCHEME:VALUE|…")?;
                    Ok(json!({ "propertyID": scheme, "value": value }))
                };
                let list: anyhow::Result<Vec<Value>> = items().map(one).collect();
                self.record.insert(name.to_owned(), list?.into());
            }
            "custom" => {
                let custom = serde_json::from_str(text).context("`custom` is a JSON object")?;
                self.custom.extend::<Map<String, Value>>(custom);
            }
            name if TEXTS.contains(&name) => drop(self.record.insert(name.to_owned(), text.into())),
            name if LISTS.contains(&name) => drop(self.record.insert(name.to_owned(), items().collect())),
            name if PEOPLE.contains(&name) => {
                let people = items().map(|item| json!({ "name": item })).collect();
                self.record.insert(name.to_owned(), people);
            }
            name if FACTS.contains(&name) => {}
            name => bail!(
                "the column `{name}` is not known; there are id, title, identifier, sha256, path, url, custom, {}",
                columns()
            ),
        }
        Ok(())
    }
}

/// The items of a cell: `|` stands between them, and `\|` and `\\` for what they are.
fn items(cell: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut symbols = cell.chars().peekable();
    while let Some(symbol) = symbols.next() {
        match (symbol, items.last_mut()) {
            ('|', _) => items.push(String::new()),
            ('\\', Some(item)) => item.push(symbols.next_if(|next| ['|', '\\'].contains(next)).unwrap_or('\\')),
            (symbol, Some(item)) => item.push(symbol),
            (_, None) => {}
        }
    }
    items.iter().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

/// A cell of these items, as [`items`] reads it.
fn cell_of(items: impl Iterator<Item = String>) -> String {
    items.map(|item| item.replace('\\', "\\\\").replace('|', "\\|")).collect::<Vec<_>>().join("|")
}

fn columns() -> String {
    [&TEXTS[..], &LISTS, &PEOPLE].concat().join(", ")
}

/// The same without `@type`, `@id` and `@context`.
fn untyped(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(name, _)| !name.starts_with('@'))
            .map(|(name, value)| (name, untyped(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(untyped).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

/// The columns of an export.
pub fn header() -> Vec<&'static str> {
    let first = ["id", "title", "identifier", "sha256"];
    [&first[..], &FACTS, &TEXTS, &LISTS, &PEOPLE, &["custom"]].concat()
}

/// The row of an asset, in the order of [`header`].
#[allow(clippy::cast_precision_loss, reason = "a duration for people")]
pub fn row(asset: &Asset) -> anyhow::Result<Vec<String>> {
    let record = serde_json::to_value(&asset.record)?;
    let asset_value = serde_json::to_value(asset)?;
    let video = asset.probe.video.as_ref();
    let list = |value: &Value, text: &dyn Fn(&Value) -> Option<String>| {
        cell_of(value.as_array().into_iter().flatten().filter_map(text))
    };
    let plain = |value: &Value| value.as_str().map(str::to_owned);
    let cell = |name: &str| match name {
        "identifier" => {
            list(&record[name], &|one| Some(format!("{}:{}", plain(&one["propertyID"])?, plain(&one["value"])?)))
        }
        "sha256" => asset.source.sha256.clone(),
        "file_name" => asset.source.file_name.clone().unwrap_or_default(),
        "size_bytes" => asset.source.size_bytes.to_string(),
        "duration_s" => format!("{:.3}", asset.probe.duration_ms as f64 / 1000.0),
        "width" => video.map(|video| video.display_width.to_string()).unwrap_or_default(),
        "height" => video.map(|video| video.display_height.to_string()).unwrap_or_default(),
        "custom" if asset.custom.is_empty() => String::new(),
        "custom" => Value::Object(asset.custom.clone()).to_string(),
        name if TEXTS.contains(&name) => plain(&record[name]).unwrap_or_default(),
        name if LISTS.contains(&name) => list(&record[name], &plain),
        name if PEOPLE.contains(&name) => list(&record[name], &|one| plain(&one["name"])),
        name => asset_value[name].as_str().map_or_else(|| asset_value[name].to_string(), str::to_owned),
    };
    Ok(header().into_iter().map(cell).collect())
}

/// The asset as a `VideoObject`; `url` is where it plays, if it does.
#[allow(clippy::cast_precision_loss, reason = "a duration has three decimals")]
pub fn json_ld(asset: &Asset, url: Option<&str>) -> anyhow::Result<Value> {
    let mut object = Map::new();
    object.insert("@type".to_owned(), "VideoObject".into());
    object.insert("@id".to_owned(), format!("urn:uuid:{}", asset.id).into());
    object.insert("name".to_owned(), asset.title.clone().into());
    if let Value::Object(record) = serde_json::to_value(&asset.record)? {
        object.extend(record.into_iter().map(|(name, value)| (name.clone(), typed(&name, value))));
    }
    let created = serde_json::to_value(asset)?["created_at"].clone();
    let video = asset.probe.video.as_ref();
    let facts = [
        ("uploadDate", Some(created)),
        ("duration", Some(format!("PT{:.3}S", asset.probe.duration_ms as f64 / 1000.0).into())),
        ("contentSize", Some(asset.source.size_bytes.to_string().into())),
        ("sha256", Some(asset.source.sha256.clone().into())),
        ("width", video.map(|video| video.display_width.into())),
        ("height", video.map(|video| video.display_height.into())),
        ("url", url.map(Into::into)),
    ];
    object.extend(facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    if !asset.custom.is_empty() {
        let property =
            |(name, value): (&String, &Value)| json!({ "@type": "PropertyValue", "name": name, "value": value });
        object.insert("additionalProperty".to_owned(), asset.custom.iter().map(property).collect());
    }
    Ok(Value::Object(object))
}

/// A member of the record with the types that schema.org has for it.
fn typed(name: &str, value: Value) -> Value {
    let kind = match name {
        "identifier" => "PropertyValue",
        "contentLocation" | "locationCreated" => "Place",
        "geo" => "GeoCoordinates",
        "hasPart" => "Clip",
        "publisher" | "copyrightHolder" => "Organization",
        "actor" | "author" | "contributor" | "creator" | "director" | "producer" | "musicBy" => "Person",
        _ => return value,
    };
    match value {
        Value::Array(items) => items.into_iter().map(|item| typed(name, item)).collect(),
        Value::Object(members) => {
            let mut object = Map::from_iter([("@type".to_owned(), kind.into())]);
            object.extend(members.into_iter().map(|(name, value)| (name.clone(), typed(&name, value))));
            Value::Object(object)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asset() -> Asset {
        serde_json::from_value(json!({
            "id": "0190a5d8-7f3a-7000-8000-000000000001", "tenant": "default", "title": "Sea, \"wind\"\nand more", "state": "registered",
            "source": { "key": "default/sources/x", "file_name": "a.mp4", "size_bytes": 7, "sha256": "ab".repeat(32) },
            "probe": { "container": "mov", "duration_ms": 5280, "bitrate_bps": 1 },
            "record": {
                "description": "Line one,\n\"two\"", "keywords": ["sea", "wind"], "identifier": [{ "propertyID": "house", "value": "a:7" }],
                "director": [{ "name": "Agnès" }], "publisher": [{ "name": "City" }],
                "contentLocation": [{ "name": "Pier", "geo": { "latitude": 51.5, "longitude": -2.5 } }],
                "hasPart": [{ "name": "One", "startOffset": 0.0 }], "copyrightYear": 2026,
            },
            "custom": { "shoot": { "day": 3 } }, "revision": 2,
            "created_at": "2026-05-17T12:00:00Z", "updated_at": "2026-05-17T12:00:00Z",
        }))
        .unwrap()
    }

    #[test]
    fn json_ld_is_read_as_it_was_written() {
        let asset = asset();
        let object = json_ld(&asset, Some("http://127.0.0.1/x")).unwrap();
        assert_eq!((&object["@type"], &object["duration"]), (&"VideoObject".into(), &"PT5.280S".into()));
        assert_eq!(object["contentLocation"][0]["geo"]["@type"], "GeoCoordinates");
        let entry = Entry::of_json_ld(&object).unwrap();
        assert_eq!((entry.id, entry.title.as_deref()), (Some(asset.id), Some(asset.title.as_str())));
        assert_eq!(Value::Object(entry.record.clone()), serde_json::to_value(&asset.record).unwrap());
        assert_eq!((entry.custom.clone(), entry.identifiers()), (asset.custom, vec!["house:a:7".to_owned()]));
        assert!(Entry::of_json_ld(&json!({ "@type": "Person" })).is_err());
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let asset = asset();
        let names = header().into_iter().map(str::to_owned);
        let columns: BTreeMap<String, String> = names.zip(row(&asset).unwrap()).collect();
        assert_eq!((columns["duration_s"].as_str(), columns["keywords"].as_str()), ("5.280", "sea|wind"));
        let entry = Entry::of_row(&columns).unwrap();
        assert_eq!(
            (entry.id, &entry.custom, entry.identifiers()),
            (Some(asset.id), &asset.custom, vec!["house:a:7".to_owned()])
        );
        let whole = serde_json::to_value(&asset.record).unwrap();
        for name in ["description", "keywords", "director", "publisher", "identifier"] {
            assert_eq!(entry.record[name], whole[name], "{name}");
        }
        for (name, text) in [("colour", "red"), ("id", "x"), ("identifier", "x"), ("custom", "7")] {
            assert!(Entry::of_row(&BTreeMap::from([(name.to_owned(), text.to_owned())])).is_err(), "{name}");
        }
    }

    #[test]
    fn a_row_takes_nothing_away_that_it_does_not_show() {
        let mut asset = asset();
        let record = json!({
            "keywords": [" sea ", "a|b", "back\\slash", "\\|"], "identifier": [{ "propertyID": "house", "value": "a|7" }],
            "director": [{ "name": "Agnès", "sameAs": "https://example.org/agnes" }],
            "actor": [{ "name": "Jo", "roleName": "The sea" }, { "name": "Al", "roleName": "The wind" }],
        });
        asset.record = serde_json::from_value(record.clone()).unwrap();
        let cells = |asset: &Asset| -> BTreeMap<String, String> {
            let trimmed = row(asset).unwrap().into_iter().map(|cell| cell.trim().to_owned());
            header().into_iter().map(str::to_owned).zip(trimmed).collect()
        };
        let mut columns = cells(&asset);
        let entry = Entry::of_row(&columns).unwrap();
        assert_eq!(entry.identifiers(), ["house:a|7"]);
        assert_eq!(entry.record["keywords"], json!(["sea", "a|b", "back\\slash", "\\|"]));
        let entry = entry.over(&asset).unwrap();
        assert_eq!((entry.title, entry.record), (None, Map::new()), "nothing of it is new");
        // One actor is another; the other one is who he was.
        columns.insert("actor".to_owned(), "Ed|Al".to_owned());
        columns.insert("title".to_owned(), "Another".to_owned());
        let entry = Entry::of_row(&columns).unwrap().over(&asset).unwrap();
        let actors = json!({ "actor": [{ "name": "Ed" }, { "name": "Al", "roleName": "The wind" }] });
        assert_eq!((entry.title.as_deref(), Value::Object(entry.record)), (Some("Another"), actors));
    }

    proptest! {
        #[test]
        fn items_are_read_as_they_were_written(list in prop::collection::vec("[a|\\\\ ]{0,5}b", 0..5)) {
            let list: Vec<String> = list.iter().map(|item| item.trim().to_owned()).collect();
            prop_assert_eq!(items(&cell_of(list.iter().cloned())), list);
        }
    }

    #[test]
    fn a_line_is_a_whole_asset_or_says_some_of_it() {
        let asset = asset();
        let entry = Entry::of_json(&serde_json::to_string(&asset).unwrap()).unwrap();
        assert_eq!((entry.whole.as_deref(), entry.sha256), (Some(&asset), Some(asset.source.sha256.clone())));
        let entry = Entry::of_json(
            r#"{ "title": "x", "path": "a.mp4", "identifier": "house:7", "record": { "genre": ["a"] } }"#,
        );
        let entry = entry.unwrap();
        assert_eq!((entry.title.as_deref(), entry.source.as_deref()), (Some("x"), Some("a.mp4")));
        for wrong in ["", "[]", "7", r#"{ "record": 7 }"#, r#"{ "titel": "x" }"#, r#"{ "source": {} }"#] {
            assert!(Entry::of_json(wrong).is_err(), "{wrong}");
        }
    }
}
