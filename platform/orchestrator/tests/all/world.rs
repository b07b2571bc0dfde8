//! A router and an orchestrator that runs programs of this machine; whatever a test leaves running is ended with its world.

use std::time::Duration;

use flame_api::Client;
use flame_api::orchestrator::{Deployment, NewDeployment};
use flame_orchestrator::Config;
use flame_service_host::config::Span;
use flame_service_host::{HostConfig, Running};
use flame_test_kit::{Scratch, eventually};

pub const PATIENCE: Duration = Duration::from_secs(20);
const PYTHON: &str = "/usr/bin/python3";
/// Answers with its function, its process and what it was told to say.
const PROGRAM: &str = "import http.server, os, subprocess, time
if 'CHILD' in os.environ:
    subprocess.Popen(['/bin/sleep', '600'])
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.endswith('slow'):
            time.sleep(1)
        body = ' '.join([os.environ['FLAME_SF'], str(os.getpid()), os.environ.get('SAY', '')]).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.send_header('Cache-Control', 'no-store')
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['FLAME_PORT'])), Answer).serve_forever()";

pub struct World {
    pub orchestrator: Option<Running>,
    /// Serves as long as the world is there.
    _router: Running,
    pub client: Client,
    pub http: reqwest::Client,
    pub config: Config,
    /// The instance of what is deployed: unique, so that its processes can be told.
    pub instance: String,
    // Deleted last.
    folder: Scratch,
}

