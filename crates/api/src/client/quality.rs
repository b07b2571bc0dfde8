//! Calls of quality: comparisons and inspections, and what the catalogue keeps of them.

use reqwest::{Method, Response};
use uuid::Uuid;

use super::{Client, ClientError};
use crate::metadata::{NewScore, Score};
use crate::page::Page;
use crate::quality::jobs::{ComparisonJob, InspectionJob, MeasuringQuery, NewComparison, NewInspection, ResultFile};
use crate::quality::suites::{NewSuiteRun, SuiteRun, SuiteRunQuery, SuiteSummary};

impl Client {
    /// Notes with the catalogue what the job `job` has measured of an asset; repeating it is safe.
    pub async fn put_score(&self, id: Uuid, job: Uuid, score: &NewScore) -> Result<(), ClientError> {
        self.call(Method::PUT, "metadata", &format!("assets/{id}/scores/{job}")).body(score).send().await.map(drop)
    }

    /// What was measured of an asset, newest first.
    pub async fn scores(&self, id: Uuid) -> Result<Option<Page<Score>>, ClientError> {
        self.call(Method::GET, "metadata", &format!("assets/{id}/scores")).json_or_none().await
    }

    /// Has the quality service keep what a run of a suite found; repeating it is safe.
    pub async fn note_suite_run(&self, run: &NewSuiteRun) -> Result<SuiteRun, ClientError> {
        self.call(Method::POST, "quality", "suite-runs").body(run).json().await
    }

    /// A page of the runs of a suite, newest first.
    pub async fn suite_runs(&self, query: &SuiteRunQuery) -> Result<Page<SuiteRun>, ClientError> {
        self.call(Method::GET, "quality", "suite-runs").query(query).json().await
    }

    /// The suites of which runs are kept.
    pub async fn suites(&self) -> Result<Page<SuiteSummary>, ClientError> {
        self.call(Method::GET, "quality", "suites").json().await
    }

    /// Queues a comparison; repeating it is safe.
    pub async fn create_comparison(&self, new: &NewComparison) -> Result<ComparisonJob, ClientError> {
        self.call(Method::POST, "quality", "comparisons").body(new).json().await
    }

    /// The comparison, or `None` where there is none.
    pub async fn comparison(&self, id: Uuid) -> Result<Option<ComparisonJob>, ClientError> {
        self.call(Method::GET, "quality", &format!("comparisons/{id}")).json_or_none().await
    }

    /// A page of comparisons, newest first.
    pub async fn comparisons(&self, query: &MeasuringQuery) -> Result<Page<ComparisonJob>, ClientError> {
        self.call(Method::GET, "quality", "comparisons").query(query).json().await
    }

    /// Cancels a comparison; one in a final state stays as it is.
    pub async fn cancel_comparison(&self, id: Uuid) -> Result<ComparisonJob, ClientError> {
        self.call(Method::POST, "quality", &format!("comparisons/{id}/cancel")).json().await
    }

    /// A file of a comparison, to be read as a stream.
    pub async fn comparison_file(&self, id: Uuid, file: ResultFile) -> Result<Response, ClientError> {
        self.call(Method::GET, "quality", &format!("comparisons/{id}/{}", file.name())).send().await
    }

    /// The picture of one of the worst frames of a comparison: a JPEG.
    pub async fn comparison_picture(&self, id: Uuid, frame: u64) -> Result<Response, ClientError> {
        self.call(Method::GET, "quality", &format!("comparisons/{id}/pictures/{frame}")).send().await
    }

    /// Queues an inspection; repeating it is safe.
    pub async fn create_inspection(&self, new: &NewInspection) -> Result<InspectionJob, ClientError> {
        self.call(Method::POST, "quality", "inspections").body(new).json().await
    }

    /// The inspection, or `None` where there is none.
    pub async fn inspection(&self, id: Uuid) -> Result<Option<InspectionJob>, ClientError> {
        self.call(Method::GET, "quality", &format!("inspections/{id}")).json_or_none().await
    }

    /// A page of inspections, newest first.
    pub async fn inspections(&self, query: &MeasuringQuery) -> Result<Page<InspectionJob>, ClientError> {
        self.call(Method::GET, "quality", "inspections").query(query).json().await
    }

    /// Cancels an inspection; one in a final state stays as it is.
    pub async fn cancel_inspection(&self, id: Uuid) -> Result<InspectionJob, ClientError> {
        self.call(Method::POST, "quality", &format!("inspections/{id}/cancel")).json().await
    }
}
