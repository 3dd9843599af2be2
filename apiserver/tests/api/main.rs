//! The API server as its clients see it, through the door that all of them use.

mod client;
mod deletes;
mod lists;
mod patches;
mod watches;
mod writes;
