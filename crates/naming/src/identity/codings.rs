//! Content codings that a client takes (RFC 9110 section 12.5.3), in one form: wording, order and preference are no difference.

use std::collections::BTreeMap;

use http::header::{self, HeaderMap};

use super::list::words;

/// Content codings that are told apart, in the order they are written; an origin that knows another is asked without it.
const CODINGS: [&str; 3] = ["br", "gzip", "zstd"];
/// What upstream is asked with for who takes none: without the field it might choose one.
const NONE: &str = "identity";

/// The accepted codings, as upstream is asked for them; never empty. Who does not say what he takes is given what everybody can read.
#[must_use]
pub fn accepted(headers: &HeaderMap) -> String {
    let mut said: BTreeMap<String, bool> = BTreeMap::new();
    for word in words(headers, &header::ACCEPT_ENCODING) {
        let (coding, parameters) = word.split_once(';').unwrap_or((&word, ""));
        let coding = match coding.trim() {
            // RFC 9110 section 8.4.1.3; other codings have no such second name.
            "x-gzip" => "gzip",
            coding => coding,
        };
        // Said twice, a refusal is believed.
        *said.entry(coding.to_owned()).or_insert(true) &= is_accepted(parameters);
    }
    let any = said.get("*").copied();
    let takes = |coding: &str, otherwise: bool| said.get(coding).copied().or(any).unwrap_or(otherwise);
    let mut codings: Vec<&str> = CODINGS.into_iter().filter(|coding| takes(coding, false)).collect();
    match (takes(NONE, true), codings.is_empty()) {
        (true, true) => codings.push(NONE),
        (true, false) => {}
        (false, _) => codings.push("identity;q=0"),
    }
    codings.join(", ")
}

/// Whether the weight in these parameters is one, and not zero (RFC 9110 section 12.4.2). Other parameters mean nothing.
fn is_accepted(parameters: &str) -> bool {
    let weight = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        (name.trim() == "q").then_some(value.trim())
    });
    let Some(weight) = weight else { return true };
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    let is_weight = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let is_zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    is_weight && ((whole == "1" && is_zero(fraction)) || (whole == "0" && !is_zero(fraction)))
}
