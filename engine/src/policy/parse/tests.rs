//! Tests of the policy grammar.
