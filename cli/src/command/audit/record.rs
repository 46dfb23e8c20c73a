//! The members of a record that are searched for and shown.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    pub(super) event_time: String,
    pub(super) event_source: String,
    pub(super) event_name: String,
    pub(super) event_type: String,
    #[serde(rename = "requestID", default)]
    pub(super) request_id: String,
    #[serde(default)]
    user_identity: Identity,
    #[serde(default)]
    request_parameters: Parameters,
    #[serde(default)]
    resources: Vec<Resource>,
    #[serde(default)]
    pub(super) service_event_details: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    pub(super) error_message: String,
    #[serde(default)]
    additional_event_data: Additional,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Identity {
    #[serde(rename = "type")]
    kind: String,
    arn: String,
    invoked_by: String,
    identity_provider: String,
}

#[derive(Debug, Deserialize)]
struct Resource {
    #[serde(rename = "ARN", default)]
    arn: String,
}

/// An action without resources has its `*` here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parameters {
    resource: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Additional {
    action: String,
    decision: String,
    reason: String,
    layer: String,
}

impl Record {
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// Something that happened to the service, and no decision.
    pub(super) fn is_of_service(&self) -> bool {
        self.event_type == "AwsServiceEvent"
    }

    pub(super) fn principal(&self) -> &str {
        let Identity { kind, arn, invoked_by, identity_provider } = &self.user_identity;
        let named = [arn, invoked_by, identity_provider].into_iter().find(|name| !name.is_empty());
        match named {
            Some(name) => name,
            None if kind == "AWSAccount" => "anonymous",
            None => kind,
        }
    }

    /// `vendor:Name`.
    pub(super) fn action(&self) -> String {
        if !self.additional_event_data.action.is_empty() {
            return self.additional_event_data.action.clone();
        }
        let vendor = self.event_source.split('.').next().unwrap_or_default();
        format!("{vendor}:{}", self.event_name)
    }

    pub(super) fn resource(&self) -> &str {
        self.resources.first().map_or(&self.request_parameters.resource, |resource| &resource.arn)
    }

    pub(super) fn decision(&self) -> &str {
        &self.additional_event_data.decision
    }

    pub(super) fn reason(&self) -> &str {
        &self.additional_event_data.reason
    }

    pub(super) fn layer(&self) -> &str {
        &self.additional_event_data.layer
    }
}
