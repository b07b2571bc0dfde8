//! `flame edge warm`: takes as long as what it fetches, and waits only while the surrogate says that it is at it.

use std::time::Duration;

use anyhow::anyhow;
use flame_api::client::{BODY_MAX_BYTES, Client, ClientError, read_json};
use flame_api::vcdn::{Warm, Warmed};
use reqwest::{Method, Response};
use tokio::time::timeout;

use crate::exit::Exit;

/// Who says nothing for so long is not waited for; a surrogate that fetches gives a sign of life every 5 s.
const SILENT: Duration = Duration::from_secs(60);

/// Has a surrogate behind `via` fetch what `wanted` names.
pub async fn ask(client: &Client, via: &str, wanted: &Warm) -> Result<Warmed, Exit> {
    let url = client.url(via, "warm").to_string();
    let unreachable = |source| ClientError::Unreachable { method: Method::POST, url: url.clone(), source };
    let silent =
        |_| Exit::not_carried_out(anyhow!("{url}: no word for {} s; what it fetched is kept", SILENT.as_secs()));
    let request = client.request(Method::POST, via, "warm").json(wanted);
    let mut answer = timeout(SILENT, request.send()).await.map_err(silent)?.map_err(unreachable)?;
    if !answer.status().is_success() {
        return Ok(timeout(SILENT, refusal(answer)).await.map_err(silent)??);
    }
    let mut body = Vec::new();
    while let Some(piece) = timeout(SILENT, answer.chunk()).await.map_err(silent)?.map_err(unreachable)? {
        if body.len() + piece.len() > BODY_MAX_BYTES {
            return Err(Exit::not_carried_out(anyhow!("{url}: the answer is longer than {BODY_MAX_BYTES} bytes")));
        }
        body.extend_from_slice(&piece);
    }
    let malformed = |error: serde_json::Error| ClientError::Malformed {
        method: Method::POST,
        url: url.clone(),
        reason: error.to_string(),
    };
    Ok(serde_json::from_slice(&body).map_err(malformed)?)
}

async fn refusal(answer: Response) -> Result<Warmed, ClientError> {
    read_json(Method::POST, answer).await
}

/// What is not there of what was wanted, if anything is not.
pub fn missing(warmed: &Warmed) -> Option<String> {
    let mut said = Vec::new();
    if !warmed.failed.is_empty() {
        said.push(format!("not fetched: {}", warmed.failed.join("; ")));
    }
    if warmed.left > 0 {
        said.push(format!("at least {} more are named, and were not fetched: raise `--max`", warmed.left));
    }
    (!said.is_empty()).then(|| said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_said() {
        let warmed = |failed: &[&str], left| Warmed {
            objects: 1,
            bytes: 1,
            failed: failed.iter().map(|one| (*one).to_owned()).collect(),
            left,
        };
        assert_eq!(missing(&warmed(&[], 0)), None);
        let named = "at least 7 more are named, and were not fetched: raise `--max`";
        assert_eq!(missing(&warmed(&[], 7)).as_deref(), Some(named));
        assert_eq!(missing(&warmed(&["/a: 404"], 7)).unwrap(), format!("not fetched: /a: 404; {named}"));
    }
}
