//! The clauses of docs/own-service.md, each asked of a running function over its socket. Requests are written byte by byte here: what is
//! judged is what the function answers, not what a client library makes of it.

use std::time::{Duration, Instant};

use flame_api::Client;
use flame_api::clmc::Question;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Finding, Subject};

/// Time for one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time from being told to end to being ended, as the orchestrator's default has it (`lifecycle.stop`).
const STOP: Duration = Duration::from_secs(15);
/// What is waited for at the end is looked at so often.
const POLL: Duration = Duration::from_millis(20);
/// Longest answer that is read.
const ANSWER_MAX_BYTES: usize = 16 << 20;

/// An answer, as it came.
struct Answer {
    status: u16,
    /// Names in lower case, and values.
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    /// Whether the connection can be used again.
    stays: bool,
}

/// Asks for everything, one clause after the other.
pub async fn check(client: &Client, subject: &Subject) -> Vec<Finding> {
    let port = port(subject).await;
    let is_there = port.is_ok();
    let mut findings = vec![Finding::of("port", port)];
    if !is_there {
        return findings;
    }
    findings.push(match &subject.ready {
        Some(path) => Finding::of("health", health(subject, path).await),
        None => Finding::unseen("health", "say `--ready PATH`"),
    });
    findings.push(Finding::of("answers", answers(subject).await));
    findings.push(Finding::of("head", head(subject).await));
    findings.push(Finding::of("caching", caching(subject).await));
    findings.push(Finding::of("any host", any_host(subject).await));
    findings.push(Finding::of("others wait for nobody", others(subject).await));
    match &subject.name {
        Some(name) => {
            findings.push(Finding::of("name", named(client, subject, name).await));
            findings.push(Finding::of("telemetry", telemetry(client, name).await));
        }
        None => {
            let why = "give its name behind the router instead of its address";
            findings.extend(["name", "telemetry"].map(|clause| Finding::unseen(clause, why)));
        }
    }
    findings.push(match subject.drain {
        Some(pid) => Finding::of("drain", drain(subject, pid).await),
        None => Finding::unseen("drain", "say `--drain PID`: the function is ended"),
    });
    findings
}

async fn port(subject: &Subject) -> Result<String, String> {
    connected(&subject.address).await.map(|_| format!("{} takes connections", subject.address))
}

async fn health(subject: &Subject, path: &str) -> Result<String, String> {
    let answer = once(subject, "GET", path, &subject.address).await?;
    if (200..300).contains(&answer.status) {
        return Ok(format!("{path} is answered with {}", answer.status));
    }
    Err(format!("{path} is answered with {}, and is to be 2xx once it serves", answer.status))
}

/// Two requests on one connection: lengths are right, and what is not there is the caller's mistake.
async fn answers(subject: &Subject) -> Result<String, String> {
    let mut stream = connected(&subject.address).await?;
    let first = exchange(&mut stream, "GET", &subject.path, &subject.address).await?;
    if first.status != 200 {
        return Err(format!(
            "{} is answered with {}; say `--path PATH` for one that is there",
            subject.path, first.status
        ));
    }
    if !first.stays {
        return Err(
            "the connection ends after an answer: a router keeps them (HTTP/1.1 with a Content-Length, or chunks)"
                .to_owned(),
        );
    }
    let second = exchange(&mut stream, "GET", "/there/is/nothing/of/this/name", &subject.address).await?;
    if second.status >= 500 {
        return Err(format!(
            "what is not there is answered with {}: routers take that for a broken instance",
            second.status
        ));
    }
    Ok(format!("200, then {} on the same connection", second.status))
}

async fn head(subject: &Subject) -> Result<String, String> {
    let (get, head) = (
        once(subject, "GET", &subject.path, &subject.address).await?,
        once(subject, "HEAD", &subject.path, &subject.address).await?,
    );
    if get.status != head.status {
        return Err(format!("GET is answered with {}, HEAD with {}", get.status, head.status));
    }
    if !head.body.is_empty() {
        return Err(format!("HEAD is answered with {} bytes", head.body.len()));
    }
    Ok("HEAD is answered as GET, without a body".to_owned())
}

