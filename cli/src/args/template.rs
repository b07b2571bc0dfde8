//! What `flame template` is told.

use std::path::PathBuf;

use clap::Subcommand;
use url::Url;

#[derive(Debug, clap::Args)]
pub struct Template {
    #[command(subcommand)]
    pub command: TemplateCommand,
}

#[derive(Debug, Subcommand)]
pub enum TemplateCommand {
    /// Print a template to begin with: flame template new my-service > my-service.yaml
    New {
        /// The service function chain
        name: String,
    },
    /// Say what is wrong with a template, with line, column and the nearest right word
    Validate(File),
    /// Say what a template asks for: functions, names, policies
    Explain(File),
    /// Say where a template would go, and why; nothing is done
    Plan(File),
    /// Say what an update would change of what is deployed: what stays, what gets a successor, and why
    Diff(File),
    /// Deploy a template, or change what is deployed of it
    Deploy {
        #[command(flatten)]
        file: File,
        /// Wait until every endpoint is as far as it should be
        #[arg(long)]
        wait: bool,
    },
    /// Change what is deployed of a template: what is unchanged stays, what is changed goes once its successor serves
    Update {
        #[command(flatten)]
        file: File,
        /// Wait until every endpoint is as far as it should be
        #[arg(long)]
        wait: bool,
    },
    /// Write a template for others: a Compose file, manifests of Kubernetes, or an archive for orchestrators of TOSCA (CSAR)
    Export(Export),
    /// Show what is deployed, and how far each endpoint is
    Status {
        /// The service function chain [default: all]
        sfc: Option<String>,
        /// Its instance
        #[arg(requires = "sfc")]
        sfci: Option<String>,
    },
    /// Show what was decided of a deployment, and why
    Decisions {
        /// The service function chain
        sfc: String,
        /// Its instance
        sfci: String,
    },
    /// Move a function to another state by hand, as a policy would: start it, connect it, let it stand by, end it
    Move {
        /// The service function chain
        sfc: String,
        /// Its instance
        sfci: String,
        /// The function of the template
        function: String,
        /// How far it is to be
        state: State,
        /// Wait until it is so far
        #[arg(long)]
        wait: bool,
    },
    /// Let a deployment go: its endpoints are drained, then ended
    Undeploy {
        /// The service function chain
        sfc: String,
        /// Its instance
        sfci: String,
        /// Wait until it is gone
        #[arg(long)]
        wait: bool,
    },
}

/// How far a function is to be.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum State {
    /// It is not there
    Unplaced,
    /// It has a place, and takes no compute
    Placed,
    /// It runs, and gets no requests
    Booted,
    /// It gets requests
    Connected,
}

/// For whom a template is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// A Compose file, for one machine or a swarm
    Compose,
    /// Manifests of Kubernetes
    Kubernetes,
    /// An archive with the template, what it imports, and its alerts (TOSCA 1.3, CSAR 1.1)
    Csar,
}

/// What is exported, and how.
#[derive(Debug, clap::Args)]
pub struct Export {
    #[command(flatten)]
    pub file: File,
    /// For whom
    #[arg(long = "as", value_name = "FORM")]
    pub form: Form,
    /// Where it is written [default: standard output]
    #[arg(long, value_name = "FILE", required_if_eq("form", "csar"))]
    pub out: Option<PathBuf>,
    /// Ask the orchestrator where each function goes, and have it go there
    #[arg(long)]
    pub placed: bool,
    /// The router of the platform, as containers reach it
    #[arg(long, default_value = "http://router:8080", value_name = "URL")]
    pub platform: Url,
    /// What stands before the names of FLAME's own images: registry.example/
    #[arg(long, default_value = "", hide_default_value = true, value_name = "PREFIX")]
    pub registry: String,
    /// The tag of FLAME's own images
    #[arg(long, default_value = "edge", value_name = "TAG")]
    pub tag: String,
}

/// A template in a file, and what it is given.
#[derive(Debug, clap::Args)]
pub struct File {
    /// The template (TOSCA): YAML, or an archive (CSAR)
    pub file: PathBuf,
    /// An input's value, NAME=VALUE
    #[arg(long = "input", value_name = "NAME=VALUE", value_parser = input)]
    pub inputs: Vec<(String, String)>,
    /// Another instance than the template's own
    #[arg(long, value_name = "NAME")]
    pub instance: Option<String>,
    /// The alerts document that its policies wait for
    #[arg(long, value_name = "FILE")]
    pub alerts: Option<PathBuf>,
}

fn input(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is no NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}
