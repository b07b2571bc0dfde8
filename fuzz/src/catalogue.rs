//! What people type into the catalogue's search, and the cursors that they give back.

use flame_metadata::cursor::Position;
use flame_metadata::filter::{Filter, Sort};
use flame_metadata::search::{QUERY_MAX_CHARS, WORDS_MAX, Wanted, parse};

use crate::fields::text;

pub fn cursor(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Some(position) = Position::decode(text) {
        assert_eq!(position.encode(), text, "two cursors for one place");
    }
}

/// A filter in the first line, an order in the second.
pub fn filter(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let (filter, sort) = text.split_once('\n').unwrap_or((text, ""));
    let asset =
        serde_json::json!({ "title": "a", "custom": { "a": [1, "2026-05", { "latitude": 1, "longitude": 2 }] } });
    match Filter::parse(filter) {
        Ok(read) => {
            assert_eq!(Filter::parse(&read.to_string()).as_ref(), Ok(&read), "{read}");
            assert_ne!(read.wants(&asset), Filter::Not(Box::new(read)).wants(&asset));
        }
        Err(error) => assert!((1..=filter.chars().count() + 1).contains(&error.at), "{error}"),
    }
    if let Ok(read) = Sort::parse(sort) {
        assert_eq!(Sort::parse(&read.to_string()).as_ref(), Ok(&read), "{read}");
        let cursor = read.cursor(&read.key(&asset, 7)).expect("a key is JSON");
        assert_eq!(read.after(&cursor), Some(read.key(&asset, 7)));
    }
}

pub fn search(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(wanted) = parse("acme", text) else {
        assert!(text.chars().count() > QUERY_MAX_CHARS || text.split_whitespace().count() > 1);
        return;
    };
    let Wanted::Words(search) = wanted else { return };
    let (in_title, words) = outside_of_quotes(&search.in_title.fts5);
    assert!((2..=WORDS_MAX + 1).contains(&words), "{}", search.in_title.fts5);
    let all = vec!["\"\""; words - 1].join(" AND ");
    assert_eq!(in_title, format!("tenant : \"\" AND {{title}} : ({all}*)"));
    let (with_file_name, _) = outside_of_quotes(&search.with_file_name.fts5);
    let wanted = format!("(tenant : \"\" AND {{title file_name}} : ({all}*)) NOT {{title}} : ({all}*)");
    assert_eq!(with_file_name, wanted);
}

/// An expression with its strings emptied, and how many there are (FTS5: a quote in a string is doubled).
fn outside_of_quotes(expression: &str) -> (String, usize) {
    let (mut outside, mut strings, mut letters) = (String::new(), 0, expression.chars().peekable());
    while let Some(letter) = letters.next() {
        outside.push(letter);
        if letter != '"' {
            continue;
        }
        strings += 1;
        loop {
            match letters.next() {
                Some('"') if letters.peek() == Some(&'"') => drop(letters.next()),
                Some('"') => break,
                Some(_) => {}
                None => panic!("a string does not end: {expression}"),
            }
        }
        outside.push('"');
    }
    (outside, strings)
}
