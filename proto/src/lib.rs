//! The wire contract of Portcullis: what `portcullis/v1/*.proto` says, as Rust types, clients and service traits.
//!
//! The generated code is checked in; a test of this crate makes it again from the `.proto` files and compares.
//! No logic lives here. Invariant: nothing outside an edge's decode and encode steps takes these types apart.

/// Package `portcullis.v1`.
pub mod v1 {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::allow_attributes_without_reason,
        reason = "generated code; its documentation is that of the .proto files"
    )]
    include!("generated/portcullis.v1.rs");
}

/// The compiled `.proto` files with everything they import, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptor_set.bin");