async fn caching(subject: &Subject) -> Result<String, String> {
    let answer = once(subject, "GET", &subject.path, &subject.address).await?;
    match answer.field("cache-control") {
        Some(said) => Ok(format!("cache-control: {said}")),
        None => Err("no Cache-Control: surrogates guess how long it is fresh, or ask each time".to_owned()),
    }
}

/// Requests keep the Host that the viewer wrote.
async fn any_host(subject: &Subject) -> Result<String, String> {
    let host = subject
        .name
        .as_ref()
        .map_or_else(|| "greeter.own-main.localhost".to_owned(), |name| format!("{name}.localhost"));
    let answer = once(subject, "GET", &subject.path, &host).await?;
    if answer.status == 200 {
        return Ok(format!("Host {host} is answered as well"));
    }
    Err(format!("Host {host} is answered with {}: the name is the router's business", answer.status))
}

/// One that sends half a request holds up nobody.
async fn others(subject: &Subject) -> Result<String, String> {
    let mut rude = connected(&subject.address).await?;
    rude.write_all(b"GET / HTTP/1.1\r\nHost: half").await.map_err(|error| error.to_string())?;
    let began = Instant::now();
    let answer = once(subject, "GET", &subject.path, &subject.address).await;
    let answer = answer.map_err(|why| format!("while somebody has sent half a request: {why}"))?;
    drop(rude);
    Ok(format!("{} after {} ms, while somebody has sent half a request", answer.status, began.elapsed().as_millis()))
}

async fn named(client: &Client, subject: &Subject, name: &str) -> Result<String, String> {
    let url = client.url(name, subject.path.trim_start_matches('/'));
    let request = client.request(reqwest::Method::GET, name, subject.path.trim_start_matches('/')).timeout(PATIENCE);
    let answer = request.send().await.map_err(|error| format!("{url}: {error}"))?;
    if answer.status().is_success() {
        return Ok(format!("{url} is answered with {}", answer.status()));
    }
    Err(format!("{url} is answered with {}", answer.status()))
}

/// CLMC has points of the chain that the name belongs to.
async fn telemetry(client: &Client, name: &str) -> Result<String, String> {
    let deployed = client.deployments().await.map_err(|error| error.to_string())?.items;
    let own = deployed
        .into_iter()
        .find(|one| one.endpoints.iter().any(|endpoint| endpoint.names.iter().any(|it| it == name)));
    let own = own.ok_or("it is not of a template: then nobody knows its database")?;
    let question = Question { q: "SHOW MEASUREMENTS".to_owned(), db: own.sfc.clone(), epoch: None };
    let answers = client.ask(&question).await.map_err(|error| error.to_string())?;
    let series = answers.results.iter().flat_map(|answer| &answer.series);
    let measurements: Vec<String> =
        series.flat_map(|one| &one.values).filter_map(|row| Some(row.first()?.as_str()?.to_owned())).collect();
    if measurements.is_empty() {
        return Err(format!("CLMC has no measurement in the database `{}`", own.sfc));
    }
    Ok(format!("CLMC has {} in the database `{}`", measurements.join(", "), own.sfc))
}

