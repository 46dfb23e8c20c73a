//! The kinds of findings, each with its stable name and the rule it enforces.
//!
//! Names are part of the contract with users who filter on them: never rename one, never use one for something else.

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident $name:literal $rule:literal,)*) => {
        /// The kind of a finding.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The rule it enforces: a number of the semantics, or the chapter of another specification.
            #[must_use]
            pub fn rule(self) -> &'static str {
                match self {
                    $(Self::$variant => $rule,)*
                }
            }
        }
    };
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

codes! {
    /// A file or folder could not be read.
    UnreadableFile "unreadable-file" "reliability 2.5",
    /// A file is longer than the limit.
    FileTooLarge "file-too-large" "reliability 2.4",
    /// The directory holds more files than the limit.
    TooManyFiles "too-many-files" "reliability 2.4",
    /// The files of the directory are together longer than the limit.
    TooManyBytes "too-many-bytes" "reliability 2.4",
    /// A pipe, socket or device stands where a file is expected.
    NotARegularFile "not-a-regular-file" "reliability 2.5",
    /// A symbolic link leads out of the directory.
    SymlinkOutside "symlink-outside" "reliability 2.5",
    /// Symbolic links lead in a circle.
    SymlinkLoop "symlink-loop" "reliability 2.5",
    /// Others than the owner may change a file or folder, or its owner is a stranger.
    LoosePermissions "loose-permissions" "reliability 2.5",
    /// The directory holds no policy file.
    EmptyDirectory "empty-directory" "reliability 2.5",
    /// The text is not UTF-8.
    NotUtf8 "not-utf-8" "G-7",
    /// The text is UTF-16.
    Utf16 "utf-16" "G-7",
    /// The text begins with a byte order mark.
    ByteOrderMark "byte-order-mark" "G-7",
    /// The file holds nothing.
    EmptyFile "empty-file" "G-7",
    /// The text is not JSON.
    JsonSyntax "json-syntax" "G-7",
    /// The text is nested deeper than the limit.
    JsonDepth "json-depth" "G-60",
    /// Something follows the JSON value.
    TrailingBytes "trailing-bytes" "G-7",
    /// An object has the same member twice.
    DuplicateMember "duplicate-member" "G-4",
    /// One text has more findings than are shown.
    TooManyFindings "too-many-findings" "reliability 2.4",
    /// A member that the directory format does not have.
    UnknownMember "unknown-member" "interfaces 1",
    /// An entry lacks a member that it needs.
    MissingMember "missing-member" "interfaces 1",
    /// A value has another JSON type than its place asks for.
    WrongType "wrong-type" "G-40",
    /// `null` stands where a value belongs.
    NullValue "null-value" "G-6",
    /// An ARN of a directory entry is malformed.
    InvalidArn "invalid-arn" "I-1",
    /// An account id is not 12 digits.
    InvalidAccount "invalid-account" "I-5",
    /// A name or path has characters that IAM does not allow.
    InvalidName "invalid-name" "I-3",
    /// The ARN of an entry contradicts its name, path or account.
    ArnMismatch "arn-mismatch" "interfaces 1",
    /// A tag is malformed or there twice.
    InvalidTag "invalid-tag" "I-6",
    /// A managed policy does not have exactly one default version.
    DefaultVersion "default-version" "I-7",
    /// A member of the organization is malformed.
    InvalidOrganization "invalid-organization" "interfaces 1",
    /// Two entries define the same entity.
    DuplicateEntity "duplicate-entity" "interfaces 1",
    /// The policy set has more than one organization.
    DuplicateOrganization "duplicate-organization" "interfaces 1",
    /// An attached managed policy is defined nowhere.
    UnresolvedPolicy "unresolved-policy" "interfaces 1",
    /// A permissions boundary is defined nowhere.
    UnresolvedBoundary "unresolved-boundary" "interfaces 1",
    /// A group of a user is defined nowhere.
    UnresolvedGroup "unresolved-group" "interfaces 1",
    /// An attached organization policy is defined nowhere or has another type.
    UnresolvedOrganizationPolicy "unresolved-organization-policy" "interfaces 1",
    /// A policy document is not a JSON object.
    DocumentNotObject "document-not-object" "G-1",
    /// A member that the policy language does not have.
    UnknownElement "unknown-element" "G-14",
    /// A character that IAM does not store in a policy.
    DocumentCharacter "document-character" "G-5",
    /// `Version` is neither of the two legal values.
    InvalidVersion "invalid-version" "G-8",
    /// This policy type asks for version 2012-10-17.
    OldVersion "old-version" "G-11",
    /// A policy variable in a document whose version makes it literal text.
    InactiveVariable "inactive-variable" "G-10",
    /// `Id` in a policy type that does not use it.
    IdNotUsed "id-not-used" "G-12",
    /// A document without `Statement`.
    MissingStatement "missing-statement" "G-13",
    /// `Statement` is neither an object nor a list of objects.
    InvalidStatement "invalid-statement" "G-13",
    /// An element and its negated twin in one statement.
    ConflictingElements "conflicting-elements" "G-15",
    /// A statement without `Action` and `NotAction`.
    MissingAction "missing-action" "G-16",
    /// A `Sid` with characters that this policy type does not allow.
    InvalidSid "invalid-sid" "G-17",
    /// Two statements of one document have the same `Sid`.
    DuplicateSid "duplicate-sid" "G-18",
    /// `Effect` is missing or neither `Allow` nor `Deny`.
    InvalidEffect "invalid-effect" "G-19",
    /// An empty list where at least one value belongs.
    EmptyList "empty-list" "G-20",
    /// An action is neither `*` nor `vendor:name`.
    InvalidAction "invalid-action" "G-21",
    /// The vendor of an action has a wildcard or an illegal character.
    ActionVendor "action-vendor" "G-22",
    /// An action that no request can name.
    ActionNeverMatches "action-never-matches" "G-23",
    /// A policy variable in an action, where it is literal text.
    VariableInAction "variable-in-action" "G-24",
    /// A resource is neither `*` nor an ARN.
    InvalidResource "invalid-resource" "G-26",
    /// A partition that AWS does not have.
    UnknownPartition "unknown-partition" "G-27",
    /// The service of a resource ARN is missing or has a wildcard.
    ResourceService "resource-service" "G-28",
    /// A resource ARN that AWS's service would refuse.
    ResourceForm "resource-form" "G-29",
    /// A resource ARN with fewer than six parts.
    ShortArn "short-arn" "M-22",
    /// A policy variable before the resource part of an ARN.
    VariablePlacement "variable-placement" "G-31",
    /// A principal element that is malformed.
    InvalidPrincipal "invalid-principal" "G-32",
    /// An ARN that is not a principal.
    UnsupportedPrincipal "unsupported-principal" "G-33",
    /// A wildcard inside a principal.
    PrincipalWildcard "principal-wildcard" "G-34",
    /// A malformed service principal.
    ServicePrincipal "service-principal" "G-35",
    /// A malformed or misplaced identity provider.
    FederatedPrincipal "federated-principal" "G-36",
    /// A malformed or misplaced canonical user.
    CanonicalUser "canonical-user" "G-37",
    /// A condition that is not operator, key and values.
    InvalidCondition "invalid-condition" "G-40",
    /// A condition operator that does not exist.
    UnknownOperator "unknown-operator" "G-42",
    /// A condition operator in the wrong case.
    OperatorSpelling "operator-spelling" "G-43",
    /// A condition key without prefix or name.
    ConditionKey "condition-key" "G-44",
    /// A condition key twice in one operator, in different case.
    DuplicateConditionKey "duplicate-condition-key" "G-44",
    /// A list of values of different JSON types.
    MixedValueTypes "mixed-value-types" "G-45",
    /// A date that AWS does not store.
    InvalidDate "invalid-date" "G-46",
    /// A condition key without values.
    EmptyValues "empty-values" "G-47",
    /// A policy variable under an operator that does not take one.
    VariableInTypedValue "variable-in-typed-value" "G-48",
    /// An element that this policy type does not have.
    ElementNotAllowed "element-not-allowed" "G-49",
    /// A statement without `Resource` and `NotResource` in a type that needs one.
    MissingResource "missing-resource" "G-49",
    /// A statement without `Principal` in a type that needs one.
    MissingPrincipal "missing-principal" "G-50",
    /// `NotPrincipal` with `Allow`.
    AllowNotPrincipal "allow-not-principal" "G-52",
    /// An action that a trust policy does not have.
    TrustAction "trust-action" "G-53",
    /// The bare principal `*` in a trust policy.
    TrustPrincipal "trust-principal" "G-54",
    /// A statement that a resource control policy does not allow.
    ResourceControl "resource-control" "G-49",
    /// A session policy with a principal.
    SessionPolicyPrincipal "session-policy-principal" "G-49",
    /// A policy is longer than AWS stores.
    PolicyTooLong "policy-too-long" "G-58",
    /// A malformed policy variable.
    InvalidVariable "invalid-variable" "V-14",
    /// A malformed default of a policy variable.
    VariableDefault "variable-default" "V-6",
    /// A value that its operator cannot read.
    TypedValue "typed-value" "C-15",
    /// A value of the `Null` operator that is neither true nor false.
    NullOperatorValue "null-operator-value" "C-56",
    /// `Null` with a set qualifier.
    NullQualifier "null-qualifier" "C-57",
    /// A value of an ARN operator with fewer than six parts.
    ArnPattern "arn-pattern" "C-45",
    /// `ForAllValues` in an Allow also matches requests without the key.
    UnguardedForAllValues "unguarded-for-all-values" "C-51",
    /// A wildcard in the value of a key that names one account or organization.
    WildcardInSensitiveKey "wildcard-in-sensitive-key" "K-5",
    /// A tag condition key without a tag name.
    TagKey "tag-key" "K-9",
}
