//! What uploaders say: header fields of tus, labels, digests, and URLs to pull from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flame_ingest::concat::Concat;
use flame_ingest::digest::Promise;
use flame_ingest::labels::{FILE_NAME_MAX_BYTES, Labels, TITLE_MAX_CHARS};
use flame_ingest::parsers;
use flame_ingest::pull::address::check_url;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use crate::fields::{fields, lines, text};

/// Networks that nobody outside can reach, as their registries list them.
const PRIVATE: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
    (Ipv4Addr::new(255, 255, 255, 255), 32),
];

pub fn tus(data: &[u8]) {
    let length = HeaderName::from_static("upload-length");
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let fields: HeaderMap = [(length.clone(), value.clone())].into_iter().collect();
    let digits = value.as_bytes();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let significant: Vec<u8> = digits.iter().copied().skip_while(|digit| *digit == b'0').collect();
    let most = i64::MAX.to_string();
    let fits = significant.len() < most.len()
        || (significant.len() == most.len() && significant.as_slice() <= most.as_bytes());
    match parsers::number(&fields, &length) {
        Ok(Some(number)) => {
            assert!(is_number && fits, "{value:?}");
            assert_eq!(
                number.to_string().into_bytes(),
                if significant.is_empty() { b"0".to_vec() } else { significant }
            );
        }
        Ok(None) => panic!("the field is there"),
        Err(()) => assert!(!(is_number && fits), "{value:?} is a number"),
    }
}

/// `Upload-Concat`.
pub fn concat(data: &[u8]) {
    const MAX: usize = 4;
    let Some(text) = text(data) else { return };
    let Ok((concat, partials)) = Concat::parse(text, MAX) else { return };
    assert_eq!(Concat::stored(concat.as_str()).as_ref(), Some(&concat), "{text:?}");
    assert_eq!(concat.as_str(), text.trim());
    match &concat {
        Concat::Partial => assert!(partials.is_empty() && text.trim() == "partial", "{text:?}"),
        Concat::Final(_) => {
            let urls: Vec<&str> = text.trim()["final;".len()..].split_ascii_whitespace().collect();
            assert!((1..=MAX).contains(&partials.len()) && urls.len() == partials.len(), "{text:?}");
            for (place, (id, url)) in partials.iter().zip(urls).enumerate() {
                assert!(!partials[..place].contains(id), "{text:?}");
                // Each is named where it stands, in one of the spellings of a UUID.
                let plain: String = url.to_ascii_lowercase().chars().filter(char::is_ascii_hexdigit).collect();
                assert!(url.contains("uploads/") && plain.contains(&id.simple().to_string()), "{url}");
            }
            let urls: Vec<String> = partials.iter().map(|id| format!("/uploads/{id}")).collect();
            let again = Concat::parse(&format!("final;{}", urls.join(" ")), MAX);
            assert_eq!(again.map(|(_, partials)| partials), Ok(partials));
        }
    }
}

/// First lines: `Upload-Checksum`, and a `Content-Digest`; then the bytes that were promised.
pub fn digest(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let [tus, field, bytes] = lines(text);
    let kept = |mut promise: Promise, bytes: &[u8]| {
        promise.update(bytes);
        promise.is_kept()
    };
    let sha256 = STANDARD.encode(Sha256::digest(bytes));
    if let Ok(Some(promise)) = parsers::promise(&fields(&format!("upload-checksum: {tus}"))) {
        let is_sha256 = tus.trim().get(..6).is_some_and(|front| front.eq_ignore_ascii_case("sha256"));
        assert!(!is_sha256 || kept(promise, bytes.as_bytes()) == tus.trim().ends_with(&sha256), "{tus}");
    }
    if let Ok(Some(promise)) = Promise::from_digest_field(field)
        && kept(promise, bytes.as_bytes())
    {
        assert!(field.contains(&format!(":{sha256}:")), "{field} promises other bytes");
    }
    // What is promised truly is kept, and by nothing else.
    let promise = || Promise::from_digest_field(&format!("sha-256=:{sha256}:")).ok().flatten().expect("a digest");
    assert!(kept(promise(), bytes.as_bytes()) && !kept(promise(), format!("{bytes}x").as_bytes()));
}

pub fn labels(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(labels) = Labels::from_tus(text) else { return };
    for label in [&labels.file_name, &labels.title].into_iter().flatten() {
        assert!(!label.trim().is_empty() && !label.chars().any(char::is_control), "{label:?}");
    }
    assert!(labels.file_name.as_ref().is_none_or(|name| name.len() <= FILE_NAME_MAX_BYTES));
    assert!(labels.title.as_ref().is_none_or(|title| title.chars().count() <= TITLE_MAX_CHARS));
    assert!(!labels.display_title().trim().is_empty());
    let pair =
        |key: &str, value: &Option<String>| value.as_ref().map(|value| format!("{key} {}", STANDARD.encode(value)));
    let chain = Some(labels.chain.clone());
    let pairs = [pair("filename", &labels.file_name), pair("title", &labels.title), pair("chain", &chain)];
    let written: Vec<String> = pairs.into_iter().flatten().collect();
    assert_eq!(Labels::from_tus(&written.join(",")).as_ref(), Ok(&labels));
}

pub fn pull(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(url) = check_url(text, false) else { return };
    assert!(matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none());
    let host = url.host_str().expect("a URL of HTTP has a host");
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse::<IpAddr>();
    match address {
        Ok(IpAddr::V4(address)) => assert!(!is_private(address), "{url}"),
        Ok(IpAddr::V6(address)) => assert!(is_global(address), "{url}"),
        Err(_) => {}
    }
}

fn is_private(address: Ipv4Addr) -> bool {
    let within = |(network, bits): &(Ipv4Addr, u32)| {
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
        address.to_bits() & mask == network.to_bits() & mask
    };
    PRIVATE.iter().any(within)
}

fn is_global(address: Ipv6Addr) -> bool {
    let octets = address.octets();
    let last = |at: usize| Ipv4Addr::new(octets[at], octets[at + 1], octets[at + 2], octets[at + 3]);
    if address.to_ipv4_mapped().is_some() || octets.starts_with(&[0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0]) {
        return !is_private(last(12));
    }
    if octets.starts_with(&[0x20, 0x02]) {
        return !is_private(last(2));
    }
    octets[0] & 0xe0 == 0x20 && !octets.starts_with(&[0x20, 1, 0xd, 0xb8])
}
