//! Fuzz targets: each parser of what comes over the network, and the property that it keeps whatever comes.
//!
//! A target is a function of bytes that panics where the property does not hold. `fuzz/run` feeds them with libFuzzer,
//! `tests/all.rs` with the corpora that are checked in, so that what was found once stays found. A property says more than
//! "does not crash": what is read is written the same, what is shared was said to be shared, a slower model that is
//! plainly right reads the same. They never open a socket, look at a clock, or draw a random number.
//!
//! Texts of several parts are lines, so that a corpus can be read and written by hand.

mod catalogue;
mod credentials;
mod documents;
mod edge;
mod fields;
mod host;
mod identity;
mod ingest;
mod live;
mod multicast;
mod naming;
mod objects;
mod oidc;
mod router;
mod srt;
mod subtitles;
mod token;
mod tracks;

/// A parser and what is held against it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Also the folder of its corpus.
    pub name: &'static str,
    /// The property.
    pub holds: &'static str,
    /// Panics where it does not hold.
    pub run: fn(&[u8]),
}

/// All targets, by name.
pub const TARGETS: &[Target] = &[
    Target { name: "catalogue_cursor", holds: "a cursor that is read is written the same", run: catalogue::cursor },
    Target {
        name: "catalogue_filter",
        holds: "a filter and an order that are read are written and read the same; what is not understood says where",
        run: catalogue::filter,
    },
    Target {
        name: "catalogue_search",
        holds: "what is typed stays within quotes, and the expression's own words are those of its form",
        run: catalogue::search,
    },
    Target {
        name: "chain_document",
        holds: "a chain that is read is the same with its own values set, and each stage stands after those that feed it",
        run: documents::chain,
    },
    Target {
        name: "credentials_join_token",
        holds: "a token prints as it reads, 54 letters, and shows no secret where it is logged",
        run: credentials::join_token,
    },
    Target {
        name: "credentials_request",
        holds: "a request is of one key, whoever reads it; one of which a bit was changed is refused",
        run: credentials::request,
    },
    Target {
        name: "edge_cmcd",
        holds: "a batch is read up to its bound; a report is the same in a query and in a field",
        run: edge::reports,
    },
    Target {
        name: "edge_conditions",
        holds: "304 only for who asked for it; the kept ETag always matches itself; 412 never for `*`",
        run: edge::conditions,
    },
    Target {
        name: "edge_content_range",
        holds: "what goes on with a body is its rest to the last byte, with its ETag, to a model that reads numbers",
        run: edge::content_range,
    },
    Target {
        name: "edge_head",
        holds: "a head that is answered is one to a strict model too: one Host, no body, the same end, target and fields",
        run: edge::head,
    },
    Target {
        name: "edge_playlist",
        holds: "what is fetched because a playlist names it stays behind the name, is canonical, and is no viewer's own link",
        run: edge::playlist,
    },
    Target {
        name: "edge_policy",
        holds: "whatever else is said, `private`, `no-store` and a cookie keep an answer out; times are in order; bounds hold",
        run: edge::policy,
    },
    Target {
        name: "edge_purge",
        holds: "a purge that is read says one thing, covers exactly that, and nothing of another name",
        run: edge::purge,
    },
    Target {
        name: "edge_range",
        holds: "a part lies within the body and is the one that a model with wide numbers reads",
        run: edge::range,
    },
    Target {
        name: "host_if_match",
        holds: "what is read can be written and read again; a weak tag allows nothing",
        run: host::if_match,
    },
    Target {
        name: "host_token",
        holds: "only what a key of ours signed for us, and has not ended, is a caller, who may do what it says in words",
        run: token::api,
    },
    Target {
        name: "host_values",
        holds: "spans and sizes are those of a wider model, and print as they read",
        run: host::values,
    },
    Target {
        name: "identity",
        holds: "requests of one identity differ in nothing an answer may depend on; no answer for one is given to two",
        run: identity::identity,
    },
    Target {
        name: "identity_url",
        holds: "a canonical URL is its own canonical form and goes nowhere upwards",
        run: identity::url,
    },
    Target {
        name: "ingest_concat",
        holds: "a final upload names one to so many uploads, each once and where it stands, and is read again the same",
        run: ingest::concat,
    },
    Target {
        name: "ingest_digest",
        holds: "a promise is kept by exactly the bytes whose digest it names",
        run: ingest::digest,
    },
    Target {
        name: "ingest_labels",
        holds: "labels are within their bounds, printable, and read again the same",
        run: ingest::labels,
    },
    Target {
        name: "ingest_pull",
        holds: "no URL with a private address in any spelling is pulled from, by a model of ranges",
        run: ingest::pull,
    },
    Target {
        name: "ingest_tus",
        holds: "a number is digits that fit into 63 bits; nothing else is one",
        run: ingest::tus,
    },
    Target {
        name: "live_arriving",
        holds: "chunks are the same however a segment arrives, and are what arrived",
        run: live::arriving,
    },
    Target {
        name: "live_directives",
        holds: "directives that are read are written and read the same",
        run: live::directives,
    },
    Target {
        name: "live_package",
        holds: "whatever an encoder sends when, the chunks of a track follow each other, in segments that are whole",
        run: live::package,
    },
    Target {
        name: "live_pushed",
        holds: "a pushed track is read the same however its octets come; no more media than came; its header goes on without edits",
        run: live::pushed,
    },
    Target {
        name: "live_relay",
        holds: "messages of a ladder are read the same however they come, and again as they were read; no more than came",
        run: live::relay,
    },
    Target {
        name: "live_rtmp",
        holds: "a connection is read the same however its octets come, answers little, and prints no key",
        run: live::rtmp,
    },
    Target {
        name: "live_srt",
        holds: "no answer to a stranger is longer than its question; what is missing and acknowledged stays within the window; no more media than came",
        run: srt::datagrams,
    },
    Target {
        name: "live_tag",
        holds: "what is read of a tag lies within it; configurations are within their bounds; AMF0 is written as it is read",
        run: live::tag,
    },
    Target {
        name: "live_ts",
        holds: "a transport stream is read the same however its octets come; samples are whole; no more media than came",
        run: srt::transport,
    },
    Target {
        name: "multicast_leg",
        holds: "frames are the same however the bytes are cut, and are written as they were read",
        run: multicast::leg,
    },
    Target { name: "multicast_packet", holds: "only what is written is read", run: multicast::packet },
    Target {
        name: "multicast_reception",
        holds: "only bytes of the announced digest are given out, in order, whatever members with the key send",
        run: multicast::reception,
    },
    Target { name: "multicast_seal", holds: "each packet is opened once, and no changed one is", run: multicast::seal },
    Target {
        name: "naming_marker",
        holds: "a marker prints as it reads; a walk ends within the longest path",
        run: naming::marker,
    },
    Target { name: "naming_name", holds: "a name prints as it reads, in labels of DNS", run: naming::name },
    Target {
        name: "naming_search",
        holds: "a budget prints as it reads and only makes a search smaller; a trail stays short and printable",
        run: naming::search,
    },
    Target {
        name: "naming_sites",
        holds: "distances are those of a slower model, the same both ways",
        run: naming::sites,
    },
    Target {
        name: "naming_target",
        holds: "a request goes to the name that its host or path says; no path goes upwards, decoded once or twice",
        run: naming::target,
    },
    Target {
        name: "object_key",
        holds: "every key has one path, inside its bucket, and is read back from it",
        run: objects::key,
    },
    Target {
        name: "object_manifest",
        holds: "the pieces of a range are its bytes, whatever lengths a manifest states",
        run: objects::manifest,
    },
    Target {
        name: "router_answer_head",
        holds: "a head is read as it was written, with one length at most",
        run: router::answer_head,
    },
    Target {
        name: "router_cache_status",
        holds: "where sites are not shown no member names one; every other member of a list stays, and every other field",
        run: router::cache_status,
    },
    Target {
        name: "router_content_range",
        holds: "a range is the one that a model with wide numbers reads, and can be",
        run: router::content_range,
    },
    Target {
        name: "router_cookie",
        holds: "the router's cookie ends here, whole; those of others pass as they were",
        run: router::cookie,
    },
    Target {
        name: "router_hop_by_hop",
        holds: "nothing of one hop passes, nor what Connection names; everything else does",
        run: router::hop_by_hop,
    },
    Target {
        name: "router_line",
        holds: "an answer is the same however it is cut, its body is what a slow model reads, and nothing is read twice",
        run: router::line,
    },
    Target {
        name: "router_location",
        holds: "a location that is mounted lies below the mount; a foreign one stays",
        run: router::location,
    },
    Target {
        name: "router_oidc_discovery",
        holds: "an issuer is believed about itself only, and leads nowhere that others could listen",
        run: oidc::discovery,
    },
    Target {
        name: "router_oidc_token",
        holds: "what the issuer has not signed for this sign-in is nobody; who signs in is whom the claims name, and may do what they say in words",
        run: oidc::id_token,
    },
    Target {
        name: "router_peer_feed",
        holds: "a replica is what its owner's lines make of a plain map, within its limit",
        run: router::peer_feed,
    },
    Target {
        name: "router_static_entries",
        holds: "every entry can be reached, once, and reads the same for each router",
        run: router::static_entries,
    },
    Target {
        name: "subtitles_document",
        holds: "a file that is read is written and read again the same, within its bounds; cut anywhere, each part shows what the whole shows",
        run: subtitles::document,
    },
    Target {
        name: "subtitles_language",
        holds: "a canonical tag is its own canonical tag",
        run: subtitles::language_tag,
    },
    Target {
        name: "template_document",
        holds: "a template that is read is read the same with its own inputs given; of one that is wrong at most a hundred mistakes are told, each with its place",
        run: documents::template,
    },
    Target {
        name: "track_boxes",
        holds: "a walk is the one of a model that has the whole file, and advances",
        run: tracks::boxes,
    },
    Target { name: "track_codecs", holds: "a codec string is one in RFC 6381's letters", run: tracks::codecs },
    Target {
        name: "track_index",
        holds: "an index that is read has no gap, and is written and read again the same",
        run: tracks::index,
    },
    Target {
        name: "track_movie",
        holds: "a track that is kept has no gap, and every segment and keyframe is made of as many bytes of the file as it is said to have",
        run: tracks::movie,
    },
    Target {
        name: "track_samples",
        holds: "samples lie within their segment; a keyframe alone and a segment that is cut off are read again as they were",
        run: tracks::samples,
    },
    Target { name: "track_ts", holds: "a transport stream is whole packets, within its bound", run: tracks::stream },
    Target {
        name: "viewer_token",
        holds: "only a signed, current token for this very URL opens it; the URL has no token left; a changed one opens nothing",
        run: token::token,
    },
];

/// The target of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
