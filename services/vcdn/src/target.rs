//! The target of a request: what of it names a resource.
//!
//! Players tell of themselves in the query (`CMCD`, CTA-5004): that is no part of what is asked for, and would make every
//! request another resource.

/// Path and query that a resource is kept under and asked for with; `None` where it is no path.
pub(crate) fn canonical(target: &str) -> Option<String> {
    if !target.starts_with('/') || target.bytes().any(|byte| byte <= b' ' || byte >= 0x7f) {
        return None;
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let kept: Vec<&str> = query.split('&').filter(|argument| !argument.is_empty() && !is_of_player(argument)).collect();
    if kept.is_empty() { Some(path.to_owned()) } else { Some(format!("{path}?{}", kept.join("&"))) }
}

/// Whether the target is canonical as it is, without looking into a query.
pub(crate) fn is_plain(target: &str) -> bool {
    target.starts_with('/') && target.bytes().all(|byte| byte > b' ' && byte < 0x7f && byte != b'?')
}

fn is_of_player(argument: &str) -> bool {
    let name = argument.split('=').next().unwrap_or_default();
    name.eq_ignore_ascii_case("cmcd")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_players_say_of_themselves_names_no_resource() {
        let canonical = |target| canonical(target).unwrap();
        assert_eq!(canonical("/a/1.m4s?CMCD=br%3D3200"), "/a/1.m4s");
        assert_eq!(canonical("/a/i.m3u8?_HLS_msn=3&CMCD=x&_HLS_part=1"), "/a/i.m3u8?_HLS_msn=3&_HLS_part=1");
        assert_eq!(canonical("/a?"), "/a");
        assert_eq!(super::canonical("http://x/"), None);
        assert_eq!(super::canonical("/a\n"), None);
    }
}
