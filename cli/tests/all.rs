//! The real `flame` binary as its users meet it: started, misused, killed, and started again.

#[path = "all/world.rs"]
mod world;

#[path = "all/usage.rs"]
mod usage;

#[path = "all/up.rs"]
mod up;

#[path = "all/pipeline.rs"]
mod pipeline;

#[path = "all/catalogue.rs"]
mod catalogue;
#[path = "all/edge.rs"]
mod edge;
#[path = "all/live.rs"]
mod live;
#[path = "all/live_faults.rs"]
mod live_faults;

#[path = "all/full_disk.rs"]
mod full_disk;

#[path = "all/ca.rs"]
mod ca;

#[path = "all/chain.rs"]
mod chain;

#[path = "all/load.rs"]
mod load;

#[path = "all/baseline.rs"]
mod baseline;
#[path = "all/quality.rs"]
mod quality;
#[path = "all/register.rs"]
mod register;
#[path = "all/routing.rs"]
mod routing;
#[path = "all/scrape.rs"]
mod scrape;
#[path = "all/subtitles.rs"]
mod subtitles;
#[path = "all/tokens.rs"]
mod tokens;

#[path = "all/protected.rs"]
mod protected;

#[path = "all/encrypted.rs"]
mod encrypted;

#[path = "all/clmc.rs"]
mod clmc;
#[path = "all/conform.rs"]
mod conform;
#[path = "all/dashboards.rs"]
mod dashboards;
#[path = "all/demo.rs"]
mod demo;
#[path = "all/export.rs"]
mod export;
#[path = "all/own_service.rs"]
mod own_service;
#[path = "all/shipped.rs"]
mod shipped;
#[path = "all/site.rs"]
mod site;
#[path = "all/sla.rs"]
mod sla;
#[path = "all/template.rs"]
mod template;
#[path = "all/watch.rs"]
mod watch;

#[path = "all/keeping.rs"]
mod keeping;
#[path = "all/migrate.rs"]
mod migrate;
#[path = "all/stock.rs"]
mod stock;
