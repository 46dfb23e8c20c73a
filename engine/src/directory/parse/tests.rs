//! Tests of the directory format.