impl World {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same with a configuration of its own.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = Scratch::new("orchestrator");
        let host = HostConfig { listen: ([127, 0, 0, 1], 0).into(), ..HostConfig::default() };
        let router = flame_router::Config { host, ..flame_router::Config::default() };
        let router = flame_router::start(router).await.expect("the router starts");
        let url: url::Url = format!("http://{}", router.address()).parse().expect("an address makes a URL");
        let mut config = Config::default();
        config.host.router = Some(url.clone());
        config.store.database = folder.join("orchestrator.db");
        config.process.folder = folder.join("endpoints");
        config.process.any_program = true;
        config.lifecycle.look_every = Span(Duration::from_millis(50));
        config.lifecycle.retry = Span(Duration::from_millis(100));
        change(&mut config);
        let instance = format!("t{}", uuid::Uuid::new_v4().simple());
        let client = Client::new(url, None);
        let http = reqwest::Client::new();
        let mut world = Self { orchestrator: None, _router: router, client, http, config, instance, folder };
        world.orchestrate().await;
        world
    }

    /// Starts the orchestrator with what it remembers, and waits until it is reached by name.
    pub async fn orchestrate(&mut self) {
        let running = flame_orchestrator::start(self.config.clone()).await.expect("the orchestrator starts");
        self.orchestrator = Some(running);
        eventually(PATIENCE, || async { self.client.deployments().await.map(drop) }).await;
    }

    pub fn folder(&self) -> &Scratch {
        &self.folder
    }

    /// A template of two surrogates, of which the second stands by; `say` is what they answer.
    pub fn template(&self, say: &str) -> String {
        let program = PROGRAM.replace('\n', "\n            ");
        let function = |name: &str| {
            format!(
                "    {name}:
      type: eu.ict-flame.nodes.ServiceFunction
      capabilities: {{ host: {{ properties: {{ num_cpus: 1, mem_size: 32 MiB }} }} }}
      properties:
        image: {PYTHON}
        fqdn: [ web ]
        environment: {{ SAY: \"{say}\" }}
        arguments:
          - -c
          - |
            {program}
"
            )
        };
        format!(
            "tosca_definitions_version: tosca_simple_yaml_1_3
imports: [ flame_definitions.yaml ]
metadata: {{ sfc: tested, sfci: {} }}
topology_template:
  node_templates:
{}{}  policies:
    - start:
        type: eu.ict-flame.policies.InitialPolicy
        triggers:
          t:
            condition: {{ constraint: initialise }}
            action:
              first: {{ any: eu.ict-flame.sfe.state.lifecycle.connected }}
              second: {{ any: eu.ict-flame.sfe.state.lifecycle.booted }}
    - crowd:
        type: eu.ict-flame.policies.StateChange
        properties: {{ cool_down: 1 s }}
        triggers:
          join:
            condition: {{ constraint: \"clmc::slow\" }}
            action: {{ second: {{ any: eu.ict-flame.sfe.state.lifecycle.connected }} }}
          leave:
            condition: {{ constraint: \"clmc::calm\" }}
            action: {{ second: {{ any: eu.ict-flame.sfe.state.lifecycle.booted }} }}
",
            self.instance,
            function("first"),
            function("second")
        )
    }

    pub fn request(&self, say: &str) -> NewDeployment {
        NewDeployment { template: self.template(say), ..NewDeployment::default() }
    }

    /// A template of functions that take connections and never answer; each is called `silent` and its number.
    pub fn silent(&self, count: usize) -> String {
        let nodes: String = (0..count)
            .map(|at| {
                format!(
                    "    silent{at}:
      type: eu.ict-flame.nodes.ServiceFunction
      capabilities: {{ host: {{ properties: {{ num_cpus: 1, mem_size: 1 MiB }} }} }}
      properties:
        image: {PYTHON}
        fqdn: [ silent ]
        ready_path: /
        arguments: [ -S, -c, \"import os, socket, time; s = socket.create_server(('127.0.0.1', int(os.environ['FLAME_PORT']))); time.sleep(600)\" ]
"
                )
            })
            .collect();
        let begin: String = (0..count)
            .map(|at| format!("              silent{at}: {{ any: eu.ict-flame.sfe.state.lifecycle.connected }}\n"))
            .collect();
        format!(
            "tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {{ sfc: silence, sfci: {} }}
topology_template:
  node_templates:
{nodes}  policies:
    - start:
        type: eu.ict-flame.policies.InitialPolicy
        triggers:
          t:
            condition: {{ constraint: initialise }}
            action:
{begin}",
            self.instance
        )
    }

    /// Stops the orchestrator, changes what it remembers of its deployment, and starts it again.
    pub async fn remember(&mut self, change: impl FnOnce(&mut serde_json::Value)) {
        if let Some(orchestrator) = self.orchestrator.take() {
            orchestrator.stop().await;
        }
        let pool = self.database().await;
        let text: String =
            sqlx::query_scalar("SELECT record FROM deployments").fetch_one(&pool).await.expect("a record");
        let mut record = serde_json::from_str(&text).expect("a record is JSON");
        change(&mut record);
        let update = sqlx::query("UPDATE deployments SET record = ?").bind(record.to_string()).execute(&pool);
        update.await.expect("the record is written");
        pool.close().await;
        self.orchestrate().await;
    }

    pub async fn database(&self) -> sqlx::SqlitePool {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&self.config.store.database);
        sqlx::SqlitePool::connect_with(options).await.expect("the database is there")
    }

    pub async fn deployment(&self) -> Option<Deployment> {
        self.client.deployment("tested", &self.instance).await.expect("the orchestrator answers")
    }

    /// Waits until everything is as it should be.
    pub async fn settled(&self) -> Deployment {
        eventually(PATIENCE, || async {
            let found = self.client.deployment("tested", &self.instance).await.map_err(|error| error.to_string())?;
            let found = found.ok_or("there is none")?;
            if found.is_settled { Ok(found) } else { Err(format!("{:?}", states(&found))) }
        })
        .await
    }

    /// What the name answers: function, process, what it says.
    pub async fn get(&self) -> Result<(String, u32, String), String> {
        let url = self.client.url(&format!("web.{}", self.instance), "");
        let answer = self.http.get(url).send().await.map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            return Err(answer.status().to_string());
        }
        let text = answer.text().await.map_err(|error| error.to_string())?;
        let mut words = text.split(' ').map(str::to_owned);
        let mut next = || words.next().unwrap_or_default();
        Ok((next(), next().parse().unwrap_or_default(), next()))
    }

    /// Processes of this world's deployment.
    pub fn processes(&self) -> Vec<u32> {
        let wanted = format!("FLAME_SFCI={}", self.instance);
        let entries = std::fs::read_dir("/proc").expect("/proc is there");
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        let is_ours = |pid: &u32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes())
        };
        pids.filter(is_ours).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Nobody starts them again.
        self.orchestrator = None;
        self.processes().into_iter().for_each(kill);
    }
}

/// Ends a process at once.
pub fn kill(pid: u32) {
    signal(pid, rustix::process::Signal::KILL);
}

/// Keeps a process from doing anything, as one that hangs.
pub fn hang(pid: u32) {
    signal(pid, rustix::process::Signal::STOP);
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a process has a number");
    // It may have ended by itself.
    let _ = rustix::process::kill_process(pid, signal);
}

/// How far each function is.
pub fn states(deployment: &Deployment) -> Vec<(&str, &str)> {
    deployment.endpoints.iter().map(|one| (one.function.as_str(), one.state.as_str())).collect()
}
