//! Calls of the orchestrator.

use reqwest::Method;

use super::{Client, ClientError};
use crate::orchestrator::sla::{NewSolution, Solution};
use crate::orchestrator::{Decision, Deployment, FunctionState, NewDeployment, Plan, WantedState};
use crate::page::Page;

const ORCHESTRATOR: &str = "orchestrator";

impl Client {
    /// Deploys a template, or changes what is deployed of it. Repeating it is safe.
    pub async fn deploy(&self, body: &NewDeployment) -> Result<Deployment, ClientError> {
        self.call(Method::POST, ORCHESTRATOR, "deployments").body(body).json().await
    }

    /// Where a template would go.
    pub async fn plan(&self, body: &NewDeployment) -> Result<Plan, ClientError> {
        self.call(Method::POST, ORCHESTRATOR, "plans").body(body).json().await
    }

    /// What a demand comes to. Nothing is done.
    pub async fn solve(&self, body: &NewSolution) -> Result<Solution, ClientError> {
        self.call(Method::POST, ORCHESTRATOR, "solutions").body(body).json().await
    }

    /// All that is deployed.
    pub async fn deployments(&self) -> Result<Page<Deployment>, ClientError> {
        self.call(Method::GET, ORCHESTRATOR, "deployments").json().await
    }

    /// One deployment, or `None` where there is none.
    pub async fn deployment(&self, sfc: &str, sfci: &str) -> Result<Option<Deployment>, ClientError> {
        self.call(Method::GET, ORCHESTRATOR, &format!("deployments/{sfc}/{sfci}")).json_or_none().await
    }

    /// What was decided of a deployment, newest last, and why; `None` where there is none.
    pub async fn decisions(&self, sfc: &str, sfci: &str) -> Result<Option<Page<Decision>>, ClientError> {
        self.call(Method::GET, ORCHESTRATOR, &format!("deployments/{sfc}/{sfci}/decisions")).json_or_none().await
    }

    /// Wants a function to be so far; refused where there is no such deployment or function.
    pub async fn want_state(
        &self,
        (sfc, sfci, function): (&str, &str, &str),
        state: FunctionState,
    ) -> Result<Deployment, ClientError> {
        let path = format!("deployments/{sfc}/{sfci}/functions/{function}/state");
        self.call(Method::PUT, ORCHESTRATOR, &path).body(&WantedState { state }).json().await
    }

    /// Lets a deployment go; `false` where there is none.
    pub async fn undeploy(&self, sfc: &str, sfci: &str) -> Result<bool, ClientError> {
        self.call(Method::DELETE, ORCHESTRATOR, &format!("deployments/{sfc}/{sfci}")).done_or_none().await
    }
}
