//! `status`, `wait`, `healthcheck`: questions to a running sidecar about itself.
