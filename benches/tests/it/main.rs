//! What the benches rely on, and what a decision may not do.

mod allocation;
