//! What can be said to `flame token`.

use std::path::PathBuf;

use clap::Subcommand;
use flame_service_host::config::Span;
use url::Url;

#[derive(Debug, clap::Args)]
pub struct Token {
    #[command(subcommand)]
    pub command: TokenCommand,
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Issue a token and print it
    Issue {
        /// Whom it is for
        #[arg(long, default_value = "operator")]
        subject: String,
        /// The tenant that it acts for
        #[arg(long, default_value = "default")]
        tenant: String,
        /// What it allows: read, write, admin, metrics, service
        #[arg(long = "scope", value_delimiter = ',', default_value = "read,write")]
        scopes: Vec<flame_service_host::Scope>,
        /// A name that its holder may register behind, and no others; repeat it for more, `media.*` is every instance
        #[arg(long = "name", value_name = "NAME")]
        names: Vec<String>,
        /// How long it is valid: 90min, 24h
        #[arg(long, default_value = "24h", value_name = "DURATION")]
        life: Span,
        /// The data folder that holds the keys [default: as in `flame up`]
        #[arg(long, env = "FLAME_DATA", hide_env_values = true, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Make a link that signs a browser in at the portal, once, and print it
    Link(TokenLink),
    /// Sign a URL behind a name that asks viewers for one, and print it (RFC 9246); playlists keep the token
    SignUrl(SignUrl),
    /// Revoke a token; it is refused from the next second on
    Revoke {
        /// The token, or its id
        token: String,
        /// The data folder that holds the keys [default: as in `flame up`]
        #[arg(long, env = "FLAME_DATA", hide_env_values = true, value_name = "DIR")]
        data: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
pub struct SignUrl {
    /// The URL, as viewers ask for it without a token
    pub url: Url,
    /// What the token opens: every path behind the name that begins so [default: the asset of the URL]
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// Whom it is for
    #[arg(long)]
    pub subject: Option<String>,
    /// How long it is valid: 90min, 24h
    #[arg(long, default_value = "4h", value_name = "DURATION")]
    pub life: Span,
    /// What the surrogate's `tokens.origin` says [default: https:// and the whole name]
    #[arg(long, value_name = "ORIGIN")]
    pub origin: Option<String>,
    /// The folder with the signing key [default: `viewers` in the data folder]
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,
    /// The data folder that holds the keys [default: as in `flame up`]
    #[arg(long, env = "FLAME_DATA", hide_env_values = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct TokenLink {
    /// Whom it is for
    #[arg(long, default_value = "operator")]
    pub subject: String,
    /// The tenant that it acts for
    #[arg(long, default_value = "default")]
    pub tenant: String,
    /// What the browser may do then: read, write, admin, metrics
    #[arg(long = "scope", value_delimiter = ',', default_value = "read,write")]
    pub scopes: Vec<flame_service_host::Scope>,
    /// How long the link can be used, at most a day
    #[arg(long, default_value = "10min", value_name = "DURATION")]
    pub life: Span,
    /// How long the browser is signed in then
    #[arg(long, default_value = "12h", value_name = "DURATION")]
    pub session: Span,
    /// Where the portal is, for the link [default: what `flame up` on the data folder says, else http://localhost:8080/]
    #[arg(long, value_name = "URL")]
    pub portal: Option<Url>,
    /// The data folder that holds the keys [default: as in `flame up`]
    #[arg(long, env = "FLAME_DATA", hide_env_values = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
}
