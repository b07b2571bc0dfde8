//! The command line: what can be said, and nothing of what it does.

mod asset;
mod ca;
mod chain;
mod clmc;
mod edit;
mod encryption;
mod exchange;
mod ingest;
mod job;
mod keeping;
mod load;
mod mark;
mod parts;
mod quality;
mod service;
mod site;
mod sla;
mod sound;
mod subtitles;
mod template;
mod token;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{ArgGroup, Parser, Subcommand};
use clap_complete::Shell;
use flame_service_host::config::Span;
use url::Url;
use uuid::Uuid;

pub use asset::{Asset, AssetCommand, AssetScores, AssetState, Choice};
pub use ca::{Ca, CaCommand};
pub use chain::{Chain, ChainCommand};
pub use clmc::{AlertsCommand, Clmc, ClmcCommand};
pub use edit::Edit;
pub use encryption::{Encrypt, Method};
pub use exchange::{Export, Form, Import};
pub use ingest::Ingest;
pub use job::{Job, JobCommand};
pub use keeping::{Backup, Migrate, Restore, Store, StoreCommand};
pub use load::Load;
pub use mark::ChannelMark;
pub use parts::Parts;
pub use quality::{Compare, Conform, Curve, Inspect, Jobs, Quality, QualityCommand, Test, Watch};
pub use service::{Service, ServiceCommand};
pub use site::{Site, SiteCommand};
pub use sla::{Calibrate, Sla, SlaCommand};
pub use sound::{Sound, SoundRole};
pub use subtitles::{SubtitleRole, Subtitles, SubtitlesCommand};
pub use template::{
    Export as TemplateExport, File as TemplateFile, Form as TemplateForm, State as FunctionState, Template,
    TemplateCommand,
};
pub use token::{SignUrl, Token, TokenCommand, TokenLink};

use crate::connection;

