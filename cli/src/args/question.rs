//! The flags that make up one request.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// One request, as flags.
#[derive(Debug, Args)]
#[command(next_help_heading = "Request")]
pub(crate) struct Question {
    /// Who asks: an ARN, a service name such as ec2.amazonaws.com, or `anonymous`.
    #[arg(long, value_name = "ARN")]
    pub(crate) principal: String,
    /// What it wants to do, such as s3:GetObject.
    #[arg(long)]
    pub(crate) action: String,
    /// On what: an ARN, or `*` for an action without resources.
    #[arg(long, value_name = "ARN")]
    pub(crate) resource: String,
    /// The account that owns the resource, where its ARN does not say.
    #[arg(long, value_name = "ACCOUNT")]
    pub(crate) resource_account: Option<String>,
    /// A context key: `key=text`, or `key:=json` for a number, a boolean or a list of values.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) context: Vec<String>,
    /// A file with a session policy document.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) session_policy: Vec<PathBuf>,
    /// A managed policy used as session policy.
    #[arg(long, value_name = "ARN")]
    pub(crate) session_policy_arn: Vec<String>,
    /// A session tag.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) session_tag: Vec<String>,
    /// When the credentials were issued (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub(crate) issued_at: Option<String>,
    /// When the caller authenticated with MFA (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub(crate) mfa_authenticated_at: Option<String>,
    /// The source identity of the session.
    #[arg(long, value_name = "NAME")]
    pub(crate) source_identity: Option<String>,
    /// The identity provider of a federated session.
    #[arg(long, value_name = "PROVIDER")]
    pub(crate) federated_provider: Option<String>,
    /// The user that called GetFederationToken.
    #[arg(long, value_name = "ARN")]
    pub(crate) issuer: Option<String>,
}