/// Told to end, it finishes what is open, takes nothing more, and ends.
async fn drain(subject: &Subject, pid: u32) -> Result<String, String> {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| format!("{pid} is no process"))?;
    let mut open = connected(&subject.address).await?;
    let request = request("GET", &subject.path, &subject.address);
    let (most, last) = request.split_at(request.len() - 2);
    open.write_all(most.as_bytes()).await.map_err(|error| error.to_string())?;
    // The function has the connection: others were answered after it.
    once(subject, "GET", &subject.path, &subject.address).await?;
    kill_process(process, Signal::TERM).map_err(|error| format!("process {pid} cannot be told: {error}"))?;
    open.write_all(last.as_bytes()).await.map_err(|error| format!("the open request was cut off: {error}"))?;
    let answer = read(&mut open, "GET").await.map_err(|why| format!("the open request was cut off: {why}"))?;
    drop(open);
    let began = Instant::now();
    // One that has ended and is not waited for yet is a zombie: its command line is empty.
    while std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty()) {
        if began.elapsed() > STOP {
            return Err(format!("it still runs {} s after SIGTERM, and would be killed now", STOP.as_secs()));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(format!(
        "the open request was answered with {}, and it ended {} ms later",
        answer.status,
        began.elapsed().as_millis()
    ))
}

fn request(method: &str, path: &str, host: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n"
    )
}

async fn connected(address: &str) -> Result<TcpStream, String> {
    let connecting = tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await;
    let connecting = connecting.map_err(|_| format!("{address} takes no connection in {} s", PATIENCE.as_secs()))?;
    connecting.map_err(|error| format!("{address} takes no connection: {error}"))
}

/// One request on a connection of its own.
async fn once(subject: &Subject, method: &str, path: &str, host: &str) -> Result<Answer, String> {
    exchange(&mut connected(&subject.address).await?, method, path, host).await
}

async fn exchange(stream: &mut TcpStream, method: &str, path: &str, host: &str) -> Result<Answer, String> {
    stream.write_all(request(method, path, host).as_bytes()).await.map_err(|error| error.to_string())?;
    read(stream, method).await
}

async fn read(stream: &mut TcpStream, method: &str) -> Result<Answer, String> {
    let reading = tokio::time::timeout(PATIENCE, read_whole(stream, method)).await;
    reading.map_err(|_| format!("no whole answer in {} s", PATIENCE.as_secs()))?
}

/// Reads one answer (RFC 9112 section 6.3).
async fn read_whole(stream: &mut TcpStream, method: &str) -> Result<Answer, String> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if more(stream, &mut bytes).await? == 0 {
            return Err("the connection ended before an answer".to_owned());
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    let status: u16 = status.ok_or_else(|| format!("`{first}` is no answer of HTTP/1.1"))?;
    let field = |line: &str| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
    let mut answer =
        Answer { status, fields: lines.filter_map(field).collect(), body: bytes.split_off(head_end), stays: true };
    let closes = answer.field("connection").is_some_and(|said| said.to_lowercase().contains("close"));
    answer.stays = first.starts_with("HTTP/1.1") && !closes;
    if method == "HEAD" || status == 204 || status == 304 {
        return Ok(answer);
    }
    let is_chunked = answer.field("transfer-encoding").is_some_and(|said| said.to_lowercase().ends_with("chunked"));
    let length: Option<usize> = answer.field("content-length").and_then(|said| said.parse().ok());
    loop {
        let is_whole = match length {
            _ if is_chunked => answer.body.ends_with(b"0\r\n\r\n"),
            Some(length) if answer.body.len() > length => {
                return Err(format!("more than the {length} bytes came that Content-Length says"));
            }
            Some(length) => answer.body.len() == length,
            None => false,
        };
        if is_whole {
            return Ok(answer);
        }
        if more(stream, &mut answer.body).await? == 0 {
            answer.stays = false;
            return match length {
                Some(length) => {
                    Err(format!("{} of {length} bytes came before the connection ended", answer.body.len()))
                }
                None => Ok(answer),
            };
        }
    }
}

async fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<usize, String> {
    if bytes.len() > ANSWER_MAX_BYTES {
        return Err(format!("an answer longer than {ANSWER_MAX_BYTES} bytes: say `--path PATH` for a shorter one"));
    }
    stream.read_buf(bytes).await.map_err(|error| error.to_string())
}

// === impl Answer ===

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}
