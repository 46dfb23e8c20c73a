//! grpc.health.v1: serving from the first snapshot until the drain.
//!
//! The state is tonic-health's; this decides when it changes and lets no watcher hold the end of the process.

use std::pin::Pin;
use std::time::Duration;

use portcullis_proto::v1::authorization_service_server::AuthorizationServiceServer;
use portcullis_proto::v1::policy_set_service_server::PolicySetServiceServer;
use portcullis_store::Status as StoreStatus;
use tokio::sync::watch;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthApi, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, HealthService};

use super::authorization::Authorization;
use super::policy_set::PolicySets;
use super::status::explained;
use crate::readiness::{Readiness, until_stale};
use crate::shutdown::UntilDrain;

const OVERALL: &str = "";

/// The health of each service and of the whole.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    reporter: HealthReporter,
    draining: CancellationToken,
}

impl Health {
    /// Not serving yet.
    pub(crate) async fn new(draining: CancellationToken) -> Self {
        let health = Self { reporter: HealthReporter::new(), draining };
        health.report(ServingStatus::NotServing).await;
        health
    }

    /// Serving whenever there is a policy set that is not too stale.
    pub(crate) async fn follow(
        &self,
        mut statuses: watch::Receiver<StoreStatus>,
        stale_max: Option<Duration>,
    ) {
        let mut told = false;
        loop {
            let (ready, until_stale) = {
                let status = statuses.borrow_and_update();
                (Readiness::of(&status, stale_max).is_ready(), until_stale(&status, stale_max))
            };
            if ready != told {
                self.report(if ready { ServingStatus::Serving } else { ServingStatus::NotServing }).await;
                told = ready;
            }
            let stale = async {
                match until_stale.filter(|_| ready) {
                    Some(left) => tokio::time::sleep(left).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // An error means that the store is gone; then nothing changes any more.
                changed = statuses.changed() => if changed.is_err() { return },
                () = stale => {}
            }
        }
    }

    pub(crate) async fn drain(&self) {
        self.report(ServingStatus::NotServing).await;
    }

    pub(crate) fn service(&self) -> HealthServer<impl HealthApi> {
        HealthServer::new(Checked {
            checks: HealthService::from_health_reporter(self.reporter.clone()),
            draining: self.draining.clone(),
        })
    }

    async fn report(&self, status: ServingStatus) {
        for name in [
            <AuthorizationServiceServer<Authorization> as NamedService>::NAME,
            <PolicySetServiceServer<PolicySets> as NamedService>::NAME,
            OVERALL,
        ] {
            self.reporter.set_service_status(name, status).await;
        }
    }
}

struct Checked {
    checks: HealthService,
    draining: CancellationToken,
}

#[tonic::async_trait]
impl HealthApi for Checked {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.checks.check(request).await
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let stream = self.checks.watch(request).await.map_err(|status| explained(&status))?.into_inner();
        let stream = UntilDrain::new(Box::pin(stream), self.draining.clone());
        Ok(Response::new(Box::pin(stream.map(|item| item))))
    }
}
