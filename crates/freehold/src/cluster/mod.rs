//! The seams for more than one machine: who has a session ([`Directory`]), and how to reach whoever has it ([`Bus`]).
//!
//! An engine asks the directory only for sessions that it does not have itself, so with one engine neither costs anything.
//! What a call through the bus waits for is not in the graph of waits: nobody here can know what holds it up there. It ends
//! by its deadline, which travels in its header; a cancel is sent after it.
//!
//! # Errors
//!
//! The set is closed. Of a directory: [`DirectoryError`]; of a bus: [`BusError`]; of a store:
//! [`StoreError`](crate::StoreError). What matters to a caller is whether something may have happened: only `Unknown`
//! leaves that open. [`FaultyDirectory`], [`FaultyBus`] and [`FaultyStore`] produce every one of them, in memory.
//!
//! # Examples
//!
//! Two engines in one process:
//!
//! ```
//! use freehold::{Context, Engine, ErrorObject, SessionId, cluster::MemoryCluster};
//!
//! async fn balance(ctx: &Context<u64>, (): ()) -> Result<u64, ErrorObject> {
//!     Ok(*ctx.state())
//! }
//!
//! async fn balance_of(ctx: &Context<u64>, [other]: [String; 1]) -> Result<u64, ErrorObject> {
//!     let other: SessionId = other.parse().map_err(ErrorObject::invalid_params)?;
//!     Ok(ctx.call(other, "balance", &()).await?)
//! }
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = MemoryCluster::default();
//! let engine = |balance: u64| {
//!     let builder = Engine::builder(balance).method("balance", self::balance).method("balance_of", balance_of);
//!     cluster.join(builder)
//! };
//! let (here, there) = (engine(1)?, engine(2)?);
//! let (asks, asked) = (here.open()?, there.open()?);
//! let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"balance_of","params":["{}"]}}"#, asked.id());
//! let answer = here.process_bytes(&asks, request.as_bytes()).await.unwrap();
//! assert!(answer.ends_with(br#""result":2}"#));
//! # Ok(()) }
//! ```

mod bus;
mod directory;
mod faulty;
mod inbound;
mod memory;
mod outbound;

pub(crate) use bus::NoBus;
pub use bus::{Bus, BusError, RemoteCall, RemoteNotification, RemoteResult};
pub(crate) use directory::Alone;
pub use directory::{Directory, DirectoryError, NodeId, Place};
pub use faulty::{FaultyBus, FaultyDirectory, FaultyStore, Injected, Injections};
pub use inbound::Inbound;
pub(crate) use inbound::InboundCalls;
pub use memory::MemoryCluster;
