//! The built portal as files in the program, so that one binary is all there is to ship.
//!
//! Knows nothing of HTTP: the router serves them. Without `portal/build` having run before the compiler, one page says so.

use include_dir::{Dir, include_dir};

/// The page itself.
pub const PAGE: &str = "index.html";

static FILES: Dir<'static> = include_dir!("$FLAME_PORTAL_FILES");

/// One file of the portal.
#[derive(Debug)]
pub struct File {
    /// Its bytes.
    pub bytes: &'static [u8],
    /// The same by gzip (RFC 1952), where that is shorter.
    pub gzip: Option<&'static [u8]>,
    /// Its media type.
    pub media_type: &'static str,
    /// Whether the name holds a digest of the bytes: then they never change under it.
    pub immutable: bool,
}

/// The file called `name`, a path below the portal's folder.
#[must_use]
pub fn file(name: &str) -> Option<File> {
    let media_type = match name.rsplit_once('.')?.1 {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => return None,
    };
    let bytes = FILES.get_file(name)?.contents();
    let gzip = FILES.get_file(format!("{name}.gz")).map(|file| file.contents());
    Some(File { bytes, gzip, media_type, immutable: name.starts_with("assets/") })
}
