//! Settings that are one word of a few.

use serde::{Deserialize, Serialize};

/// How strict policies are loaded, as written in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoadModeName {
    /// What AWS may already hold loads.
    #[default]
    Lenient,
    /// Only what AWS accepts in a create or put call today loads.
    Strict,
}

impl From<LoadModeName> for portcullis_engine::LoadMode {
    fn from(name: LoadModeName) -> Self {
        match name {
            LoadModeName::Lenient => Self::Lenient,
            LoadModeName::Strict => Self::Strict,
        }
    }
}

/// What a start does when there is no policy set to serve, as written in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Startup {
    /// Answers nothing, is not ready, and looks again until there is one.
    #[default]
    Wait,
    /// Ends, for those whom a process that starts again and again tells more than one that is not ready.
    Exit,
}

/// Who may open the Unix socket, as far as file permissions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UdsAccess {
    /// The process's own user and group: mode 0660, in a directory where nobody else can put a socket in its place.
    #[default]
    Group,
    /// Whoever reaches the directory: mode 0666, and everybody may write the directory. For a volume of a pod, which
    /// only the pod's containers mount, the callers read-only.
    All,
}

/// Whether gRPC reflection is served, as written in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reflection {
    /// While no other machine reaches the gRPC listener.
    #[default]
    Local,
    /// Always.
    On,
    /// Never.
    Off,
}
