//! A running service with a scratch store, and how its callers write and ask.

use flame_clmc::Config;
use flame_service_host::Running;
use flame_test_kit::Scratch;
use reqwest::Response;
use serde_json::Value;

pub struct World {
    pub running: Running,
    pub http: reqwest::Client,
    // Deleted last.
    _folder: Scratch,
}

impl World {
    /// An empty store, open to everybody on loopback.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same with a configuration of its own.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = Scratch::new("clmc");
        let mut config = Config::default();
        config.store.folder = folder.join("store");
        change(&mut config);
        let running = flame_clmc::start(config).await.expect("the service starts");
        Self { running, http: reqwest::Client::new(), _folder: folder }
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.running.address())
    }

    pub async fn get(&self, path: &str) -> Response {
        self.http.get(format!("{}{path}", self.base())).send().await.expect("the service answers")
    }

    /// Writes lines.
    pub async fn write(&self, path: &str, lines: &str) -> Response {
        let request = self.http.post(format!("{}{path}", self.base())).body(lines.to_owned());
        request.send().await.expect("the service answers")
    }

    /// Writes lines, all of which are taken.
    pub async fn wrote(&self, db: &str, lines: &str) {
        let answer = self.write(&format!("/write?db={db}"), lines).await;
        assert_eq!(answer.status(), 204, "{}", answer.text().await.unwrap());
    }

    /// The answer to one question, times in nanoseconds.
    pub async fn ask(&self, db: &str, question: &str) -> Value {
        ask(&self.base(), db, question).await
    }
}

/// The answer of whoever speaks as InfluxDB does.
pub async fn ask(base: &str, db: &str, question: &str) -> Value {
    let request =
        reqwest::Client::new().post(format!("{base}/query")).query(&[("db", db), ("epoch", "ns"), ("q", question)]);
    let answer = request.send().await.expect("it answers");
    answer.json().await.expect("the answer is JSON")
}

/// Nanoseconds since 1970.
pub fn now_ns() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_nanos()).unwrap()
}
