//! Judges of playback, the judges themselves, and the repository's own rules.

#[path = "all/bright.rs"]
mod bright;
#[path = "all/bundle.rs"]
mod bundle;
#[path = "all/encrypted.rs"]
mod encrypted;
#[path = "all/forms.rs"]
mod forms;
#[path = "all/gains.rs"]
mod gains;
#[path = "all/host.rs"]
mod host;
#[path = "all/judges.rs"]
mod judges;
#[path = "all/live.rs"]
mod live;
#[path = "all/live_gstreamer.rs"]
mod live_gstreamer;
#[path = "all/live_keys.rs"]
mod live_keys;
#[path = "all/live_restart.rs"]
mod live_restart;
#[path = "all/live_spare.rs"]
mod live_spare;
#[path = "all/packaged.rs"]
mod packaged;
#[path = "all/packager.rs"]
mod packager;
#[path = "all/parts.rs"]
mod parts;
#[path = "all/parts_tls.rs"]
mod parts_tls;
#[path = "all/portal.rs"]
mod portal;
#[path = "all/portal_commands.rs"]
mod portal_commands;
#[path = "all/portal_hands.rs"]
mod portal_hands;
#[path = "all/portal_library.rs"]
mod portal_library;
#[path = "all/portal_live.rs"]
mod portal_live;
#[path = "all/portal_platform.rs"]
mod portal_platform;
#[path = "all/portal_surrogates.rs"]
mod portal_surrogates;
#[path = "all/portal_templates.rs"]
mod portal_templates;
#[path = "all/portal_views.rs"]
mod portal_views;
#[path = "all/sounds.rs"]
mod sounds;
#[path = "all/steering.rs"]
mod steering;
#[path = "all/storage.rs"]
mod storage;
#[path = "all/subtitles.rs"]
mod subtitles;
#[path = "all/templates.rs"]
mod templates;
#[path = "all/thumbnails.rs"]
mod thumbnails;
#[path = "all/tidy.rs"]
mod tidy;
#[path = "all/whip.rs"]
mod whip;
