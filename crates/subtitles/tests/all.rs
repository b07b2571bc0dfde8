//! Subtitles from outside: what files hold, and what must hold for any bytes.

#[path = "all/hostile.rs"]
mod hostile;
#[path = "all/roundtrip.rs"]
mod roundtrip;
#[path = "all/ttml.rs"]
mod ttml;
