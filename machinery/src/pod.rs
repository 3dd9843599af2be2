//! What follows from the spec of a pod: what it asks for, how well it is served.

pub mod qos;
pub mod resources;
