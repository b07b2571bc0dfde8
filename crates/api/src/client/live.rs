//! Calls of streaming: live channels, what doors send to them, and assets that are brought to a site.

use bytes::Bytes;
use reqwest::{Method, Response, StatusCode, header};
use uuid::Uuid;

use super::{Call, Client, ClientError};
use crate::ingest::LiveDoors;
use crate::live::{
    Channel, LadderStanding, LiveKey, LiveTerms, Mark, NewChannel, NewMark, NewPublication, NewSourcePublication,
    Publication, RELAY_TYPE, SourceStanding, Taken,
};
use crate::page::Page;
use crate::replicas::{PlaceQuery, Placement};
use crate::viewers::ViewerLink;

impl Client {
    /// Has an asset brought to the store of `site`, or of the nearest one, and says how far it is. Repeating it is safe.
    pub async fn place(&self, site: Option<&str>, asset: Uuid, query: &PlaceQuery) -> Result<Placement, ClientError> {
        let name = site.map_or_else(|| "streaming".to_owned(), |site| format!("{site}--streaming"));
        self.call(Method::PUT, &name, &format!("replicas/{asset}")).query(query).json().await
    }

    /// Makes a live channel; repeating it is safe, but only the first answer has the key.
    pub async fn create_channel(&self, channel: &NewChannel) -> Result<Channel, ClientError> {
        self.call(Method::POST, "streaming", "channels").body(channel).json().await
    }

    /// The channel, or `None` where there is none.
    pub async fn channel(&self, id: Uuid) -> Result<Option<Channel>, ClientError> {
        self.call(Method::GET, "streaming", &format!("channels/{id}")).json_or_none().await
    }

    /// The channels that have not ended, all of them.
    pub async fn channels(&self) -> Result<Page<Channel>, ClientError> {
        self.call(Method::GET, "streaming", "channels").json().await
    }

    /// The channels whose media a source brings that is not over, all of them.
    pub async fn sources(&self) -> Result<Page<Channel>, ClientError> {
        self.call(Method::GET, "streaming", "sources").json().await
    }

    /// Gives the channel another key; who publishes now may go on.
    pub async fn new_channel_key(&self, id: Uuid) -> Result<Channel, ClientError> {
        self.call(Method::POST, "streaming", &format!("channels/{id}/key")).json().await
    }

    /// Ends the channel: it becomes an asset like others. Repeating it is safe.
    pub async fn end_channel(&self, id: Uuid) -> Result<Channel, ClientError> {
        self.call(Method::POST, "streaming", &format!("channels/{id}/end")).json().await
    }

    /// Signs a link that opens an asset of the caller's tenant, for no longer than the caller's own token.
    pub async fn viewer_link(&self, asset: Uuid) -> Result<ViewerLink, ClientError> {
        self.call(Method::POST, "streaming", &format!("assets/{asset}/viewer-links")).json().await
    }

    /// Says something of a span of time of a channel; what is left unsaid stays as it was.
    pub async fn mark_channel(&self, id: Uuid, mark: &str, new: &NewMark) -> Result<Mark, ClientError> {
        self.call(Method::PUT, "streaming", &format!("channels/{id}/marks/{mark}")).body(new).json().await
    }

    /// The marks of a channel, all of them, by their beginning.
    pub async fn marks(&self, id: Uuid) -> Result<Page<Mark>, ClientError> {
        self.call(Method::GET, "streaming", &format!("channels/{id}/marks")).json().await
    }

    /// Where encoders publish.
    pub async fn live_doors(&self) -> Result<LiveDoors, ClientError> {
        self.call(Method::GET, "ingest", "doors").json().await
    }

    /// What a key opens, before anything is sent; 403 where it opens nothing.
    pub async fn live_terms(&self, key: &LiveKey) -> Result<LiveTerms, ClientError> {
        self.call(Method::POST, "streaming", "publications/terms").body(key).json().await
    }

    /// Begins to send to the channel whose key it is.
    pub async fn publish(&self, publication: &NewPublication) -> Result<Publication, ClientError> {
        self.call(Method::POST, "streaming", "publications").body(publication).json().await
    }

    /// Begins to send what comes of the channel's source: no key is needed for that.
    pub async fn publish_source(
        &self,
        channel: Uuid,
        publication: &NewSourcePublication,
    ) -> Result<Publication, ClientError> {
        self.call(Method::POST, "streaming", &format!("channels/{channel}/source/publications"))
            .body(publication)
            .json()
            .await
    }

    /// Says how it goes with the channel's source.
    pub async fn put_source_standing(&self, channel: Uuid, standing: &SourceStanding) -> Result<(), ClientError> {
        let call = self.call(Method::PUT, "streaming", &format!("channels/{channel}/source/standing"));
        call.body(standing).send().await.map(drop)
    }

    /// Says how it goes with the channel's ladder.
    pub async fn put_ladder_standing(&self, channel: Uuid, standing: &LadderStanding) -> Result<(), ClientError> {
        let call = self.call(Method::PUT, "streaming", &format!("channels/{channel}/ladder/standing"));
        call.body(standing).send().await.map(drop)
    }

    /// Has transcode make a ladder of what `messages` brings; the answer begins before they end, and goes on with them. Both are messages
    /// of `flame_cmaf::relay`. It has no deadline: it takes as long as the publication.
    pub async fn climb(&self, messages: reqwest::Body) -> Result<Response, ClientError> {
        let url = self.url("transcode", "ladders");
        let request =
            self.authorised(Method::POST, url.clone()).header(header::CONTENT_TYPE, RELAY_TYPE).body(messages);
        Call { method: Method::POST, url, request }.send().await
    }

    /// Sends the init segment of a track.
    pub async fn put_live_init(&self, publication: Uuid, track: &str, init: Bytes) -> Result<(), ClientError> {
        self.put_live(publication, track, "init.mp4", init.into()).await.map(drop)
    }

    /// Sends a segment of a track, chunk by chunk while it is made, and says what became of it. It has no deadline: it takes as long as the segment.
    pub async fn put_live_segment(
        &self,
        publication: Uuid,
        track: &str,
        number: u64,
        chunks: reqwest::Body,
    ) -> Result<Taken, ClientError> {
        let status = self.put_live(publication, track, &format!("{number}.m4s"), chunks).await?;
        Ok(if status == StatusCode::ACCEPTED { Taken::Held } else { Taken::Used })
    }

    async fn put_live(
        &self,
        publication: Uuid,
        track: &str,
        name: &str,
        body: reqwest::Body,
    ) -> Result<StatusCode, ClientError> {
        let url = self.url("streaming", &format!("publications/{publication}/{track}/{name}"));
        let request = self.authorised(Method::PUT, url.clone()).body(body);
        Call { method: Method::PUT, url, request }.send().await.map(|answer| answer.status())
    }

    /// Ends a publication; `false` where there was none.
    pub async fn unpublish(&self, publication: Uuid) -> Result<bool, ClientError> {
        self.call(Method::DELETE, "streaming", &format!("publications/{publication}")).done_or_none().await
    }
}