/// FLAME's foundational media services: ingest, condition, catalogue and stream media, from one command.
#[derive(Debug, Parser)]
#[command(name = "flame", version, propagate_version = true, arg_required_else_help = true)]
pub struct Args {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every client command takes.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The router of the running services
    #[arg(long, global = true, env = "FLAME_ROUTER", hide_env_values = true, default_value = "http://127.0.0.1:8080", value_name = "URL", value_parser = connection::router)]
    pub router: Url,
    /// Token, where one is needed (`flame token issue`)
    #[arg(long, global = true, env = "FLAME_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Print JSON for programs instead of tables for people
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start everything on this machine with one command
    Up(Up),
    /// Stop what `flame up` started
    Down(Down),
    /// Copy a data folder, also while everything runs on it
    Backup(Backup),
    /// Make a data folder out of a backup
    Restore(Restore),
    /// Take what one machine keeps in files to PostgreSQL and an S3 of your own
    Migrate(Migrate),
    /// What is stored: whether it is what it was
    Store(Store),
    /// Show the product on real media, step by step
    Demo(Demo),
    /// An instance for a scenario of the demo to kill
    #[command(hide = true)]
    DemoInstance(DemoInstance),
    /// Upload files, or pull URLs, and condition them
    Ingest(Ingest),
    /// The catalogue
    Asset(Asset),
    /// What can be read along with an asset
    Subtitles(Subtitles),
    /// Live channels
    Channel(Channel),
    /// Chains: how assets are conditioned
    Chain(Chain),
    /// Conditioning jobs
    Job(Job),
    /// How good media is: scores against a reference, and gates that fail
    Quality(Quality),
    /// The surrogates: what they keep, must forget, and should have before anybody asks
    Edge(Edge),
    /// Headless viewers who watch assets through the router, and what they meet with
    Load(Load),
    /// Instances behind names: who gets requests
    Endpoint(Endpoint),
    /// Where requests go, and why
    Route(Route),
    /// Sites: points of presence, what each has, and how far they are apart
    Site(Site),
    /// Measurements: what all parts report
    Clmc(Clmc),
    /// Templates of service function chains (TOSCA): what runs where, and what changes it
    Template(Template),
    /// Service functions of your own: whether they keep the contract (docs/own-service.md)
    Service(Service),
    /// Demands (SLA): what so many viewers take, where, and what it costs; or what would be possible instead
    Sla(Sla),
    /// Tokens for those who call from elsewhere
    Token(Token),
    /// The local certificate authority: certificates for the parts, and tokens to join
    Ca(Ca),
    /// What parts need of each other when each runs on its own: keys, tokens, a configuration each (images, templates)
    Parts(Parts),
    /// Look at this machine: ports, disk, codecs, multicast, Docker, privileges, and what each missing one costs
    Doctor(Doctor),
    /// Ask the router whether everything is ready; status 1 if not (the images' health check)
    Health,
    /// Print shell completions: flame completions bash > ~/.local/share/bash-completion/completions/flame
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, clap::Args)]
pub struct Up {
    /// Go to the background once everything is ready
    #[arg(short, long)]
    pub detach: bool,
    /// Where the data lies [default: $XDG_DATA_HOME/flame, else ~/.local/share/flame]
    #[arg(long, env = "FLAME_DATA", hide_env_values = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where the router listens; anything but loopback needs tokens, and makes one at first start
    #[arg(long, env = "FLAME_LISTEN", hide_env_values = true, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT", value_parser = connection::listen)]
    pub listen: SocketAddr,
    /// Where encoders publish by RTMP, or `off` [default: port 1935 beside the router]
    #[arg(long, env = "FLAME_RTMP", hide_env_values = true, value_name = "ADDRESS:PORT", value_parser = connection::live_door)]
    pub rtmp: Option<connection::LiveDoor>,
    /// Where encoders publish by SRT (UDP), or `off` [default: port 8890 beside the router]
    #[arg(long, env = "FLAME_SRT", hide_env_values = true, value_name = "ADDRESS:PORT", value_parser = connection::live_door)]
    pub srt: Option<connection::LiveDoor>,
    /// Take SRT encrypted only: a file with the passphrase, 10 to 79 bytes, that encoders show
    #[arg(long, env = "FLAME_SRT_PASSPHRASE", hide_env_values = true, value_name = "FILE")]
    pub srt_passphrase: Option<PathBuf>,
    /// Where media of WHIP sessions comes in (WebRTC, UDP), or `off` [default: port 8189 beside the router]
    #[arg(long, env = "FLAME_WHIP", hide_env_values = true, value_name = "ADDRESS:PORT", value_parser = connection::live_door)]
    pub whip: Option<connection::LiveDoor>,
    /// Addresses that browsers are told to send WebRTC to, where this machine's own are not reached
    #[arg(long, env = "FLAME_WHIP_ADVERTISE", hide_env_values = true, value_name = "IP", value_delimiter = ',')]
    pub whip_advertise: Vec<std::net::IpAddr>,
    /// Let `flame ingest URL` and `flame channel create --pull URL` reach private and loopback addresses
    #[arg(long)]
    pub allow_private_pulls: bool,
    /// Sites that viewers are steered to: a TOML file with streaming's table `[steering]`
    #[arg(long, value_name = "FILE")]
    pub steering: Option<PathBuf>,
    /// Who is told of changes in the catalogue: a TOML file with metadata's tables `[[webhooks]]`
    #[arg(long, value_name = "FILE")]
    pub webhooks: Option<PathBuf>,
    /// Where people sign in, besides with tokens and links: a TOML file with the router's table `[oidc]`
    #[arg(long, value_name = "FILE")]
    pub oidc: Option<PathBuf>,
    /// How often everything reports its measurements to clmc
    #[arg(long, default_value = "10s", value_name = "TIME")]
    pub report_every: Span,
    /// How long a link lives that plays a protected asset in the portal, or that `flame asset link` gives, where no sign-in ends earlier
    #[arg(long, default_value = "4h", value_name = "TIME")]
    pub link_life: Span,
    /// Let templates of administrators name any program of this machine by its path: they can then run everything
    #[arg(long)]
    pub any_program: bool,
    /// Run the points of presence of a site, each with a router and a surrogate of its own, at the ports after that of `--listen`: a site
    /// that is shipped (`flame site list`), or a site file
    #[arg(long, value_name = "NAME|FILE")]
    pub site: Option<String>,
    /// Stop when standard input ends: for whoever starts it and must not leave it behind
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
}

