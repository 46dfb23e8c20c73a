//! Worlds and requests made from a seed: small shared vocabularies, so that rules meet.
//!
//! A statement is built around a target request: most parts fit it, and in six of ten statements one part is a near miss.
//! Everything made here loads in lenient mode.

pub(crate) mod conditions;
pub(crate) mod patterns;
pub(crate) mod requests;
pub(crate) mod worlds;

/// splitmix64.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or(0)
    }

    /// True in `percent` of a hundred throws.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// An index by weight.
    pub(crate) fn weighted(&mut self, weights: &[usize]) -> usize {
        let mut left = self.below(weights.iter().sum());
        weights
            .iter()
            .position(|weight| {
                let hit = left < *weight;
                left = left.saturating_sub(*weight);
                hit
            })
            .unwrap_or(0)
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// Account of most principals and resources, in the organization.
pub(crate) const HOME: &str = "111111111111";
/// Another member account.
pub(crate) const OTHER: &str = "222222222222";
/// An account outside the organization.
pub(crate) const FOREIGN: &str = "333333333333";
/// The management account.
pub(crate) const MANAGEMENT: &str = "999999999999";

/// Actions that requests ask for.
pub(crate) const ACTIONS: [&str; 16] = [
    "s3:GetObject",
    "s3:GetObjectAcl",
    "s3:PutObject",
    "s3:ListBucket",
    "s3-object-lambda:GetObject",
    "sqs:SendMessage",
    "kms:Decrypt",
    "kms:RetireGrant",
    "kms:CreateAlias",
    "ec2:DescribeInstances",
    "iam:GetUser",
    "iam:DeleteRole",
    "iam:CreatePolicyVersion",
    "orders:GetOrder",
    "logs:PutLogEvents",
    "sts:GetCallerIdentity",
];

/// Actions about a role of the directory.
pub(crate) const STS_ACTIONS: [&str; 6] = [
    "sts:AssumeRole",
    "sts:AssumeRole",
    "sts:AssumeRoleWithWebIdentity",
    "sts:AssumeRoleWithSAML",
    "sts:TagSession",
    "sts:SetSourceIdentity",
];

/// Resources that requests name, with the account that owns them.
pub(crate) const RESOURCES: [(&str, &str); 20] = [
    ("arn:aws:s3:::b/k", HOME),
    ("arn:aws:s3:::b", HOME),
    ("arn:aws:s3:::b/alice/x", HOME),
    ("arn:aws:s3:::b/eng/a*", HOME),
    ("arn:aws:s3:::b/K", HOME),
    ("arn:aws:s3:::far/k", OTHER),
    ("arn:aws:s3:::far/alice/secret\nx", OTHER),
    ("arn:aws:sqs:eu-west-1:111111111111:queue", HOME),
    ("arn:aws:sqs:eu-west-1:222222222222:queue", OTHER),
    ("arn:aws:sqs:us-east-1:333333333333:queue", FOREIGN),
    ("arn:aws:kms:eu-west-1:111111111111:key/11aa", HOME),
    ("arn:aws:kms:eu-west-1:222222222222:key/22bb", OTHER),
    ("arn:aws:kms:eu-west-1:111111111111:alias/aws/s3", HOME),
    ("arn:acme:orders:eu-1:111111111111:order/42", HOME),
    ("arn:acme:orders:eu-1:999999999999:order/42", MANAGEMENT),
    ("arn:aws:logs:eu-west-1:111111111111:log-group:app:log-stream:s", HOME),
    ("arn:aws:iam::111111111111:user/alice", HOME),
    ("arn:aws:iam::111111111111:role/aws-reserved/sso.amazonaws.com/Admins", HOME),
    ("arn:aws:iam::aws:policy/Shared", HOME),
    ("*", HOME),
];

/// Roles of the directory.
pub(crate) const ROLES: [(&str, &str); 4] = [
    ("arn:aws:iam::111111111111:role/R", HOME),
    ("arn:aws:iam::111111111111:role/eng/app/Deploy", HOME),
    ("arn:aws:iam::111111111111:role/aws-service-role/ops.amazonaws.com/Linked", HOME),
    ("arn:aws:iam::222222222222:role/Far", OTHER),
];

/// Users of the directory.
pub(crate) const USERS: [&str; 4] = [
    "arn:aws:iam::111111111111:user/alice",
    "arn:aws:iam::111111111111:user/eng/bob",
    "arn:aws:iam::222222222222:user/carol",
    "arn:aws:iam::999999999999:user/boss",
];

/// Principals that requests come from.
pub(crate) const PRINCIPALS: [&str; 23] = [
    "arn:aws:iam::111111111111:user/alice",
    "arn:aws:iam::111111111111:user/alice",
    "arn:aws:iam::111111111111:user/eng/bob",
    "arn:aws:iam::222222222222:user/carol",
    "arn:aws:iam::999999999999:user/boss",
    "arn:aws:iam::111111111111:user/nobody",
    "arn:aws:sts::111111111111:assumed-role/R/s1",
    "arn:aws:sts::111111111111:assumed-role/R/s1",
    "arn:aws:sts::111111111111:assumed-role/r/s2",
    "arn:aws:sts::111111111111:assumed-role/Deploy/ci",
    "arn:aws:sts::111111111111:assumed-role/Linked/i-1",
    "arn:aws:sts::222222222222:assumed-role/Far/s1",
    "arn:aws:sts::333333333333:assumed-role/Unknown/s1",
    "arn:aws:iam::111111111111:role/R",
    "arn:aws:sts::111111111111:federated-user/alice",
    "arn:aws:sts::111111111111:federated-user/bob",
    "arn:aws:sts::222222222222:federated-user/carol",
    "arn:aws:iam::111111111111:root",
    "arn:aws:iam::222222222222:root",
    "arn:aws:iam::333333333333:root",
    "ec2.amazonaws.com",
    "cloudtrail.amazonaws.com",
    "anonymous",
];

/// Principals of the calls that carry a token instead of a signature.
pub(crate) const PROVIDERS: [&str; 4] = [
    "arn:aws:iam::111111111111:oidc-provider/id.example.com",
    "arn:aws:iam::111111111111:saml-provider/Corp",
    "accounts.google.com",
    "arn:aws:iam::222222222222:oidc-provider/id.example.com",
];

/// The instant of most requests.
pub(crate) const NOW: &str = "2026-06-15T12:00:00Z";
