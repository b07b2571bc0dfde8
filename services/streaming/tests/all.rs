//! The service on real sockets, in front of a real object store and a real catalogue.

#[path = "all/world.rs"]
mod world;

#[path = "all/away.rs"]
mod away;
#[path = "all/claimed.rs"]
mod claimed;
#[path = "all/config.rs"]
mod config;
#[path = "all/encrypted.rs"]
mod encrypted;
#[path = "all/live.rs"]
mod live;
#[path = "all/live_clock.rs"]
mod live_clock;
#[path = "all/live_encrypted.rs"]
mod live_encrypted;
#[path = "all/live_faults.rs"]
mod live_faults;
#[path = "all/live_forms.rs"]
mod live_forms;
#[path = "all/live_keep.rs"]
mod live_keep;
#[path = "all/live_marks.rs"]
mod live_marks;
#[path = "all/live_restart.rs"]
mod live_restart;
#[path = "all/live_spare.rs"]
mod live_spare;
#[path = "all/long.rs"]
mod long;
#[path = "all/multivariant.rs"]
mod multivariant;
#[path = "all/player.rs"]
mod player;
#[path = "all/poster.rs"]
mod poster;
#[path = "all/protected.rs"]
mod protected;
#[path = "all/replicas.rs"]
mod replicas;
#[path = "all/replicas_live.rs"]
mod replicas_live;
#[path = "all/replicas_multicast.rs"]
mod replicas_multicast;
#[path = "all/replicas_search.rs"]
mod replicas_search;
#[path = "all/segments.rs"]
mod segments;
#[path = "all/steering.rs"]
mod steering;
#[path = "all/subtitles.rs"]
mod subtitles;
#[path = "all/thumbnails.rs"]
mod thumbnails;
#[path = "all/tracks.rs"]
mod tracks;
#[path = "all/uploaded.rs"]
mod uploaded;
#[path = "all/viewer_links.rs"]
mod viewer_links;
