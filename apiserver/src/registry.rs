//! What is served, and how each kind behaves.

pub mod catalog;
pub mod resource;
pub mod strategy;
