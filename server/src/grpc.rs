//! The gRPC services and what stands around them.
//!
//! `authorization` and `policy_set` answer; `encode`, `status` and the crate that decodes are the only ones that know wire types;
//! `guard` bounds every request; `health` says whether to send any.

mod authorization;
mod encode;
mod guard;
mod health;
mod hot;
mod policy_set;
mod record;
mod request_id;
mod simulation;
mod status;

use std::sync::Arc;

use portcullis_proto::FILE_DESCRIPTOR_SET;
use portcullis_proto::v1::authorization_service_server::AuthorizationServiceServer;
use portcullis_proto::v1::policy_set_service_server::PolicySetServiceServer;
use portcullis_store::Store;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::service::Routes;

use crate::audit::Audit;
use crate::config::Config;
use crate::credentials::Credentials;
use crate::tally::Tally;
use crate::telemetry::Telemetry;
pub(crate) use authorization::{Asker, Authorization, Call, Moment, Recorded, Wait, written};
pub(crate) use encode::Stamp;
pub(crate) use encode::bytes::{PREFIX_BYTES, framed};
pub(crate) use guard::{Guard, Room, Underway, grpc_timeout};
pub(crate) use health::Health;
use policy_set::PolicySets;
pub(crate) use status::{Refusal, explained, too_long, trailers};

/// What every service shares.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) config: Arc<Config>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) audit: Audit,
    pub(crate) telemetry: Telemetry,
    pub(crate) credentials: Credentials,
    pub(crate) draining: CancellationToken,
}

impl Shared {
    /// The status of a call without an answer, which is counted.
    pub(crate) fn refused(&self, refusal: Refusal) -> Status {
        match refusal {
            Refusal::Shed => self.tally.shed(),
            _ => self.tally.refusal(refusal.reason()),
        }
        refusal.into_status()
    }
}

/// Every service behind one set of routes.
///
/// # Errors
/// When the descriptors that reflection serves cannot be read, which a test rules out.
pub(crate) fn routes(
    shared: &Shared,
    authorization: Authorization,
    health: &Health,
) -> Result<Routes, tonic_reflection::server::Error> {
    let Config { message_bytes_max, response_bytes_max, .. } = *shared.config;
    let authorization = AuthorizationServiceServer::new(authorization)
        .max_decoding_message_size(message_bytes_max)
        .max_encoding_message_size(response_bytes_max);
    let policy_set = PolicySetServiceServer::new(PolicySets::new(shared.clone()))
        .max_decoding_message_size(message_bytes_max)
        .max_encoding_message_size(response_bytes_max);
    let mut routes = Routes::new(authorization).add_service(policy_set).add_service(health.service());
    if shared.config.serves_reflection() {
        let described = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        routes = routes.add_service(described().build_v1()?).add_service(described().build_v1alpha()?);
    }
    Ok(routes)
}
