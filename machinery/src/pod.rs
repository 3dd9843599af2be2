//! What follows from the spec of a pod: what it asks for, how well it is served, to what it refers.

pub mod qos;
pub mod references;
pub mod resources;
