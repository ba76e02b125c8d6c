//! What the framework promises at its public edge.

mod tasks_conformance;
