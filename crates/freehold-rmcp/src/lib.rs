#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod adapter;
mod background;
mod convert;
#[cfg(test)]
mod delegated;
mod guard;
mod limits;
mod lock_order;
mod peer;
mod request;
mod service;

pub use freehold_mcp;
pub use guard::{Guard, GuardOptions, Guarded, guard};
pub use peer::AskFailed;
pub use rmcp;
pub use service::{ServiceBuilder, service, service_per_session};

#[doc = include_str!("../docs/from-rmcp.md")]
pub mod from_rmcp {}
