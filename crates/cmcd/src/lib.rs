//! What players tell of themselves: Common Media Client Data, version 1 (CTA-5004) and 2 (CTA-5004-A), in a query argument, in
//! fields, or as a batch of events. Text in, values out.
//!
//! Surrogates take it in, and so does streaming; what they make of it is theirs, but for whose word weighs how much ([`Voices`]).
//!
//! Version 2 writes most numbers as inner lists, one for each kind of media; both forms are read. Keys that are not used here are
//! passed over, as the standard wants; text that is no dictionary of structured fields (RFC 9651) is no report.

mod voices;

use flame_naming::identity::url;
use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;
use sfv::{BareItem, Dictionary, Item, ListEntry, Parser};

pub use voices::{OF_AN_ADDRESS, Speaker, Voices, speaker};

/// Longest text of one report that is looked at.
const REPORT_MAX_BYTES: usize = 8 << 10;
/// Longest session or content identifier (the standard says 64 characters).
const IDENTIFIER_MAX_CHARS: usize = 64;
/// Fields of version 1 and 2.
pub const FIELDS: [HeaderName; 4] = [
    HeaderName::from_static("cmcd-object"),
    HeaderName::from_static("cmcd-request"),
    HeaderName::from_static("cmcd-session"),
    HeaderName::from_static("cmcd-status"),
];
/// Media type of a batch of events.
pub const EVENTS_TYPE: &str = "application/cmcd";

/// One report, as far as it is counted here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// `sid`: the session.
    pub session: Option<String>,
    /// `cid`: the content.
    pub content: Option<String>,
    /// `cdn`: the content delivery network, or the pathway, that the player takes.
    pub network: Option<String>,
    /// `url`: what was asked for, of an event that tells of an answer.
    pub url: Option<String>,
    /// `bs`: the buffer ran dry since the last request.
    pub is_starved: bool,
    /// `bl`: media in the buffer, the least of all kinds.
    pub buffer_ms: Option<u64>,
    /// `mtp`: throughput that the player measured, the least of all kinds.
    pub throughput_kbps: Option<u64>,
    /// `br`: bitrate of what is asked for, of all kinds together.
    pub bitrate_kbps: Option<u64>,
    /// `msd`: time from the wish to play to the first frame.
    pub start_delay_ms: Option<u64>,
    /// `sta=r`: it waits for media now.
    pub is_rebuffering: bool,
    /// `e=e`, an `ec`, or `sta=f`: something failed.
    pub is_error: bool,
}

/// What a request carries of reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carried {
    /// Nothing.
    Nothing,
    /// One.
    Report(Report),
    /// Something that is no report.
    Damaged,
}

// === impl Carried ===

impl Carried {
    /// What the query of a target and the fields of a request carry; the query wins.
    #[must_use]
    pub fn of(target: &str, headers: &HeaderMap) -> Self {
        if let Some(value) = url::cmcd(target) {
            let text = percent_decode_str(value).decode_utf8();
            return text.ok().and_then(|text| Report::parse(&text)).map_or(Self::Damaged, Self::Report);
        }
        let mut lines = Vec::new();
        for name in FIELDS {
            lines.extend(headers.get_all(&name).iter().map(|value| value.to_str().unwrap_or("?")));
        }
        if lines.is_empty() {
            return Self::Nothing;
        }
        Report::parse(&lines.join(",")).map_or(Self::Damaged, Self::Report)
    }
}

// === impl Report ===

impl Report {
    /// Whether it tells of an empty buffer, of waiting, or of an error.
    #[must_use]
    pub fn complains(&self) -> bool {
        self.is_starved || self.is_rebuffering || self.is_error
    }

    /// Reads the text of one report.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > REPORT_MAX_BYTES {
            return None;
        }
        let said: Dictionary = Parser::new(text).parse().ok()?;
        let numbers = |key: &str| said.get(key).map(numbers).unwrap_or_default();
        let state = said.get("sta").and_then(word);
        let event = said.get("e").and_then(word);
        Some(Self {
            session: said.get("sid").and_then(identifier),
            content: said.get("cid").and_then(identifier),
            network: said.get("cdn").and_then(identifier),
            url: said.get("url").and_then(word).map(str::to_owned),
            is_starved: said.get("bs").is_some_and(is_true),
            buffer_ms: numbers("bl").into_iter().min(),
            throughput_kbps: numbers("mtp").into_iter().min(),
            bitrate_kbps: numbers("br").into_iter().reduce(u64::saturating_add),
            start_delay_ms: numbers("msd").into_iter().min(),
            is_rebuffering: state == Some("r"),
            is_error: event == Some("e") || state == Some("f") || said.contains_key("ec"),
        })
    }

    /// Reads a batch: one report a line, at most `max`. How many lines are none, beside those that are.
    #[must_use]
    pub fn parse_events(text: &str, max: usize) -> (Vec<Self>, usize) {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(max);
        let (mut reports, mut damaged) = (Vec::new(), 0);
        for line in lines {
            match Self::parse(line) {
                Some(report) => reports.push(report),
                None => damaged += 1,
            }
        }
        (reports, damaged)
    }
}

