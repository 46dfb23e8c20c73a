//! Held against prost.
