//! Whether the files that a configuration names can be used, before anything is bound.
//!
//! Reads credentials as the start does and looks at the place of the audit file without touching it. The policy directory
//! is not looked at: a process may start before its policies are there.

use super::Config;
use super::finding::Finding;
use crate::audit;
use crate::credentials::Credentials;

impl Config {
    /// Everything that is wrong with the files of certificates, keys and tokens, and with the place of the audit file.
    #[must_use]
    pub fn check_files(&self) -> Vec<Finding> {
        let mut wrong = Credentials::load(self).err().map(|error| error.0).unwrap_or_default();
        wrong.extend(audit::check_file(self));
        wrong
    }
}