/// The numbers of a member, of one item or of an inner list; what is no number, or less than none, is passed over.
fn numbers(member: &ListEntry) -> Vec<u64> {
    let number = |item: &Item| match &item.bare_item {
        BareItem::Integer(number) => u64::try_from(i64::from(*number)).ok(),
        _ => None,
    };
    match member {
        ListEntry::Item(item) => number(item).into_iter().collect(),
        ListEntry::InnerList(list) => list.items.iter().filter_map(number).collect(),
    }
}

/// A true flag; in version 2 it may be one for each kind of media.
fn is_true(member: &ListEntry) -> bool {
    let is_true = |item: &Item| item.bare_item == BareItem::Boolean(true);
    match member {
        ListEntry::Item(item) => is_true(item),
        ListEntry::InnerList(list) => list.items.iter().any(is_true),
    }
}

fn word(member: &ListEntry) -> Option<&str> {
    let ListEntry::Item(item) = member else { return None };
    match &item.bare_item {
        BareItem::Token(token) => Some(token.as_str()),
        BareItem::String(string) => Some(string.as_str()),
        _ => None,
    }
}

fn identifier(member: &ListEntry) -> Option<String> {
    word(member).map(|text| text.chars().take(IDENTIFIER_MAX_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_versions_say_the_same_in_all_places() {
        let expected = Report {
            session: Some("abc".into()),
            content: Some("film".into()),
            network: None,
            url: None,
            is_starved: true,
            buffer_ms: Some(2100),
            throughput_kbps: Some(5000),
            bitrate_kbps: Some(3328),
            start_delay_ms: Some(350),
            is_rebuffering: true,
            is_error: false,
        };
        let second = r#"bl=(2100 4000),br=(3200 128),bs,cid="film",msd=350,mtp=(5000),ot=v,sid="abc",sta=r,v=2"#;
        assert_eq!(Report::parse(second), Some(expected.clone()));
        let first =
            r#"bl=2100,br=3200,bs,cid="film",com.example-hello="a,b",mtp=5000,nor="..%2F2.m4s",pr=1.08,sid="abc""#;
        let of_first =
            Report { bitrate_kbps: Some(3200), start_delay_ms: None, is_rebuffering: false, ..expected.clone() };
        assert_eq!(Report::parse(first), Some(of_first));
        let query = "/film/1.m4s?x=1&CMCD=bl%3D(2100)%2Csid%3D%22abc%22";
        let carried =
            Carried::Report(Report { buffer_ms: Some(2100), session: Some("abc".into()), ..Report::default() });
        assert_eq!(Carried::of(query, &HeaderMap::new()), carried);
        let fields = [("cmcd-request", "bl=2100"), ("cmcd-session", "sid=\"abc\"")];
        let fields = fields.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        assert_eq!(Carried::of("/film/1.m4s", &fields), carried);
        assert_eq!(Carried::of("/film/1.m4s?CMCDX=bl%3D1", &HeaderMap::new()), Carried::Nothing);
        assert_eq!(Carried::of("/film/1.m4s?CMCD=%3D%3D", &HeaderMap::new()), Carried::Damaged);
    }

    #[test]
    fn where_it_plays_from_is_said_by_the_network_or_by_the_url() {
        let event = r#"cdn="east",e=rr,sid="abc",ts=1,url="https://east.example/~cdn/film/1.m4s",v=2"#;
        let report = Report::parse(event).unwrap();
        assert_eq!(report.network.as_deref(), Some("east"));
        assert_eq!(report.url.as_deref(), Some("https://east.example/~cdn/film/1.m4s"));
        assert!(!report.complains() && Report::parse("bs").unwrap().complains());
    }

    #[test]
    fn events_are_a_line_each_and_a_damaged_one_costs_itself() {
        let batch = "e=ps,sta=f,ts=1\n\nbl=(1\ne=e,ec=(\"E1\"),ts=2\ne=t,ts=3\n";
        let (reports, damaged) = Report::parse_events(batch, 10);
        assert_eq!((reports.len(), damaged), (3, 1));
        assert_eq!(reports.iter().filter(|report| report.is_error).count(), 2);
        assert_eq!(Report::parse_events(batch, 1).0.len(), 1);
    }

    proptest! {
        #[test]
        fn no_text_is_fatal(text in "[ -~]{0,80}") {
            let _ = Report::parse(&text);
            let _ = Carried::of(&format!("/a?CMCD={text}"), &HeaderMap::new());
        }
    }
}
