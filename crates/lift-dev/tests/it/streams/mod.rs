//! Event source mappings: the rules by scenarios and by seeds, and a real stream of DynamoDB Local.

mod world;
mod scenarios;
mod windows;
mod seeds;
mod filters;
mod records;
mod local;
