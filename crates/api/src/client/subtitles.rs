//! Subtitles: ingest takes them in, metadata lists them and lets them go.

use reqwest::{Method, header};
use uuid::Uuid;

use super::{Client, ClientError, read_json};
use crate::metadata::Asset;
use crate::subtitles::{AddedSubtitle, NewSubtitle, SubtitleQuery};

// === impl Client ===

impl Client {
    /// Adds subtitles to an asset; ingest reads the file. Repeating it is safe.
    pub async fn add_subtitle(
        &self,
        asset: Uuid,
        query: &SubtitleQuery,
        content_type: &'static str,
        file: Vec<u8>,
    ) -> Result<AddedSubtitle, ClientError> {
        let path = format!("assets/{asset}/subtitles");
        let request = self.request(Method::POST, "ingest", &path).timeout(self.deadline);
        let request = request.query(query).header(header::CONTENT_TYPE, content_type).body(file);
        let url = self.url("ingest", &path).to_string();
        let answer = request.send().await;
        let answer = answer.map_err(|source| ClientError::Unreachable { method: Method::POST, url, source })?;
        read_json(Method::POST, answer).await
    }

    /// Lists subtitles that are stored. `seen` is an `If-Match` that somebody else said; repeating it is safe.
    pub async fn list_subtitle(
        &self,
        asset: Uuid,
        subtitle: &str,
        seen: Option<&str>,
        body: &NewSubtitle,
    ) -> Result<Asset, ClientError> {
        let call = self.call(Method::PUT, "metadata", &format!("assets/{asset}/subtitles/{subtitle}"));
        let call = match seen {
            Some(seen) => call.header(header::IF_MATCH, seen.to_owned()),
            None => call,
        };
        call.body(body).json().await
    }

    /// Takes subtitles from an asset; `false` where there were none of that name.
    pub async fn delete_subtitle(&self, asset: Uuid, subtitle: &str) -> Result<bool, ClientError> {
        self.call(Method::DELETE, "metadata", &format!("assets/{asset}/subtitles/{subtitle}")).done_or_none().await
    }
}
