//! Calls of transcode: chains, what can encode here, and jobs.

use reqwest::Method;
use uuid::Uuid;

use super::{Client, ClientError};
use crate::page::Page;
use crate::transcode::{Chain, ChainCheck, ChainDetail, Encoder, Job, JobQuery, NewJob};

impl Client {
    /// The chains that can be run.
    pub async fn chains(&self) -> Result<Page<Chain>, ClientError> {
        self.call(Method::GET, "transcode", "chains").json().await
    }

    /// One of them, or `None` where there is none of that name.
    pub async fn chain(&self, name: &str) -> Result<Option<ChainDetail>, ClientError> {
        self.call(Method::GET, "transcode", &format!("chains/{name}")).json_or_none().await
    }

    /// Checks a document against what is installed where media is encoded; what is wrong is a refusal (422).
    pub async fn check_chain(&self, check: &ChainCheck) -> Result<ChainDetail, ClientError> {
        self.call(Method::POST, "transcode", "chains/check").body(check).json().await
    }

    /// The encoders that chains can name.
    pub async fn encoders(&self) -> Result<Page<Encoder>, ClientError> {
        self.call(Method::GET, "transcode", "encoders").json().await
    }

    /// Queues a job; repeating it is safe.
    pub async fn create_job(&self, job: &NewJob) -> Result<Job, ClientError> {
        self.call(Method::POST, "transcode", "jobs").body(job).json().await
    }

    /// The job, or `None` where there is none.
    pub async fn job(&self, id: Uuid) -> Result<Option<Job>, ClientError> {
        self.call(Method::GET, "transcode", &format!("jobs/{id}")).json_or_none().await
    }

    /// A page of jobs, newest first.
    pub async fn jobs(&self, query: &JobQuery) -> Result<Page<Job>, ClientError> {
        self.call(Method::GET, "transcode", "jobs").query(query).json().await
    }

    /// Cancels a job; a job in a final state stays as it is.
    pub async fn cancel_job(&self, id: Uuid) -> Result<Job, ClientError> {
        self.call(Method::POST, "transcode", &format!("jobs/{id}/cancel")).json().await
    }
}
