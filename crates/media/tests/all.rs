//! Media work as a service sees it: odd files in, tracks out; FFmpeg's command line tools are the judge.

#[path = "all/bad.rs"]
mod bad;
#[path = "all/chunks.rs"]
mod chunks;
#[path = "all/compare.rs"]
mod compare;
#[path = "all/containers.rs"]
mod containers;
#[path = "all/forms.rs"]
mod forms;
#[path = "all/inspect.rs"]
mod inspect;
#[path = "all/judge.rs"]
mod judge;
#[path = "all/later.rs"]
mod later;
#[path = "all/loudness.rs"]
mod loudness;
#[path = "all/part.rs"]
mod part;
#[path = "all/pictures.rs"]
mod pictures;
#[path = "all/plan.rs"]
mod plan;
#[path = "all/pool.rs"]
mod pool;
#[path = "all/poster.rs"]
mod poster;
#[path = "all/sound.rs"]
mod sound;
#[path = "all/steps.rs"]
mod steps;
#[path = "all/thumbnails.rs"]
mod thumbnails;
#[path = "all/transrate.rs"]
mod transrate;
