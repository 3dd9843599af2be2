//! The HTTP surface: classification, negotiation, bodies and headers. Nothing here knows of any resource.

pub mod body;
pub mod compression;
pub mod negotiate;
pub mod protobuf;
pub mod query;
pub mod request_info;
pub mod respond;
pub mod timeout;
pub mod warnings;
pub mod yaml;
