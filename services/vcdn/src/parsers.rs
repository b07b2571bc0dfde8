//! What the surrogate reads off the network, as functions of values: the way in for the fuzz targets (fuzz/), which hold
//! each of them to a property. No part of the API: nothing in the product calls it, so no program grows by it.

use std::ops::Range;

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use flame_api::vcdn::Purge;
use flame_naming::Name;

use crate::edge::head::{self, Kind, Parsed, Plain};
use crate::object::{self, UnixMs};
use crate::policy::{self, Came, Keep, Rules};
use crate::purge::Cover;
use crate::{fetch, front, mpd, prefetch, warm};

/// Longest life of an answer that says nothing of its own.
const HEURISTIC_MAX_MS: u64 = 3_600_000;

/// What the loop makes of the beginning of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// It waits for more.
    Partial,
    /// It leaves the connection to hyper.
    Doubtful,
    /// It answers.
    Whole(Head),
}

/// A head that the loop answers itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Where the target stands.
    pub target: Range<usize>,
    /// Bytes of the head.
    pub length: usize,
    /// HEAD, not GET.
    pub is_head: bool,
    /// Whether the connection goes on.
    pub keeps_alive: bool,
    /// Whether no field changes the answer.
    pub is_plain: bool,
}

/// How an answer is kept; moments are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Used without asking before this.
    pub fresh_until_ms: u64,
    /// Used while it is asked for again before this.
    pub while_revalidate_until_ms: u64,
    /// Used if asking fails before this.
    pub if_error_until_ms: u64,
    /// Groups.
    pub tags: Vec<String>,
    /// Fields in which requests have to agree.
    pub vary: Vec<String>,
}

/// What of a body is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// These bytes, both included.
    Bytes(u64, u64),
    /// What is not there.
    Unsatisfiable,
}

/// What the conditions of a request come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It is answered.
    Holds,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// The head at the beginning of a connection.
#[must_use]
pub fn read(bytes: &[u8]) -> Read {
    let (parsed, kind) = head::parse(bytes, "vcdn-1a2b3c4d", 8);
    match parsed {
        Parsed::Partial => Read::Partial,
        Parsed::Doubtful => Read::Doubtful,
        Parsed::Whole(Plain { target, length, is_head, keeps_alive }) => {
            Read::Whole(Head { target, length, is_head, keeps_alive, is_plain: kind == Kind::Plain })
        }
    }
}

/// The fields of a head that was found whole.
#[must_use]
pub fn fields(head: &[u8]) -> HeaderMap {
    head::fields(head)
}

/// Whether and how long an answer that was asked for just now may be kept.
#[must_use]
pub fn keep(status: StatusCode, headers: &HeaderMap, now_ms: u64) -> Option<Kept> {
    let rules = Rules { fields: &[], heuristic_max_ms: HEURISTIC_MAX_MS };
    let now = UnixMs(now_ms);
    match policy::keep(rules, status, headers, Came { asked: now, now, wall: now }) {
        Keep::Unshared => None,
        Keep::Shared { times, tags, vary } => Some(Kept {
            fresh_until_ms: times.fresh_until.0,
            while_revalidate_until_ms: times.while_revalidate_until.0,
            if_error_until_ms: times.if_error_until.0,
            tags: tags.iter().map(ToString::to_string).collect(),
            vary: vary.iter().map(ToString::to_string).collect(),
        }),
    }
}

/// What a request wants of a kept 200 with these fields and so many bytes.
#[must_use]
pub fn part(request: &HeaderMap, kept: &HeaderMap, length: u64) -> Part {
    match policy::part(request, &kept_head(kept), length) {
        policy::Part::Whole => Part::Whole,
        policy::Part::Bytes { first, last } => Part::Bytes(first, last),
        policy::Part::Unsatisfiable => Part::Unsatisfiable,
    }
}

/// What the conditions of a request come to for a kept 200 with these fields.
#[must_use]
pub fn condition(request: &HeaderMap, kept: &HeaderMap) -> Condition {
    match policy::condition(request, &kept_head(kept)) {
        policy::Condition::Holds => Condition::Holds,
        policy::Condition::NotModified => Condition::NotModified,
        policy::Condition::Failed => Condition::Failed,
    }
}

/// What the media playlist or the manifest at `base` names one behind the other, as it is asked for here.
#[must_use]
pub fn in_order(base: &str, playlist: &[u8]) -> Vec<String> {
    prefetch::in_order(base, playlist).iter().flatten().map(ToString::to_string).collect()
}

/// What a playlist of HLS or a manifest of DASH at `base` names, and what each of it means here.
#[must_use]
pub fn named(base: &str, playlist: &str) -> Vec<(String, Option<String>)> {
    let named = warm::all_named(playlist).into_iter();
    named.map(|reference| (reference.clone(), warm::resolve(base, &reference))).collect()
}

/// Whether a text is taken for a manifest of DASH.
#[must_use]
pub fn is_manifest(playlist: &str) -> bool {
    mpd::is_one(playlist)
}

/// Whether `purge` covers what is kept under `target` of `name` with `tags`; `None` if it says nothing that can be done.
#[must_use]
pub fn covers(purge: &Purge, name: &Name, target: &str, tags: &[&str]) -> Option<bool> {
    let tags: Vec<Box<str>> = tags.iter().copied().map(Box::from).collect();
    let cover = Cover::of(purge).ok()?;
    Some(cover.covers(&format!("{}{target}", front::key_prefix(name)), &tags))
}

/// Whether a 206 with these fields is the rest, from `written` on, of a body of `length` bytes with this ETag.
#[must_use]
pub fn continues(headers: &HeaderMap, etag: Option<&HeaderValue>, written: u64, length: Option<u64>) -> bool {
    fetch::continues(headers, etag, written, length)
}

fn kept_head(headers: &HeaderMap) -> object::Head {
    object::Head::new(StatusCode::OK, headers.clone())
}