#[derive(Debug, clap::Args)]
pub struct Down {
    /// The data folder of the `flame up` to stop [default: as in `flame up`]
    #[arg(long, env = "FLAME_DATA", hide_env_values = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Delete the data folder afterwards
    #[arg(long)]
    pub purge: bool,
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("what").required(true).args(["scenario", "list"]))]
pub struct Demo {
    /// The scenario
    #[arg(value_parser = PossibleValuesParser::new(crate::demo::names()))]
    pub scenario: Option<String>,
    /// A media file of yours to use instead of the real clip that is fetched
    pub file: Option<PathBuf>,
    /// Name the scenarios
    #[arg(long)]
    pub list: bool,
    /// End after the last step instead of keeping everything open to look at; status 0 only if every step was verified
    #[arg(long)]
    pub once: bool,
    /// Play on machines of their own (network namespaces) with real links between them; takes root, ip, tc and iptables
    #[arg(long)]
    pub netns: bool,
}

#[derive(Debug, clap::Args)]
pub struct DemoInstance {
    /// The name to register behind
    #[arg(long)]
    pub name: String,
    /// What it holds
    #[arg(long, value_name = "FILE")]
    pub object: PathBuf,
    /// Stand by until it is connected
    #[arg(long)]
    pub booted: bool,
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// The keys of those that may ask it, where it can be reached from elsewhere
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct Channel {
    #[command(subcommand)]
    pub command: ChannelCommand,
}

#[derive(Debug, Subcommand)]
pub enum ChannelCommand {
    /// Make a channel; prints the key that publishers show, once
    Create {
        /// What it is called
        title: String,
        /// Length of a segment: 1s to 10s
        #[arg(long, default_value = "2s", value_name = "TIME")]
        segment: Span,
        /// Length of a part: 100ms to 1s
        #[arg(long, default_value = "200ms", value_name = "TIME")]
        part: Span,
        /// How far back viewers can go while it is live: 30s to 12h
        #[arg(long, default_value = "2h", value_name = "TIME")]
        window: Span,
        /// How long what was sent is kept while it is live, the window at least (24h); all of it without this. The recording begins there
        #[arg(long, value_name = "TIME")]
        keep: Option<Span>,
        /// Let ingest fetch an HLS playlist for it, live or not
        #[arg(long, value_name = "URL", conflicts_with = "loop_asset")]
        pull: Option<Url>,
        /// Let an asset play in it over and over again
        #[arg(long = "loop", id = "loop_asset", value_name = "ASSET", value_parser = connection::id)]
        loop_asset: Option<Uuid>,
        /// Let transcode make smaller renditions of what comes: of these heights (480,240), or of those that it is set to
        #[arg(long, value_name = "HEIGHTS", num_args = 0..=1, require_equals = true, value_delimiter = ',')]
        ladder: Option<Vec<u32>>,
        /// Encrypt what viewers get, from the first part on and in the recording; they get the key as they get the channel
        #[arg(long, value_name = "METHOD")]
        encrypt: Option<Method>,
    },
    /// List the channels that have not ended
    List,
    /// One channel, also one that has ended
    Show {
        /// Its identifier
        #[arg(value_parser = connection::id)]
        id: Uuid,
    },
    /// Give a channel another key; who publishes now may go on
    Key {
        /// Its identifier
        #[arg(value_parser = connection::id)]
        id: Uuid,
    },
    /// Say something of a span of a channel's time, for players: an advertisement, a chapter (EXT-X-DATERANGE)
    Mark(ChannelMark),
    /// List the marks of a channel
    Marks {
        /// Its identifier
        #[arg(value_parser = connection::id)]
        id: Uuid,
    },
    /// End a channel: what was sent plays on as an asset, under the same URLs
    End {
        /// Its identifier
        #[arg(value_parser = connection::id)]
        id: Uuid,
    },
}

#[derive(Debug, clap::Args)]
pub struct Edge {
    /// The surrogate's own API by its name: `vcdn`, or that of one that a template has started (`vcdn-first.city`); purges reach all by any
    #[arg(long, global = true, default_value = flame_api::vcdn::API, value_name = "NAME")]
    pub via: String,
    #[command(subcommand)]
    pub command: EdgeCommand,
}

#[derive(Debug, Subcommand)]
pub enum EdgeCommand {
    /// How viewers were answered since the start, by asset, and what is kept: of one surrogate, the nearest to `--router`
    Stats,
    /// Drop what is kept, in all surrogates; status 1 if one could not be told, or nobody knows all
    Purge {
        /// The name that it is served under; `*`: all names of the tenant, also those of templates
        #[arg(long, default_value = "cdn")]
        name: String,
        #[command(flatten)]
        what: Purged,
    },
    /// Fetch before anybody asks, into one surrogate, the nearest to `--router`; what a playlist of HLS or a manifest of DASH names comes
    /// with it. Status 1 if something is missing
    Warm {
        /// The name that it is served under
        #[arg(long, default_value = "cdn")]
        name: String,
        /// Path and query behind the name: /ASSET/index.m3u8
        url: String,
        /// The most objects to fetch; what is named beyond them is counted
        #[arg(long, default_value_t = 1000)]
        max: u32,
    },
}

/// What is purged.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Purged {
    /// One resource: path and query behind the name
    pub url: Option<String>,
    /// All whose path begins so
    #[arg(long, value_name = "PATH")]
    pub prefix: Option<String>,
    /// All of one group (Cache-Groups, RFC 9875)
    #[arg(long)]
    pub tag: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct Endpoint {
    #[command(subcommand)]
    pub command: EndpointCommand,
}

#[derive(Debug, Subcommand)]
pub enum EndpointCommand {
    /// All that are registered, at all sites
    List,
    /// Send it no new requests; those that are open end there
    Drain(Which),
    /// Send it requests: again, or for the first time where it was booted as a standby
    Connect(Which),
    /// Cut it off: no requests, and its open ones end (those that can go on elsewhere do). Only a later start comes back, or, by `connect`,
    /// one of the file of static entries
    Kill(Which),
}

/// One endpoint.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// The name that it stands behind
    pub name: String,
    /// Its identifier; `flame endpoint list` shows it
    pub endpoint: String,
}

#[derive(Debug, clap::Args)]
pub struct Route {
    #[command(subcommand)]
    pub command: RouteCommand,
}

#[derive(Debug, Subcommand)]
pub enum RouteCommand {
    /// All endpoints as the router sees them: state, distance, latency, cost
    List,
    /// Where a request would go now, and why; status 1 if nowhere
    Explain {
        /// A URL, or its path: /~streaming/ASSET/index.m3u8
        url: String,
        /// What the cookie or header field of a sticky name would say
        #[arg(long, value_name = "KEY")]
        sticky: Option<String>,
    },
    /// What did not go straight through: requests asked again, of a second endpoint, gone on elsewhere, searched for
    Activity {
        /// Go on as it happens, until Ctrl-C
        #[arg(short, long)]
        follow: bool,
    },
}

#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// The data folder to look at [default: as in `flame up`]
    #[arg(long, env = "FLAME_DATA", hide_env_values = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Args::command().debug_assert();
    }
}
