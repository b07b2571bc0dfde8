//! The decisions of service routing against simple models of them.

#[path = "all/atlas.rs"]
mod atlas;
#[path = "all/identity.rs"]
mod identity;
#[path = "all/identity_url.rs"]
mod identity_url;
#[path = "all/killed.rs"]
mod killed;
#[path = "all/lots.rs"]
mod lots;
#[path = "all/name.rs"]
mod name;
#[path = "all/path.rs"]
mod path;
#[path = "all/peers.rs"]
mod peers;
#[path = "all/search.rs"]
mod search;
#[path = "all/site.rs"]
mod site;
#[path = "all/switching.rs"]
mod switching;
#[path = "all/table.rs"]
mod table;
#[path = "all/target.rs"]
mod target;
#[path = "all/words.rs"]
mod words;
