//! `flame channel mark`: what is said of a span of a channel's time.

use flame_service_host::config::Span;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::connection;

#[derive(Debug, clap::Args)]
pub struct ChannelMark {
    /// The channel's identifier
    #[arg(value_parser = connection::id)]
    pub channel: Uuid,
    /// The mark's name, to say more of it later [default: a new one]
    #[arg(long, value_name = "NAME")]
    pub id: Option<String>,
    /// What kind of mark it is; marks of one class do not overlap
    #[arg(long)]
    pub class: Option<String>,
    /// When it begins: `now`, or a time such as 2026-11-26T12:00:00Z [default: now, for a new mark]
    #[arg(long, value_name = "TIME", value_parser = connection::moment)]
    pub start: Option<OffsetDateTime>,
    /// When it ends: `now`, or a time
    #[arg(long, value_name = "TIME", value_parser = connection::moment, conflicts_with = "duration")]
    pub end: Option<OffsetDateTime>,
    /// How long it is, such as 30s
    #[arg(long, value_name = "TIME")]
    pub duration: Option<Span>,
    /// How long it is meant to be
    #[arg(long, value_name = "TIME")]
    pub planned: Option<Span>,
    /// It ends where the next one of its class begins
    #[arg(long, requires = "class")]
    pub until_next: bool,
    /// The splice_info_section of SCTE 35 that begins it, hexadecimal
    #[arg(long, value_name = "HEX")]
    pub scte35_out: Option<String>,
    /// The one that ends it, hexadecimal
    #[arg(long, value_name = "HEX")]
    pub scte35_in: Option<String>,
    /// An attribute of its own, such as X-TITLE=News; as often as wanted
    #[arg(long, value_name = "X-NAME=VALUE", value_parser = connection::attribute)]
    pub attribute: Vec<(String, String)>,
}
