//! `lift-server` from outside: apps under `TestApp`.

mod journey;
