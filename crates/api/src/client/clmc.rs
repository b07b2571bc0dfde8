//! Calls of CLMC.

use reqwest::Method;

use super::{Client, ClientError};
use crate::clmc::{AlertSpecification, Answers, NetworkGraph, Question, RoundTrip, RoundTripQuery};
use crate::page::Page;

impl Client {
    /// Answers to questions about measurements.
    pub async fn ask(&self, question: &Question) -> Result<Answers, ClientError> {
        self.call(Method::GET, "clmc", "query").query(question).json().await
    }

    /// Puts an alerts document (TOSCA, YAML). Repeating it is safe.
    pub async fn put_alerts(&self, document: String) -> Result<AlertSpecification, ClientError> {
        let mut call = self.call(Method::POST, "clmc", "alerts");
        call.request = call.request.header("content-type", "application/yaml").body(document);
        call.json().await
    }

    /// The alerts documents, and where each trigger stands.
    pub async fn alerts(&self) -> Result<Page<AlertSpecification>, ClientError> {
        self.call(Method::GET, "clmc", "alerts").json().await
    }

    /// Removes an alerts document; `false` where there is none.
    pub async fn remove_alerts(&self, sfc: &str, sfci: &str) -> Result<bool, ClientError> {
        self.call(Method::DELETE, "clmc", &format!("alerts/{sfc}/{sfci}")).done_or_none().await
    }

    /// The network as the graph of a database sees it.
    pub async fn network(&self, db: &str) -> Result<NetworkGraph, ClientError> {
        self.call(Method::GET, "clmc", "graph").query(&[("db", db)]).json().await
    }

    /// Round-trip times of pairs of a place and an endpoint.
    pub async fn round_trips(&self, query: &RoundTripQuery) -> Result<Page<RoundTrip>, ClientError> {
        self.call(Method::GET, "clmc", "graph/round-trips").query(query).json().await
    }
}
