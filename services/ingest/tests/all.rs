//! The service as its callers meet it: on sockets, with a real database, a real object store and real media children.

#[path = "all/platform.rs"]
mod platform;
#[path = "all/stage.rs"]
mod stage;
#[path = "all/world.rs"]
mod world;

#[path = "all/away.rs"]
mod away;
#[path = "all/chunks.rs"]
mod chunks;
#[path = "all/clients.rs"]
mod clients;
#[path = "all/concat.rs"]
mod concat;
#[path = "all/contract.rs"]
mod contract;
#[path = "all/crash.rs"]
mod crash;
#[path = "all/deferred.rs"]
mod deferred;
#[path = "all/external.rs"]
mod external;
#[path = "all/files.rs"]
mod files;
#[path = "all/ladder.rs"]
mod ladder;
#[path = "all/ladder_standby.rs"]
mod ladder_standby;
#[path = "all/ladder_times.rs"]
mod ladder_times;
#[path = "all/limits.rs"]
mod limits;
#[path = "all/live.rs"]
mod live;
#[path = "all/media.rs"]
mod media;
#[path = "all/publisher.rs"]
mod publisher;
#[path = "all/pulls.rs"]
mod pulls;
#[path = "all/push.rs"]
mod push;
#[path = "all/quotas.rs"]
mod quotas;
#[path = "all/rtmp.rs"]
mod rtmp;
#[path = "all/scrub.rs"]
mod scrub;
#[path = "all/seaweedfs.rs"]
mod seaweedfs;
#[path = "all/sources.rs"]
mod sources;
#[path = "all/srt.rs"]
mod srt;
#[path = "all/subtitles.rs"]
mod subtitles;
#[path = "all/tickets.rs"]
mod tickets;
#[path = "all/tus.rs"]
mod tus;
#[path = "all/whip.rs"]
mod whip;
